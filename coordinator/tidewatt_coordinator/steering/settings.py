"""The [dispatch] sections of the coordinator's file. Pure."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from tidewatt_wire.codec import MAX_BYTES
from tidewatt_wire.messages import Identifier
from tidewatt_wire.topics import check_name

Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]
NonNegative = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
Part = Annotated[float, msgspec.Meta(ge=0, le=1)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
PoolKind = Literal["spot", "on_demand", "lambda", "cloudfront", "http"]
#: The one class of a fleet that names none.
EVERYTHING = "all"


class Latency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients waited, as measured once; a query is better."""

    bounds_ms: list[Rate]
    """Upper bounds of the buckets, rising; what is slower than the last counts beyond it."""
    counts: list[Annotated[int, msgspec.Meta(ge=0)]]
    """Requests in each bucket, and in one more for all that is slower."""


class Pool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something other than our devices that serves requests. Its price comes from the price book by its kind,
    or is given here.
    """

    name: str
    """As routers know it."""
    kind: PoolKind
    """What it is, and so how it is priced."""
    capacity_rps: Rate | None = None
    """What it serves within the promise;"""
    capacity_query: str = ""
    """or the PromQL query that says so now, such as the ready nodes times what one serves."""
    instance: str = ""
    """spot, on_demand: the EC2 type of its nodes, by which they are priced,"""
    node_rps: Rate | None = None
    """and what one of them serves."""
    aws_region: str = "us-east-1"
    """Where it is, for its prices."""
    memory_mb: Annotated[int, msgspec.Meta(ge=128, le=10_240)] = 1024
    """lambda: of the function,"""
    billed_ms: Annotated[int, msgspec.Meta(ge=1, le=900_000)] | None = None
    """and what a request of it is billed."""
    arm: bool = False
    """lambda: on Graviton."""
    transfer_region: str = "us"
    """cloudfront: the viewers' region in the price book."""
    cost_per_million: Decimal | None = None
    """What a million more requests cost, in quotes, in the tariff's currency: instead of the price book."""
    amortised_per_million: Decimal | None = None
    """With their share of what is paid anyway: shown, never decided by."""
    egress_per_gb: Decimal | None = None
    """What a gigabyte that leaves it costs, instead of the price book."""
    latency: Latency | None = None
    latency_query: str = ""
    """A PromQL query of a histogram by `le`, such as `sum by (le) (increase(..._bucket[10m]))`."""
    regions: list[str] = []
    """Of classes that it serves; empty: all."""
    domain: str = ""
    """What fails together with it, such as a zone."""
    zone: str = ""
    """spot: an availability zone or region; interruptions there are this pool's,"""
    instances: list[str] = []
    """or those of these instances only. With neither, those of `aws_region`."""


