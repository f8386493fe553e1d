"""What dispatch comes to: weights, and the proof of how good they are. Pure data."""

import msgspec


class SitePrice(msgspec.Struct, frozen=True):
    """What one more backend like those of a domain would save at most, in currency per day."""

    domain: str
    saves_per_day: float
    sentence: str


class Certificate(msgspec.Struct, frozen=True):
    """Costs are in currency per second, at the demand that is planned for."""

    cost: float
    """Of the weights as published, with what is refused."""
    lower_bound: float
    """No weights that keep the promise cost less."""
    gap: float
    """(cost - lower bound) / lower bound; 0 where both are 0."""
    prices: dict[str, float]
    """Of one more request, by class."""
    promise_prices: dict[str, float]
    """Of each class's promise, per unit of slow share."""
    sites: list[SitePrice]
    """Dearest first; none where no capacity of the edge is short."""
    binding: str
    """What keeps the cost from being lower, in a sentence."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets what share of which class."""

    parts: int
    """What the weights of a class sum to."""
    weights: dict[str, dict[str, int]]
    """By class and backend, above 0 only; a class of which nothing is served has none."""
    refused: dict[str, float]
    """By class, the share of its requests that is to be refused, above 0 only."""
    planned_rps: dict[str, float]
    """By class, the demand up to which the table holds."""
    most_rps: dict[str, float]
    """By backend that has weights: what it can take at the most until the next table (see overflow). It is
    more than is planned on: the fill is room for bursts."""
    absorbs_loss: bool
    """Whether any one domain may be lost without overload of the others."""
    safety: bool
    """Whether weights moved farther than the bound of motion, for safety."""
    held: bool
    """Whether nothing moved since it was not worth it."""
    solver: str
    certificate: Certificate
    reason: str

    def share(self, asked: str, backend: str) -> float:
        """What a backend really gets of what is served of a class."""
        return self.weights.get(asked, {}).get(backend, 0) / self.parts
