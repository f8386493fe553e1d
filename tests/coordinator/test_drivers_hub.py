"""AWS's own advice: each resource once, and nothing that we propose ourselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from tests.contract import AdviceOnly, World
from tests.coordinator.test_drivers import a_recommendation

from tidewatt_coordinator.levers.aws.client import Aws, Refusal, check_request
from tidewatt_coordinator.levers.driver import Context, Unsure
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend import optimization_hub as hub_module
from tidewatt_coordinator.levers.spend.optimization_hub import OptimizationHubDriver
from tidewatt_coordinator.levers.spend.settings import (
    OptimizationHub,
)
from tidewatt_coordinator.prices.files import load_book

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
TODAY = NOW.date()
CONTEXT = Context(now_ms=NOW_MS, spending={"AWS Lambda": Decimal(300)})
EC2 = "Amazon Elastic Compute Cloud - Compute"
BOOK = load_book()

VOLUME = "arn:aws:ec2:us-east-1:123456789012:volume/vol-0ab"


def item(resource: str, action: str, saving: float, **more: Any) -> dict[str, Any]:
    return {
        "recommendationId": "r", "resourceArn": resource, "actionType": action, "source": "ComputeOptimizer",
        "estimatedMonthlySavings": saving, "estimatedMonthlyCost": saving * 3, "currencyCode": "USD",
        "currentResourceSummary": "gp2", "recommendedResourceSummary": "gp3", "implementationEffort": "Low",
        "restartNeeded": False, "recommendationLookbackPeriodInDays": 14,
    } | more  # fmt: skip


ITEMS = [
    item(VOLUME, "Upgrade", 12.5),
    item("arn:aws:ec2:us-east-1:123456789012:volume/vol-0abc", "Delete", 30.0),
    item("arn:aws:ec2:us-east-1:123456789012:instance/i-1", "Rightsize", 40.0, restartNeeded=True),
    item("arn:aws:ec2:us-east-1:123456789012:instance/i-1", "Stop", 90.0),
    item("arn:aws:savingsplans::123456789012:x/sp", "PurchaseSavingsPlans", 400.0),
    item("arn:aws:ec2:us-east-1:123456789012:instance/i-2", "Rightsize", 2.0),
]


@contextmanager
def stubbed(service: str, *answers: tuple[str, Any]) -> Iterator[Aws]:
    """Recorded shapes, held against botocore's model as the real ones are."""
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    client = boto3.client(service, region_name="us-east-1", **keys)
    with Stubber(client) as stub:
        for operation, answer in answers:
            if isinstance(answer, str):
                stub.add_client_error(operation, answer)
            else:
                stub.add_response(operation, answer)
        yield Aws(service, client)


class TestOptimizationHub(AdviceOnly):
    @pytest.fixture
    def world(self, monkeypatch: pytest.MonkeyPatch) -> World:
        pages = [{"items": ITEMS[:3], "nextToken": "n"}, {"items": ITEMS[3:]}]
        answers = [("list_recommendations", page) for page in pages]
        monkeypatch.setattr(hub_module, "aws", lambda service, _s: stubbed(service, *answers))
        driver = OptimizationHubDriver(OptimizationHub(), Sights())
        return World(driver=driver, context=CONTEXT, raw=lambda: ITEMS, disturb=lambda: None)

    def test_each_resource_once_the_small_not_at_all(self, world: World) -> None:
        found = world.driver.propose(world.driver.observe(), CONTEXT)
        assert {(one.target[-7:], one.saving.middle) for one in found} == {
            ("vol-0ab", Decimal("12.50")),
            ("ol-0abc", Decimal("30.00")),
            ("nce/i-1", Decimal("90.00")),
            ("12:x/sp", Decimal("400.00")),
        }
        assert all(one.irreversible and one.effects is None for one in found)

    def test_what_we_propose_ourselves_is_not_told_twice(self, world: World) -> None:
        ours = [
            a_recommendation(driver="block_storage", target="vol-0ab"),
            a_recommendation(driver="commitments", target="commitment for compute"),
            a_recommendation(driver="unused", target="us-east-1", before={"i-1": "on"}, after={"i-1": None}),
        ]
        driver = OptimizationHubDriver(OptimizationHub(), Sights(proposed=lambda: ours))
        found = driver.propose(driver.observe(), CONTEXT)
        assert [one.target[-8:] for one in found] == ["vol-0abc"]

    def test_without_the_hub_compute_optimizer_is_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        option = {
            "instanceType": "m7g.large", "rank": 1, "migrationEffort": "Medium",
            "savingsOpportunity": {"estimatedMonthlySavings": {"currency": "USD", "value": 20.25}},
        }  # fmt: skip
        arn = "arn:aws:ec2:us-east-1:123456789012:instance/i-1"
        one = {"instanceArn": arn, "currentInstanceType": "m5.xlarge", "lookBackPeriodInDays": 14.0}
        answers: dict[str, list[tuple[str, Any]]] = {
            "cost-optimization-hub": [("list_recommendations", "AccessDeniedException")],
            "compute-optimizer": [
                ("get_ec2_instance_recommendations", {
                    "instanceRecommendations": [one | {"recommendationOptions": [option]}], "nextToken": "n"
                }),
                ("get_ec2_instance_recommendations", {"instanceRecommendations": []}),
            ],
        }  # fmt: skip
        monkeypatch.setattr(hub_module, "aws", lambda service, _s: stubbed(service, *answers[service]))
        driver = OptimizationHubDriver(OptimizationHub(), Sights())
        found = driver.propose(driver.observe(), CONTEXT)
        assert [(each.target, each.saving.middle) for each in found] == [(arn, Decimal("20.25"))]
        assert found[0].disruption == 1.0

    def test_another_refusal_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = ("list_recommendations", "InternalFailure")
        monkeypatch.setattr(hub_module, "aws", lambda service, _s: stubbed(service, answer))
        with pytest.raises((Refusal, Unsure)):
            OptimizationHubDriver(OptimizationHub(), Sights()).observe()


def test_every_request_fits_the_model() -> None:
    for service, operation, parameters in (
        ("cost-optimization-hub", "ListRecommendations", {"includeAllRecommendations": False}),
        ("compute-optimizer", "GetEC2InstanceRecommendations", {"nextToken": "n"}),
        ("resourcegroupstaggingapi", "GetResources", {"ResourceTypeFilters": ["ec2:instance"]}),
        ("lambda", "PutFunctionConcurrency", {"FunctionName": "f", "ReservedConcurrentExecutions": 5}),
        ("autoscaling", "UpdateAutoScalingGroup", {"AutoScalingGroupName": "g", "MaxSize": 2}),
    ):
        check_request(service, operation, parameters)
