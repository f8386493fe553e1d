"""The [levers] section of the coordinator's file."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from tidewatt_coordinator.levers.data.settings import (
    AdviceLever,
    Athena,
    Aurora,
    DynamoDb,
    EbsVolumes,
    Egress,
    SnapshotLifecycle,
    Unused,
    wrong_data,
)
from tidewatt_coordinator.levers.edge.settings import CloudFront, Lambda, Route53, S3Storage
from tidewatt_coordinator.levers.kubernetes.settings import (
    Karpenter,
    Replicas,
    RightSizing,
    wrong_kubernetes,
)
from tidewatt_coordinator.levers.lever import AwsLever, Lever, Ratio, Seconds
from tidewatt_coordinator.levers.spend.settings import (
    Commitments,
    CostSpike,
    MultiCloud,
    OptimizationHub,
    Tags,
    wrong_spend,
)
from tidewatt_coordinator.rollout.windows import zone_of
from tidewatt_wire.messages import MaintenanceWindow


class S3Lifecycle(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules of our own in buckets' lifecycles."""

    buckets: list[str] = msgspec.field(default_factory=list)
    """Only these; empty: all of the account."""
    abort_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 7
    """Uploads that were begun and not completed for so long are rubbish."""


class PowerPolicy(Lever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fleet's own policy, by rollout in waves."""

    deadline_s: Seconds = 172_800.0
    """Waves soak for hours."""
    saves: tuple[Ratio, Ratio] = (0.08, 0.31)
    """What boards that choose for themselves save against their strongest mode: on recorded traffic."""


class Levers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that the coordinator may change to save money; none unless enabled."""

    changes_per_hour: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 4
    """No more changes are begun within any hour."""
    most_capacity: Ratio = 0.25
    """Share of the capacity that may be in the middle of a change at once."""
    freeze: list[MaintenanceWindow] = []
    """When nothing is begun."""
    approval_h: Annotated[float, msgspec.Meta(gt=0, le=8760)] = 24.0
    """An approval holds for so long."""
    quiet_days: Annotated[float, msgspec.Meta(ge=0, le=365)] = 30.0
    """What was rejected, failed or was taken back isn't proposed again sooner."""
    prometheus: str = ""
    """Base URL of the Prometheus that the queries of [[sla]] ask."""
    prometheus_token_file: str = ""
    """A file with a bearer token, if it wants one."""
    s3_lifecycle: S3Lifecycle = msgspec.field(default_factory=S3Lifecycle)
    power_policy: PowerPolicy = msgspec.field(default_factory=PowerPolicy)
    cloudfront: CloudFront = msgspec.field(default_factory=CloudFront)
    aws_lambda: Lambda = msgspec.field(default_factory=Lambda)
    route53: Route53 = msgspec.field(default_factory=Route53)
    s3_storage: S3Storage = msgspec.field(default_factory=S3Storage)

    karpenter: Karpenter = msgspec.field(default_factory=Karpenter)
    replicas: Replicas = msgspec.field(default_factory=Replicas)
    right_sizing: RightSizing = msgspec.field(default_factory=RightSizing)
    commitments: Commitments = msgspec.field(default_factory=Commitments)
    multi_cloud: MultiCloud = msgspec.field(default_factory=MultiCloud)
    optimization_hub: OptimizationHub = msgspec.field(default_factory=OptimizationHub)
    tags: Tags = msgspec.field(default_factory=Tags)
    cost_spike: CostSpike = msgspec.field(default_factory=CostSpike)
    dynamodb: DynamoDb = msgspec.field(default_factory=DynamoDb)
    ebs_volumes: EbsVolumes = msgspec.field(default_factory=EbsVolumes)
    unused: Unused = msgspec.field(default_factory=Unused)
    aurora: Aurora = msgspec.field(default_factory=Aurora)
    athena: Athena = msgspec.field(default_factory=Athena)
    step_functions: AdviceLever = msgspec.field(default_factory=AdviceLever)
    event_rules: AdviceLever = msgspec.field(default_factory=AdviceLever)
    nat: AdviceLever = msgspec.field(default_factory=AdviceLever)
    egress: Egress = msgspec.field(default_factory=Egress)
    snapshot_lifecycle: SnapshotLifecycle = msgspec.field(default_factory=SnapshotLifecycle)

    def of(self, driver: str) -> Lever:
        """The section of a driver."""
        found = getattr(self, driver, None)
        return found if isinstance(found, Lever) else Lever()


def wrong_levers(levers: Levers) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    sections = {name: levers.of(name) for name in levers.__struct_fields__}
    ends = {
        f"levers.{name}.endpoint": one.endpoint for name, one in sections.items() if isinstance(one, AwsLever)
    }
    for what, url in [("levers.prometheus", levers.prometheus), *ends.items()]:
        if url and not url.startswith(("http://", "https://")):
            yield f"{what} {url!r} is not http://HOST or https://HOST"
    for window in levers.freeze:
        if zone_of(window.zone) is None:
            yield f"levers.freeze: no time zone {window.zone!r} is known"
    low, high = levers.power_policy.saves
    if low > high:
        yield f"levers.power_policy.saves: {low:g} is above {high:g}"
    yield from wrong_kubernetes(levers.karpenter, levers.replicas, levers.right_sizing)
    yield from wrong_spend(levers.commitments, levers.tags, levers.cost_spike)
    advice = {name: getattr(levers, name) for name in levers.__struct_fields__}
    yield from wrong_data(
        levers.aurora, {name: one for name, one in advice.items() if isinstance(one, AdviceLever)}
    )


def driver_names() -> list[str]:
    """Every driver there is, enabled or not, as its section is called."""
    return [
        one.name
        for one in msgspec.structs.fields(Levers)
        if "enabled" in getattr(one.type, "__struct_fields__", ())
    ]