class Class(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests with one promise. Its rate is asked of Prometheus, or is a share of the whole fleet's."""

    name: Identifier
    """As routers and policies name it."""
    rate_query: str = ""
    """PromQL: its requests/s now."""
    share: Part | None = None
    """Of the fleet's demand, where there is no query; null: what the other classes' shares leave."""
    expected_rps: NonNegative | None = None
    """Until its rate was measured for the first time."""
    forecast_query: str = ""
    """PromQL: the highest rate to be expected until the next table. It can only raise what is planned for."""
    limit_ms: Rate | None = None
    """The latency that is promised; null: any will do."""
    percentile: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.95
    """The share of requests that keep it."""
    region: str = ""
    """Where its requests come from; empty: anywhere."""
    egress_bytes: NonNegative = 0.0
    """Of an answer."""
    shed_price: NonNegative = 1.0
    """What a refused request costs; the cheapest are refused first, and only when nothing else is left."""


class Spot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The SQS queue to which EventBridge sends what happens to instances."""

    queue: str = ""
    """Its URL; empty: none."""
    aws_region: str = "us-east-1"
    """Where the queue is."""
    profile: str = ""
    """Of the AWS configuration; empty: the usual one."""
    endpoint: str = ""
    """Another endpoint than AWS's own."""
    hold_s: Seconds = 600.0
    """A pool gets nothing for so long after a warning; the next warning begins it anew."""
    on_rebalance: bool = False
    """Whether a rebalance recommendation counts as a warning: it says that one is likely, at some time."""


class Dispatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The routing weights."""

    every_s: Seconds = 10.0
    """Seconds between tables."""
    valid_s: Seconds = 120.0
    """A table is void this long after it was made; routers then use its safe half."""
    stale_after_s: Seconds = 60.0
    """A device that has not reported for this long gets no traffic."""
    fill: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    """Share of a backend's usable capacity that is planned on: minute averages hide bursts."""
    backends: Literal["devices", "sites"] = "devices"
    """Whether routers choose a device, or a site that has a proxy of its own. A table of devices holds some
    five thousand of them."""
    most_bytes: Annotated[int, msgspec.Meta(ge=1024, le=MAX_BYTES)] = MAX_BYTES
    """A table that is longer is not published: what the broker takes in a packet is about a third more."""
    capacity_loss_per_s: Part = 0.0005
    """Share of its capacity that a backend may lose a second, unseen: 3 % a minute, a board that heats."""
    demand_growth_per_s: Part = 0.001
    """Share by which demand may grow a second, unseen: 6 % a minute, the steep end of a morning."""
    held: bool = False
    """Whether all routers drive proxies that hold backends to what they can take (nginx, HAProxy): weights
    then need no margin for what isn't seen, which is cheaper. Envoy and HTTPRoutes don't hold."""
    absorb_loss: bool = True
    """Whether the others shall stay within their capacity when any site or zone is lost, if they can."""
    mixture: bool = False
    """Whether a promise is kept by the mixture of backends, or by each of them."""
    motion: Annotated[float, msgspec.Meta(gt=0, le=2)] = 0.25
    """How far a class's shares may move in one table (the sum of their changes), save for safety."""
    hysteresis: Part = 0.001
    """A table that saves less than this share of the cost is not worth moving for."""
    explore: Part = 0.0005
    """Share of an even split that a backend gets at least, so that what it can do stays known."""
    prometheus: str = ""
    """Such as http://prometheus:9090, for the queries."""
    token_file: str = ""
    """A file with a bearer token, if it wants one."""
    edge_latency_query: str = ""
    """A histogram by `le` of what clients of the edge waited; empty: what the operating points say, with the
    tail assumed to be exponential."""
    pools: list[Pool] = []
    classes: list[Class] = []
    """Empty: one class, `all`, of everything that the devices serve, without a limit beyond theirs."""
    spot: Spot = Spot()

    @property
    def asked(self) -> list[Class]:
        """The classes; at least one."""
        return self.classes or [Class(name=EVERYTHING)]


def wrong_dispatch(settings: Dispatch) -> Iterator[str]:
    """A sentence for each thing that no single key shows to be wrong."""
    yield from _twice("dispatch.pools", [pool.name for pool in settings.pools])
    yield from _twice("dispatch.classes", [one.name for one in settings.classes])
    for pool in settings.pools:
        yield from _wrong_pool(pool, f"dispatch.pools {pool.name!r}")
    for one in settings.classes:
        try:
            check_name(one.name, "dispatch.classes")
        except ValueError as error:
            yield str(error)
    shares = sum(one.share or 0.0 for one in settings.classes)
    if shares > 1.0 + 1e-9:
        yield f"the shares of dispatch.classes sum to {shares:g}; at most 1 can be had"
    if not settings.prometheus and any(_queries(settings)):
        yield "dispatch has queries and nobody to ask: set dispatch.prometheus"
    if settings.valid_s <= settings.every_s:
        yield f"dispatch.valid_s {settings.valid_s:g} is no longer than every_s {settings.every_s:g}"


def _twice(what: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{what}: {name!r} is there twice"


def _wrong_pool(pool: Pool, where: str) -> Iterator[str]:
    try:
        check_name(pool.name, "dispatch.pools")
    except ValueError as error:
        yield str(error)
    if (pool.capacity_rps is None) == (not pool.capacity_query):
        yield f"{where}: needs capacity_rps or capacity_query"
    if pool.cost_per_million is None:
        yield from _wrong_kind(pool, where)
    for key in ("cost_per_million", "amortised_per_million", "egress_per_gb"):
        money: Decimal | None = getattr(pool, key)
        if money is not None and not (money.is_finite() and money >= 0):
            yield f"{where}: {key} {money} is no price"
    bounds, counts = (pool.latency.bounds_ms, pool.latency.counts) if pool.latency else ([], [0])
    if len(counts) != len(bounds) + 1:
        yield f"{where}: {len(bounds)} bounds_ms need {len(bounds) + 1} counts, not {len(counts)}"
    if sorted(set(bounds)) != bounds:
        yield f"{where}: bounds_ms must rise"


def _wrong_kind(pool: Pool, where: str) -> Iterator[str]:
    if pool.kind in ("spot", "on_demand") and not (pool.instance and pool.node_rps):
        yield f"{where}: needs instance and node_rps, or cost_per_million"
    if pool.kind == "lambda" and pool.billed_ms is None:
        yield f"{where}: needs billed_ms, or cost_per_million"
    if pool.kind in ("http", "cloudfront"):
        yield f"{where}: needs cost_per_million, since no price book knows what its requests cost"


def _queries(settings: Dispatch) -> Iterator[str]:
    yield settings.edge_latency_query
    for pool in settings.pools:
        yield from (pool.capacity_query, pool.latency_query)
    for one in settings.classes:
        yield from (one.rate_query, one.forecast_query)


def queries(settings: Dispatch) -> list[str]:
    """Everything that Prometheus is to be asked."""
    return sorted({query for query in _queries(settings) if query})
