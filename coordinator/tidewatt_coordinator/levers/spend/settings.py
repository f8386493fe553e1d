"""Sections of the drivers that look at the bill itself: commitments, other clouds, AWS's own advice, tags,
cost spikes.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from tidewatt_coordinator.levers.lever import AwsLever, Lever, Ratio

DAY_S = 86_400.0
Count = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
Growth = Annotated[float, msgspec.Meta(gt=-1, le=10)]


class Cover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a kind of commitment discounts."""

    group: str
    """Of the covers of one group at most one commitment is recommended."""
    table: str
    """The price table of its offers."""
    services: list[str]
    """As the bill calls them."""


def _covers() -> list[Cover]:
    ec2 = ["Amazon Elastic Compute Cloud - Compute"]
    return [
        Cover(group="compute", table="aws-compute-savings-plans", services=ec2),
        Cover(group="compute", table="aws-ec2-instance-savings-plans", services=ec2),
        Cover(
            group="databases",
            table="aws-rds-reserved-instances",
            services=["Amazon Relational Database Service"],
        ),
    ]


class Commitments(Lever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Savings Plans and reserved instances: recommended only."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=2_592_000)] = DAY_S
    cover: list[Cover] = msgspec.field(default_factory=_covers)
    history_days: Annotated[int, msgspec.Meta(ge=28, le=366)] = 90
    """Days whose spending is looked at."""
    growth: tuple[Growth, Growth] = (-0.3, 0.3)
    """How this spending changes within a year: 80 of 100 years lie between. A fall that is seen already
    moves both down."""
    trough: Ratio = 0.6
    """The least hour of a day as a share of the day's mean: bills are by day, commitments by the hour."""
    most_loss: Ratio = 0.1
    """The most chance of paying more than without the commitment."""
    most_months: Annotated[int, msgspec.Meta(ge=1, le=60)] = 36
    """No commitment for longer."""
    committed_per_hour: dict[str, Decimal] = msgspec.field(default_factory=dict)
    """What is committed already, by group: money an hour, as the bill amortises it."""


class MultiCloud(Lever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same machines at other providers: a comparison."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=2_592_000)] = DAY_S
    nodes: dict[str, Count] = msgspec.field(default_factory=dict)
    """How many of which EC2 type run through a month."""
    region: str = "us-east-1"
    """Whose prices are compared."""
    egress_gb: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """To the internet in a month: leaving is paid once more than it looks."""
    stored_gb: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """What would have to be moved out, once."""
    other_architecture: bool = False
    """Whether the workload also runs on the other of arm64 and x86."""


class OptimizationHub(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AWS's own recommendations, without those that a driver of ours has."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=2_592_000)] = DAY_S
    least_saving: Decimal = Decimal(5)
    """Smaller ones aren't shown, by month."""


class Derived(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value for what lacks the tag."""

    match: str
    """Resources by ARN; * and ? as in file names."""
    value: str
    """What is put on what matches."""


class Required(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tag that everything must have."""

    tag: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    """The tag's key."""
    values: list[str] = []
    """Only these; empty: any."""
    derive: list[Derived] = []
    """The first that matches is proposed; without one a person must say."""


class Tags(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tag policy."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=2_592_000)] = DAY_S
    require: list[Required] = msgspec.field(
        default_factory=lambda: [Required(tag="owner"), Required(tag="project")]
    )
    resource_types: list[str] = msgspec.field(default_factory=list)
    """As AWS names them, such as ec2:instance; empty: all that can be tagged."""


class Brake(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit that is put in force while something costs too much, and its usual value."""

    watch: Literal["service", "site", "tag"] = "service"
    """What the days of are judged."""
    tag: str = ""
    """If a tag's value is watched, the tag."""
    value: str
    """The service, site or tag's value whose days are judged, as `tidewatt anomalies ls` shows it."""
    kind: Literal["lambda_concurrency", "asg_max_size"]
    """What kind of limit it is."""
    name: str
    """Of the function or the Auto Scaling group."""
    limit: Count
    """What is put in force while it costs too much."""
    usual: Count | None = None
    """Where it is put again when the spike is over; None: no limit, which only a function can have."""
    service: str
    """Whose promise it touches, as [[sla]] names it."""
    disruption: Ratio = 0.01
    """Share of the service's requests that the limit disturbs."""
    more_errors: Ratio | None = None
    """What it adds to the service's error rate at the worst; None: nobody knows, so no rule puts it."""
    risk: Literal["low", "medium", "high"] = "medium"
    """How risky the limit is; a rule approves only what is low."""


class CostSpike(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer to a day that costs too much, agreed upon before."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=2_592_000)] = 900.0
    brakes: list[Brake] = msgspec.field(default_factory=list)
    saves: tuple[Ratio, Ratio] = (0.2, 0.9)
    """Share of the excess that the limit is thought to end."""
    days: Annotated[int, msgspec.Meta(ge=1, le=14)] = 2
    """A spike within so many days up to today counts; days that aren't settled yet can only rise."""


def wrong_spend(commitments: Commitments, tags: Tags, spikes: CostSpike) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    for what, (low, high) in (("commitments.growth", commitments.growth), ("cost_spike.saves", spikes.saves)):
        if low > high:
            yield f"levers.{what}: {low:g} is above {high:g}"
    for one in tags.require:
        for rule in one.derive:
            if one.values and rule.value not in one.values:
                yield f"levers.tags: {rule.value!r} is none of the values of {one.tag}"
    yield from _wrong_brakes(spikes.brakes)


def _wrong_brakes(brakes: list[Brake]) -> Iterator[str]:
    targets = [(one.kind, one.name) for one in brakes]
    for one in brakes:
        where = f"levers.cost_spike: the brake of {one.name}"
        if targets.count((one.kind, one.name)) > 1:
            yield f"{where} stands there twice"
        if (one.watch == "tag") != bool(one.tag):
            yield f"{where}: `tag` names the tag if one is watched, and only then"
        if one.kind == "asg_max_size" and one.usual is None:
            yield f"{where}: a group has no unlimited size; `usual` says what it is put to again"
        if one.usual is not None and one.usual <= one.limit:
            yield f"{where}: its limit of {one.limit} is not below the usual {one.usual}"
