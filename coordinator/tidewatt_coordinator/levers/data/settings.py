"""The sections of the levers on data: DynamoDB, volumes, unused resources, Aurora, and advice."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from tidewatt_coordinator.levers.lever import AwsLever, Ratio, Seconds
from tidewatt_coordinator.rollout.windows import zone_of

Days = Annotated[int, msgspec.Meta(ge=2, le=60)]
Dollars = Annotated[float, msgspec.Meta(ge=0)]
Clock = Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Capacity = Annotated[float, msgspec.Meta(ge=0, le=256)]


class DataLever(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What these have in common: they look back at days, so they look once a day."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=2_592_000)] = 86_400.0
    days: Days = 14
    """What is looked back at."""
    least_usd: Dollars = 1.0
    """A saving below this a month isn't worth a look."""


class DynamoDb(DataLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On demand or provisioned, whichever is cheaper."""

    tables: list[str] = msgspec.field(default_factory=list)
    """Only these; empty: all of the region."""
    service: str = ""
    """As [[sla]] names what they serve; empty: nothing is promised of it."""
    use: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Provisioned so that the busiest five minutes use this share of it: within them it is burstier."""


class EbsVolumes(DataLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From gp2 to gp3."""

    deadline_s: Seconds = 86_400.0
    """A volume can be changed again only after six hours, so taking it back may have to wait."""
    service: str = ""
    """As [[sla]] names what they serve; empty: nothing is promised of it."""


class Unused(DataLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Volumes, addresses, snapshots and load balancers that nobody uses."""

    deadline_s: Seconds = 86_400.0
    """A large volume's snapshot takes hours."""
    tag: str = "environment"
    """Only resources that have this tag, with one of these values, are looked at."""
    environments: list[str] = msgspec.field(default_factory=lambda: ["dev", "test"])
    """Values of that tag which may be looked at."""
    quarantine_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 14
    """Before their deletion is recommended. `days` is how long nothing must have used them before."""
    snapshot_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 90
    """Snapshots that are younger aren't looked at."""


class Aurora(DataLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lower least capacity of Aurora Serverless v2 by night, restored in the morning by the cloud."""

    clusters: list[str] = msgspec.field(default_factory=list)
    """Only these; none: it does nothing."""
    service: str = ""
    """As [[sla]] names what they serve; empty: nothing is promised of it."""
    role: str = ""
    """ARN of the role by which EventBridge Scheduler may call rds:ModifyDBCluster."""
    evening: Clock = "22:00"
    """When the night begins,"""
    morning: Clock = "06:00"
    """when it ends,"""
    zone: str = "UTC"
    """and the time zone of both."""
    night: Capacity = 0.5
    """Least capacity units by night; 0 pauses, where the engine can and nothing stays connected."""
    pause_s: Annotated[int, msgspec.Meta(ge=300, le=86_400)] = 300
    """Idle so long before it pauses."""
    use: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.7
    """Of a capacity unit's processor, that is held to be fully used."""


class AdviceLever(DataLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A driver that only advises."""

    days: Days = 30
    """So many of the last days are looked at."""
    saves: tuple[Ratio, Ratio] = (0.1, 0.9)
    """Between which shares of the cost the advice saves: assumed, so that the interval is honest."""


class Athena(AdviceLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bytes that queries scan."""

    saves: tuple[Ratio, Ratio] = (0.3, 0.9)
    """By columns, compression and partitions."""


class Egress(AdviceLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What load balancers send to the internet."""

    viewers: str = "us"
    """The price book's region of CloudFront where most of the viewers are."""


class SnapshotLifecycle(AdviceLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Snapshots that no lifecycle policy ends, or a long one."""

    keep_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 35
    """For how long a snapshot is worth keeping."""
    keep_least: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    """Of each volume the newest, however old."""
    saves: tuple[Ratio, Ratio] = (0.02, 0.3)
    """What a snapshot holds by itself, as a share of its volume."""


def wrong_data(aurora: Aurora, advice: dict[str, AdviceLever]) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    if zone_of(aurora.zone) is None:
        yield f"levers.aurora.zone: no time zone {aurora.zone!r} is known"
    if aurora.evening == aurora.morning:
        yield f"levers.aurora: evening and morning are both {aurora.evening}"
    if aurora.night and aurora.night % 0.5:
        yield f"levers.aurora.night: {aurora.night:g} is not a multiple of 0.5"
    if aurora.enabled and aurora.clusters and not aurora.role:
        yield "levers.aurora.role is needed: the scheduler acts by it"
    for name, one in advice.items():
        if one.saves[0] > one.saves[1]:
            yield f"levers.{name}.saves: {one.saves[0]:g} is above {one.saves[1]:g}"
