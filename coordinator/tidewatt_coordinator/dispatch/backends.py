"""What can serve requests. Pure data."""

from typing import Literal

import msgspec

#: What a backend is made of; only `edge` has a shadow price in words.
Kind = Literal["edge", "spot", "on_demand", "lambda", "cloudfront", "http"]


class Histogram(msgspec.Struct, frozen=True):
    """Latencies that were observed, in buckets. Raises ValueError for bounds that don't rise or lengths that
    don't fit.
    """

    bounds_s: tuple[float, ...]
    """The upper bound of each bucket but the last, in seconds, rising."""
    counts: tuple[int, ...]
    """Observations in each bucket; one more than bounds: the last is for all that is slower."""

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.bounds_s) + 1 or min(self.counts) < 0:
            raise ValueError(
                f"a histogram of {len(self.bounds_s)} bounds needs {len(self.bounds_s) + 1} counts of 0 or "
                f"more, not {list(self.counts)}"
            )
        if any(low >= high for low, high in zip(self.bounds_s, self.bounds_s[1:], strict=False)):
            raise ValueError(f"the bounds of a histogram must rise: {list(self.bounds_s)}")


class Backend(msgspec.Struct, frozen=True):
    """Where requests can go. Costs are in the fleet's currency, per request."""

    name: str
    usable_rps: float
    """Requests/s that it serves within the promise, when that was last known."""
    marginal_cost: float
    """Of one more request: energy, invocation, time of a machine that would else be let go."""
    amortised_cost: float | None = None
    """With its share of what is paid anyway. Shown, never decided by. None: not known."""
    kind: Kind = "edge"
    age_s: float = 0.0
    """Seconds since `usable_rps` was known."""
    latency: Histogram | None = None
    """What clients of its region waited. None: not known, so only classes without a limit may use it."""
    egress_cost: float = 0.0
    """Of one byte that leaves it."""
    regions: frozenset[str] = frozenset()
    """Where it serves; empty: everywhere."""
    domain: str = ""
    """What fails together with it: a site, a zone. Empty: nothing that is planned for."""
    draining: bool = False
    """It is to get nothing: a spot warning, an operator's word, failed health."""
