"""Every driver there is, in order. A new one is one file, one section of settings, and one line here."""

from collections.abc import Callable, Sequence

from tidewatt_coordinator.levers.data.athena import AthenaDriver
from tidewatt_coordinator.levers.data.aurora import AuroraDriver
from tidewatt_coordinator.levers.data.dynamodb import DynamoDbDriver
from tidewatt_coordinator.levers.data.ebs_volumes import EbsVolumesDriver
from tidewatt_coordinator.levers.data.egress import EgressDriver
from tidewatt_coordinator.levers.data.event_rules import EventRulesDriver
from tidewatt_coordinator.levers.data.nat import NatDriver
from tidewatt_coordinator.levers.data.snapshot_lifecycle import SnapshotLifecycleDriver
from tidewatt_coordinator.levers.data.step_functions import StepFunctionsDriver
from tidewatt_coordinator.levers.data.unused import UnusedDriver
from tidewatt_coordinator.levers.driver import Driver
from tidewatt_coordinator.levers.edge.aws_lambda import LambdaDriver
from tidewatt_coordinator.levers.edge.cloudfront import CloudFrontDriver
from tidewatt_coordinator.levers.edge.route53 import Route53Driver
from tidewatt_coordinator.levers.edge.s3_lifecycle import S3LifecycleDriver
from tidewatt_coordinator.levers.edge.s3_storage import S3StorageDriver
from tidewatt_coordinator.levers.history import History
from tidewatt_coordinator.levers.kubernetes.karpenter import KarpenterDriver
from tidewatt_coordinator.levers.kubernetes.replicas import ReplicasDriver
from tidewatt_coordinator.levers.kubernetes.right_sizing import RightSizingDriver
from tidewatt_coordinator.levers.measured import Measured
from tidewatt_coordinator.levers.power_policy import PowerPolicyDriver
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend.commitments import CommitmentsDriver
from tidewatt_coordinator.levers.spend.cost_spike import CostSpikeDriver
from tidewatt_coordinator.levers.spend.multi_cloud import MultiCloudDriver
from tidewatt_coordinator.levers.spend.optimization_hub import OptimizationHubDriver
from tidewatt_coordinator.levers.spend.tags import TagsDriver
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.rollout.journal import Journal


def drivers(
    settings: Levers,
    book: Callable[[], PriceBook],
    journal: Journal,
    fleet: str,
    now_ms: Callable[[], int],
    sights: Sights,
) -> Sequence[Measured]:
    """Those that are enabled. `book` is only read if one of them needs prices."""
    measured = History(settings.prometheus, settings.prometheus_token_file, now_ms)
    every: tuple[tuple[str, Callable[[], Driver]], ...] = (
        ("karpenter", lambda: KarpenterDriver(settings.karpenter, book())),
        ("power_policy", lambda: PowerPolicyDriver(settings.power_policy, journal, fleet, now_ms)),
        ("replicas", lambda: ReplicasDriver(settings.replicas, book(), measured.newest)),
        ("right_sizing", lambda: RightSizingDriver(settings.right_sizing, book(), measured.history)),
        ("cloudfront", lambda: CloudFrontDriver(settings.cloudfront, book(), now_ms)),
        ("aws_lambda", lambda: LambdaDriver(settings.aws_lambda, book(), now_ms)),
        ("route53", lambda: Route53Driver(settings.route53, book())),
        ("s3_storage", lambda: S3StorageDriver(settings.s3_storage, book(), now_ms)),
        ("s3_lifecycle", lambda: S3LifecycleDriver(settings.s3_lifecycle, book())),
        ("cost_spike", lambda: CostSpikeDriver(settings.cost_spike, sights)),
        ("tags", lambda: TagsDriver(settings.tags, sights)),
        ("commitments", lambda: CommitmentsDriver(settings.commitments, book(), sights)),
        ("multi_cloud", lambda: MultiCloudDriver(settings.multi_cloud, book())),
        ("optimization_hub", lambda: OptimizationHubDriver(settings.optimization_hub, sights)),
        ("dynamodb", lambda: DynamoDbDriver(settings.dynamodb, book(), now_ms)),
        ("ebs_volumes", lambda: EbsVolumesDriver(settings.ebs_volumes, book())),
        ("unused", lambda: UnusedDriver(settings.unused, book(), now_ms)),
        ("aurora", lambda: AuroraDriver(settings.aurora, book(), now_ms)),
        ("athena", lambda: AthenaDriver(settings.athena, book(), now_ms)),
        ("step_functions", lambda: StepFunctionsDriver(settings.step_functions, book(), now_ms)),
        ("event_rules", lambda: EventRulesDriver(settings.event_rules, book(), now_ms)),
        ("nat", lambda: NatDriver(settings.nat, book(), now_ms)),
        ("egress", lambda: EgressDriver(settings.egress, book(), now_ms)),
        ("snapshot_lifecycle", lambda: SnapshotLifecycleDriver(settings.snapshot_lifecycle, book(), now_ms)),
    )
    return [Measured(make()) for name, make in every if settings.of(name).enabled]
