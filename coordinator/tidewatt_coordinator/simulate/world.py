"""What a simulation is of: boards, node pools, a function, delivery, a promise. Pure data.

Every assumption is a field here, so that whoever reads a scenario's file sees all of them.
"""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from tidewatt_wire.messages import Policy

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Ms = Annotated[float, msgspec.Meta(gt=0, le=60_000)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
PriceClass = Literal["PriceClass_All", "PriceClass_200", "PriceClass_100"]
#: By the product's tables, or as much to each backend that keeps the promise, whatever it costs.
Routing = Literal["dispatch", "even"]
#: Names of lines and backends that are there anyway.
RESERVED = ("boards", "energy", "delivery", "delivery-requests")


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Unknown keys are refused: a misspelt assumption must not be a silent one."""


def _amounts(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if not amount.is_finite() or amount < 0:
            raise ValueError(f"{name} = {amount} is no number from 0 on")


class Waits(Strict, frozen=True, kw_only=True):
    """Latencies that clients saw: by each of `ms`, that share of the requests was answered."""

    ms: Annotated[list[Ms], msgspec.Meta(min_length=1, max_length=64)]
    quicker: Annotated[list[Share], msgspec.Meta(min_length=1, max_length=64)]

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in zip(self.ms, self.ms[1:], strict=False))
        if len(self.ms) != len(self.quicker) or not rising or sorted(self.quicker) != self.quicker:
            raise ValueError("latency: `ms` must rise, `quicker` must not fall, and both be of one length")


class Boards(Strict, frozen=True, kw_only=True):
    """Boards that are alike, at one site."""

    count: Annotated[int, msgspec.Meta(ge=0, le=100_000)]
    profile: str = "orin-nano-super"
    """A shipped board profile."""
    policy: Policy = Policy()
    price_per_kwh: Decimal = Decimal("0.15")
    kept_per_month: Decimal = Decimal(0)
    """Of each board, whatever it does: write-off, place, support."""
    network_ms: Annotated[float, msgspec.Meta(ge=0, le=60_000)] = 0.0

    def __post_init__(self) -> None:
        _amounts(price_per_kwh=self.price_per_kwh, kept_per_month=self.kept_per_month)


class Nodes(Strict, frozen=True, kw_only=True):
    """A pool of instances in one region."""

    name: Name
    instance: str
    region: str
    """Of the price book."""
    most: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    least: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    """Nodes follow what they served between `least` and `most`; null: `most` stand all day."""
    node_rps: Rate
    waits: Waits
    spot_share: Share = 0.0
    start_min: Annotated[int, msgspec.Meta(ge=0, le=120)] = 3
    """Minutes from asking for a node to its first request."""


class Function(Strict, frozen=True, kw_only=True):
    """A function service: takes what comes and is paid by the request."""

    name: Name
    runtime: Literal["x86", "arm", "edge"] = "x86"
    memory_mb: Annotated[int, msgspec.Meta(ge=128, le=10_240)]
    billed_ms: Annotated[int, msgspec.Meta(ge=1, le=900_000)]
    waits: Waits


class Delivery(Strict, frozen=True, kw_only=True):
    """CloudFront in front of it all."""

    gigabytes_per_month: Decimal
    """To viewers, at the demand as it was recorded; it grows with the requests."""
    viewers: dict[str, Decimal]
    """Share of it by the price table's regions."""
    price_class: PriceClass = "PriceClass_All"

    def __post_init__(self) -> None:
        _amounts(gigabytes_per_month=self.gigabytes_per_month, **self.viewers)
        if sum(self.viewers.values()) != 1:
            raise ValueError(f"the viewers' shares sum to {sum(self.viewers.values())}, not to 1")


class Class(Strict, frozen=True, kw_only=True):
    """Requests with one promise."""

    name: Name
    share: Annotated[float, msgspec.Meta(gt=0, le=1)]
    limit_ms: Ms
    percentile: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.95


class Promise(Strict, frozen=True, kw_only=True):
    """What the whole service is judged by."""

    availability: Share = 0.999
    error_rate: Share = 0.005


class Storm(Strict, frozen=True, kw_only=True):
    """Spot nodes are taken away, on every day that is lived."""

    hour: Annotated[int, msgspec.Meta(ge=0, le=23)]
    """UTC."""
    minutes: Annotated[int, msgspec.Meta(ge=1, le=720)] = 60
    """For so long there is no spot capacity to replace them: on-demand nodes do."""
    share: Share = 0.5
    """Of each pool's spot nodes, rounded up."""
    unwarned: Share = 0.1
    """Share of them that go without the two minutes' notice."""
    follow_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 10.0
    """Until a table without them is in force, for those."""


class World(Strict, frozen=True, kw_only=True):
    """All that serves, and what is promised."""

    name: str
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    boards: Boards | None = None
    nodes: Annotated[list[Nodes], msgspec.Meta(max_length=32)] = []
    function: Function | None = None
    delivery: Delivery | None = None
    classes: Annotated[list[Class], msgspec.Meta(min_length=1, max_length=8)]
    promise: Promise = Promise()
    routing: Routing = "dispatch"
    fill: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    """Share of a capacity that is planned on."""
    storm: Storm | None = None

    def __post_init__(self) -> None:
        if abs(sum(one.share for one in self.classes) - 1.0) > 1e-6:  # noqa: PLR2004 - rounding
            raise ValueError(f"the classes' shares sum to {sum(one.share for one in self.classes):g}, not 1")
        names = [one.name for one in self.nodes] + ([self.function.name] if self.function else [])
        taken = [*names, *(f"{one.name}-spot" for one in self.nodes), *RESERVED]
        if len(set(taken)) != len(taken):
            raise ValueError(
                f"pools and the function need distinct names, without -spot at their end, and none of "
                f"{', '.join(RESERVED)}: {', '.join(names)}"
            )
        if not (self.boards and self.boards.count) and not names:
            raise ValueError("nothing serves in this world: no boards, no nodes, no function")


class Change(Strict, frozen=True, kw_only=True):
    """What a scenario does to a world; what it doesn't name stays."""

    traffic: Annotated[float, msgspec.Meta(gt=0, le=1000)] | None = None
    """Times as many requests."""
    more_boards: Annotated[int, msgspec.Meta(ge=-100_000, le=100_000)] | None = None
    policy: Policy | None = None
    """The boards'."""
    spot_share: Share | None = None
    """Every pool's."""
    least_nodes: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    """Every pool follows its load from now on, down to this."""
    price_class: PriceClass | None = None
    routing: Routing | None = None
    storm: Storm | None = None

    def __post_init__(self) -> None:
        if not any(getattr(self, name) is not None for name in self.__struct_fields__):
            raise ValueError("a scenario needs to change something")


def changed(world: World, change: Change) -> World:
    """The world after it (the traffic aside, which is no part of it). ValueError says what can't be."""
    replace = msgspec.structs.replace
    if change.more_boards is not None or change.policy is not None:
        world = replace(world, boards=_boards(world, change))
    if change.spot_share is not None or change.least_nodes is not None:
        if not world.nodes:
            raise ValueError(f"{world.name} has no nodes that the scenario could change")
        world = replace(world, nodes=[_nodes(pool, change) for pool in world.nodes])
    if change.price_class is not None:
        if world.delivery is None:
            raise ValueError(f"{world.name} has no delivery whose price class the scenario could change")
        world = replace(world, delivery=replace(world.delivery, price_class=change.price_class))
    if change.storm is not None and not any(pool.spot_share for pool in world.nodes):
        raise ValueError(f"{world.name} has no spot nodes that a storm could take")
    return replace(world, routing=change.routing or world.routing, storm=change.storm or world.storm)


def _boards(world: World, change: Change) -> Boards:
    if world.boards is None:
        raise ValueError(f"{world.name} has no boards that the scenario could change")
    count = world.boards.count + (change.more_boards or 0)
    if count < 0:
        raise ValueError(f"{world.name} has {world.boards.count} boards, not {-(change.more_boards or 0)}")
    return msgspec.structs.replace(world.boards, count=count, policy=change.policy or world.boards.policy)


def _nodes(pool: Nodes, change: Change) -> Nodes:
    spot = pool.spot_share if change.spot_share is None else change.spot_share
    least = pool.least if change.least_nodes is None else min(change.least_nodes, pool.most)
    return msgspec.structs.replace(pool, spot_share=spot, least=least)
