"""Drivers of the bill: commitments, other clouds, AWS's advice, tags, cost spikes."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import httpx
import msgspec
import pytest
from botocore.stub import Stubber
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.between import Between, between
from tests.contract import Contract, World, applied, how, order, proposed
from tests.coordinator.test_drivers_edge import Enduring
from tests.costing import aws
from typer.testing import CliRunner

from tidewatt_coordinator.anomalies.detect import Verdict
from tidewatt_coordinator.anomalies.groups import Found
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.costs.settings import Costs
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.aws.client import Aws, Refusal, check_request
from tidewatt_coordinator.levers.driver import Context, LeverError, Order, Recommendation, Throttled, Unsure
from tidewatt_coordinator.levers.settings import Levers, wrong_levers
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend import optimization_hub as hub_module
from tidewatt_coordinator.levers.spend.commitments import CommitmentsDriver
from tidewatt_coordinator.levers.spend.committing import Offer, choose, fall, growths, use_of
from tidewatt_coordinator.levers.spend.cost_spike import CostSpikeDriver
from tidewatt_coordinator.levers.spend.multi_cloud import MultiCloudDriver
from tidewatt_coordinator.levers.spend.optimization_hub import OptimizationHubDriver
from tidewatt_coordinator.levers.spend.settings import (
    Brake,
    Commitments,
    CostSpike,
    Derived,
    MultiCloud,
    OptimizationHub,
    Required,
    Tags,
)
from tidewatt_coordinator.levers.spend.tags import TagsDriver, _check
from tidewatt_coordinator.prices.book import PriceError
from tidewatt_coordinator.prices.elsewhere import compare, pays_back_months, shape_of
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.proposals import orders as by_hand
from tidewatt_coordinator.proposals.pipeline import Pipeline
from tidewatt_coordinator.proposals.sights import sights
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.questions.rows import Cost
from tidewatt_coordinator.questions.untagged import tagged
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.sla.judging import Judge
from tidewatt_coordinator.sla.objectives import Service

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
TODAY = NOW.date()
CONTEXT = Context(now_ms=NOW_MS, spending={"AWS Lambda": Decimal(300)})
EC2 = "Amazon Elastic Compute Cloud - Compute"
BOOK = load_book()


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with aws() as url:
        yield url


@pytest.fixture(scope="module")
def line(cloud: str) -> Iterator[Between]:
    with between(cloud) as proxy:
        yield proxy


@pytest.fixture
def fresh(cloud: str, line: Between) -> Between:
    httpx.post(f"{cloud}/moto-api/reset").raise_for_status()
    line.faults.clear()
    line.changes.clear()
    return line


def cost(*key: str, effective: float | str, currency: str = "USD") -> Cost:
    amount = Decimal(str(effective))
    return Cost(key=key, currency=currency, billed=amount, effective=amount, marginal=None)


def is_advice(driver: Any, one: Recommendation) -> None:
    """What is only recommended can't be sent, by any way."""
    assert one.irreversible
    with pytest.raises(LeverError):
        driver.send(Order(target=one.target, expect=one.before, put=one.after))


class Advice(Contract):
    """The contract of drivers that apply nothing: what is proposed is whole and pure, and never sent."""

    def test_applying_and_rolling_back_restores_the_bytes(self, world: World) -> None:
        before = world.raw()
        is_advice(world.driver, proposed(world))
        assert world.raw() == before

    test_what_was_applied_is_not_proposed_again = None  # type: ignore[assignment]
    test_a_lost_precondition_changes_nothing = None  # type: ignore[assignment]
    test_the_same_order_twice_is_done_once = None  # type: ignore[assignment]
    test_what_others_own_stays = None  # type: ignore[assignment]


# Commitments

DAYS = 84
YEAR_NONE = Offer(table="t", name="1-year-none", share=0.73, months=12, upfront=0)


def spent(per_day: list[float], service: str = EC2) -> Sights:
    first = TODAY - timedelta(days=len(per_day))
    rows = [
        cost(str(first + timedelta(days=day)), service, "Usage", effective=amount)
        for day, amount in enumerate(per_day)
    ]
    return Sights(spent=lambda _days, _by: rows)


class TestCommitments(Advice):
    @pytest.fixture
    def world(self) -> World:
        sights = spent([240.0] * DAYS)
        driver = CommitmentsDriver(Commitments(), BOOK, sights)
        return World(driver=driver, context=CONTEXT, raw=lambda: None, disturb=lambda: None)

    def test_the_longest_and_deepest_isnt_bought_where_shrinking_is_likely(self, world: World) -> None:
        one = proposed(world)
        told = one.after["commitment"]
        assert one.before == {"commitment": None}
        assert one.saving.low > 0
        # 240 a day are 10 an hour; even the least hour is more than what is committed to covers.
        assert Decimal(told["per_hour"]) < 10
        assert any("futures lose money" in sentence for sentence in one.evidence)
        short = CommitmentsDriver(Commitments(most_months=12), BOOK, spent([240.0] * DAYS))
        year = short.propose(short.observe(), CONTEXT)[0]
        assert year.after["commitment"]["months"] == 12
        assert year.saving.middle < one.saving.middle

    def test_too_little_history_other_services_and_what_is_committed_leave_nothing(self) -> None:
        for seen, terms in (
            (spent([240.0] * 20), Commitments()),
            (spent([240.0] * DAYS, "Amazon Simple Storage Service"), Commitments()),
            (spent([240.0] * DAYS), Commitments(committed_per_hour={"compute": Decimal(15)})),
            (spent([0.0] * DAYS), Commitments()),
        ):
            driver = CommitmentsDriver(terms, BOOK, seen)
            assert not driver.propose(driver.observe(), CONTEXT)

    def test_tomorrows_advice_is_todays(self) -> None:
        told = []
        for level in (240.0, 240.4):
            driver = CommitmentsDriver(Commitments(), BOOK, spent([level] * DAYS))
            told.append(driver.propose(driver.observe(), CONTEXT)[0].after)
        assert told[0] == told[1]

    def test_a_fall_that_is_seen_makes_it_smaller(self) -> None:
        steady, falling = (
            choose(use_of(days, 0.6), YEAR_NONE, growths(-0.3, 0.3, fall(days)), 0.1)
            for days in ([240.0] * 56, [250.0] * 28 + [240.0] * 28)
        )
        assert steady
        assert falling is None or falling.per_hour < steady.per_hour

    @settings(max_examples=25, deadline=None)
    @given(
        days=st.lists(st.floats(1, 1000), min_size=28, max_size=40),
        share=st.floats(0.3, 0.9),
        scale=st.sampled_from([0.1, 10.0, 1000.0]),
    )
    def test_the_saving_is_bounded_and_scales_with_money(
        self, days: list[float], share: float, scale: float
    ) -> None:
        offer = msgspec.structs.replace(YEAR_NONE, share=share)
        flat = growths(-0.2, 0.2, 0.0)
        one = choose(use_of(days, 0.6), offer, flat, 0.1)
        if one is None:
            return
        assert one.low <= one.middle <= one.high
        assert one.loss <= 0.1
        assert one.used >= share  # else the mean saving were none
        # Never more than the discount on everything that would be spent.
        most = sum(days) / len(days) / 24 * 730 * (1 - share) * max(1 + each for each in flat)
        assert one.middle <= most + 1e-6
        larger = choose(use_of([day * scale for day in days], 0.6), offer, flat, 0.1)
        assert larger
        assert larger.middle == pytest.approx(one.middle * scale, rel=0.05)

    def test_break_even_is_the_share(self) -> None:
        use = use_of([240.0] * 30, 1.0)
        certain = growths(0.0, 0.0, 0.0)
        one = choose(use, YEAR_NONE, certain, 0.1)
        assert one
        assert one.per_hour == pytest.approx(10 * 0.73, rel=0.08)
        assert one.middle == pytest.approx(10 * 0.27 * 730, rel=0.08)
        assert one.even_months == pytest.approx(12 * 0.73)
        assert one.upfront == 0


# Other clouds


class TestMultiCloud(Advice):
    @pytest.fixture
    def world(self) -> World:
        terms = MultiCloud(nodes={"m7g.2xlarge": 5}, stored_gb=1000.0)
        driver = MultiCloudDriver(terms, BOOK)
        return World(driver=driver, context=CONTEXT, raw=lambda: None, disturb=lambda: None)

    def test_the_same_machines_by_hand(self) -> None:
        found = compare(BOOK, {"m7g.2xlarge": 5}, "us-east-1", on=TODAY, stored_gb=Decimal(1000))
        gcp = next(one for one in found if one.provider == "gcp")
        assert gcp.here == Decimal("0.3264") * 730 * 5
        assert gcp.there == Decimal("0.308") * 730 * 5
        assert [one.machine for one in gcp.nodes] == ["t2a-standard-8"]
        assert gcp.moving == Decimal(90)
        assert pays_back_months(gcp) == Decimal("1.3")

    def test_shapes_by_name(self) -> None:
        assert shape_of("c7g.2xlarge").gib == 16
        assert shape_of("r6i.large").arm64 is False
        with pytest.raises(PriceError, match=r"t3\.large"):
            shape_of("t3.large")

    def test_what_is_dearer_elsewhere_is_not_recommended(self) -> None:
        driver = MultiCloudDriver(MultiCloud(nodes={"c7g.2xlarge": 5}), BOOK)
        assert not driver.propose(driver.observe(), CONTEXT)
        assert MultiCloudDriver(MultiCloud(), BOOK).probe().ready == "no"


# AWS's advice

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


class TestOptimizationHub(Advice):
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
        from tests.coordinator.test_drivers import a_recommendation  # noqa: PLC0415

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


# Tags


class TestTags(Enduring):
    @pytest.fixture
    def s3(self, fresh: Between) -> Iterator[Any]:
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=fresh.upstream)
        client.create_bucket(Bucket="shop-images")
        self.put(client, theirs="x")
        yield client
        client.close()

    @staticmethod
    def put(client: Any, **tags: str) -> None:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        client.put_bucket_tagging(Bucket="shop-images", Tagging={"TagSet": pairs})

    @staticmethod
    def raw(client: Any) -> dict[str, str]:
        found = client.get_bucket_tagging(Bucket="shop-images")["TagSet"]
        return {tag["Key"]: tag["Value"] for tag in found}

    @pytest.fixture
    def world(self, s3: Any, fresh: Between) -> World:
        policy = Tags(
            endpoint=fresh.url,
            require=[
                Required(tag="owner", derive=[Derived(match="*:shop-*", value="shop")]),
                Required(tag="project", values=["web"]),
            ],
        )
        known = [cost("arn:aws:s3:::shop-images", effective="12.5"), cost("arn:aws:s3:::never", effective=3)]
        driver = TagsDriver(policy, Sights(spent=lambda _days, _by: known))
        return World(
            driver=driver,
            context=CONTEXT,
            raw=lambda: self.raw(s3),
            disturb=lambda: self.put(s3, **self.raw(s3), owner="ops"),
            add_foreign=lambda: self.put(s3, **self.raw(s3), more="theirs"),
        )

    def test_what_is_proposed_is_whole(self, world: World) -> None:
        one = proposed(world)
        assert one.after == {"owner": "shop"}
        assert one.saving.middle == 0  # tags save nothing by themselves
        assert one.spending == Decimal("12.50")
        assert how(world, one) == "untouched"

    def test_what_nobody_can_tell_is_left_to_people(self, world: World) -> None:
        seen = {one.target: one.content for one in world.driver.observe()}
        assert seen["arn:aws:s3:::never"] == {"owner": None, "project": None}  # from the bill
        told = world.driver.propose(world.driver.observe(), world.context)
        assert [one.target for one in told] == ["arn:aws:s3:::shop-images"]

    def test_a_failure_for_one_resource_is_a_failure(self) -> None:
        def failed(status: int, code: str) -> dict[str, Any]:
            return {"FailedResourcesMap": {"a": {"StatusCode": status, "ErrorCode": code}}}

        for answer, after, error in (
            (failed(400, "InvalidParameterException"), False, LeverError),
            (failed(500, "InternalServiceException"), False, Unsure),
            (failed(400, "InvalidParameterException"), True, Unsure),
            (failed(400, "ThrottlingException"), False, Throttled),
        ):
            with pytest.raises(error):
                _check(answer, after=after)
        _check({"FailedResourcesMap": {}})


# Cost spikes


def spike(value: str = "AWS Lambda", kinds: tuple[Any, ...] = ("level",)) -> Found:
    verdict = Verdict(
        day=TODAY, cost=Decimal(90), expected=Decimal(10), by="the median of 8 Saturdays",
        yesterday=Decimal(11), kinds=kinds,
    )  # fmt: skip
    return Found(by="service", value=value, currency="USD", verdict=verdict)


def brake(**values: Any) -> Brake:
    known: dict[str, Any] = {
        "value": "AWS Lambda", "kind": "lambda_concurrency", "name": "thumbs", "limit": 5, "service": "shop",
        "more_errors": 0.001, "risk": "low",
    }  # fmt: skip
    return Brake(**known | values)


class TestCostSpike(Enduring):
    @pytest.fixture
    def function(self, fresh: Between) -> Iterator[Any]:
        role = boto3.client("iam", region_name="us-east-1", endpoint_url=fresh.upstream).create_role(
            RoleName="r", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
        )["Role"]["Arn"]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("f.py", "def f(e, c): ...")
        client = boto3.client("lambda", region_name="us-east-1", endpoint_url=fresh.upstream)
        client.create_function(
            FunctionName="thumbs", Runtime="python3.12", Role=role, Handler="f.f",
            Code={"ZipFile": packed.getvalue()},
        )  # fmt: skip
        yield client
        client.close()

    @pytest.fixture
    def spikes(self) -> list[Found]:
        return [spike()]

    @pytest.fixture
    def world(self, function: Any, fresh: Between, spikes: list[Found]) -> World:
        terms = CostSpike(endpoint=fresh.url, brakes=[brake()])
        driver = CostSpikeDriver(terms, Sights(spikes=lambda _days: spikes))

        def raw() -> Any:
            return function.get_function_concurrency(FunctionName="thumbs").get(
                "ReservedConcurrentExecutions"
            )

        return World(
            driver=driver,
            context=CONTEXT,
            raw=raw,
            disturb=lambda: function.put_function_concurrency(
                FunctionName="thumbs", ReservedConcurrentExecutions=50
            ),
        )

    def test_it_is_given_free_when_the_spike_is_over(self, world: World, spikes: list[Found]) -> None:
        one = applied(world)
        assert world.raw() == 5
        spikes.clear()
        again = proposed_release(world)
        assert (again.before, again.after) == (one.after, one.before)
        world.driver.send(order(again, world.driver.read(again.target), again.after))
        assert world.raw() is None

    def test_a_rule_puts_it_and_a_person_takes_it_back(
        self, world: World, spikes: list[Found], tmp_path: Path
    ) -> None:
        """The whole way through the pipeline, on a real database and a real API."""
        now = [NOW_MS]
        measured = {NOW_MS - minute * 60_000: 0.0001 for minute in range(60)}
        rule = CostSpike(
            enabled=True, dry_run=False, approve="rule", guard_s=300.0, brakes=[brake()], least_score=0.0
        )
        shop = Service(service="shop", error_rate=0.01, queries={"error_rate": "e"}, window_s=600.0)
        with closing(Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)) as ledger:
            lease = Lease(ledger.engine, "f", "one", 30_000, lambda: now[0])
            store = Proposals(ledger.engine, "f")
            pipeline = Pipeline(
                [world.driver],
                store,
                Levers(cost_spike=rule),
                Judge([shop], lambda _s, _u: {"error_rate": dict(measured)}, lambda: now[0]),
                lease,
                lambda: msgspec.structs.replace(CONTEXT, now_ms=now[0]),
                lambda: now[0],
            )

            def run(minutes: int) -> tuple[str, Any]:
                for _ in range(minutes):
                    now[0] += 60_000
                    measured[now[0]] = 0.0001
                    lease.keep()
                    pipeline.tick()
                return store.page("", 1)[0].proposal.stage, world.raw()

            assert run(12) == ("kept", 5)
            name = store.page("", 1)[0].proposal.id
            spikes.clear()
            store.order(name, lambda one: by_hand.roll_back(one, "me", "", now[0]), "me", now[0])
            assert run(8) == ("rolled_back", None)

    def test_only_a_level_is_a_spike_and_only_of_what_is_watched(
        self, world: World, spikes: list[Found]
    ) -> None:
        spikes[:] = [spike(kinds=("spike",)), spike("Amazon DynamoDB")]
        assert not world.driver.propose(world.driver.observe(), CONTEXT)

    def test_the_saving_is_the_excess(self, world: World) -> None:
        one = proposed(world)
        assert (one.saving.low, one.saving.high) == (Decimal("16.00"), Decimal("2160.00"))
        assert one.spending == Decimal(2700)
        assert one.effects
        assert one.effects["availability"].plus == -0.001


def proposed_release(world: World) -> Recommendation:
    found = world.driver.propose(world.driver.observe(), world.context)
    assert len(found) == 1
    return found[0]


def test_a_groups_size_is_limited_and_restored(fresh: Between) -> None:
    groups = boto3.client("autoscaling", region_name="us-east-1", endpoint_url=fresh.upstream)
    groups.create_launch_configuration(
        LaunchConfigurationName="c", ImageId="ami-12c6146b", InstanceType="m5.large"
    )
    groups.create_auto_scaling_group(
        AutoScalingGroupName="web", LaunchConfigurationName="c", MinSize=0, MaxSize=8, DesiredCapacity=0,
        AvailabilityZones=["us-east-1a"],
    )  # fmt: skip
    one = brake(kind="asg_max_size", name="web", limit=2, usual=8)
    driver = CostSpikeDriver(
        CostSpike(endpoint=fresh.url, brakes=[one]), Sights(spikes=lambda _days: [spike()])
    )
    world = World(driver=driver, context=CONTEXT, raw=lambda: None, disturb=lambda: None)
    told = applied(world)
    assert (told.before, told.after) == ({"MaxSize": 8}, {"MaxSize": 2})
    assert how(world, told) == "applied"
    driver.send(order(told, driver.read(told.target), told.before, undo=True))
    assert how(world, told) == "untouched"
    groups.close()


def test_settings_that_cannot_be_are_told() -> None:
    wrong = Levers(
        tags=Tags(require=[Required(tag="owner", values=["a"], derive=[Derived(match="*", value="b")])]),
        cost_spike=CostSpike(
            brakes=[
                brake(), brake(watch="tag"), brake(name="g", kind="asg_max_size"), brake(name="h", usual=5)
            ]
        ),
        commitments=Commitments(growth=(0.3, -0.3)),
    )  # fmt: skip
    told = " ".join(wrong_levers(wrong))
    for part in ("'b' is none", "stands there twice", "names the tag", "no unlimited size", "not below"):
        assert part in told
    assert "0.3 is above -0.3" in told
    assert not list(wrong_levers(Levers()))


def test_every_request_fits_the_model() -> None:
    for service, operation, parameters in (
        ("cost-optimization-hub", "ListRecommendations", {"includeAllRecommendations": False}),
        ("compute-optimizer", "GetEC2InstanceRecommendations", {"nextToken": "n"}),
        ("resourcegroupstaggingapi", "GetResources", {"ResourceTypeFilters": ["ec2:instance"]}),
        ("lambda", "PutFunctionConcurrency", {"FunctionName": "f", "ReservedConcurrentExecutions": 5}),
        ("autoscaling", "UpdateAutoScalingGroup", {"AutoScalingGroupName": "g", "MaxSize": 2}),
    ):
        check_request(service, operation, parameters)


def test_who_answers_for_what_and_for_what_nobody_does() -> None:
    rows = [
        cost("EC2", "shop", "(none)", effective="10.01"),
        cost("EC2", "(none)", "web", effective="5"),
        cost("S3", "(none)", "old", effective="0.99"),
        cost("S3", "shop", "web", effective="3", currency="EUR"),
    ]
    found = tagged(rows, ["owner", "project"], [[], ["web"]])
    owner = next(one for one in found if (one.tag, one.currency) == ("owner", "USD"))
    assert owner.by_value == {"shop": Decimal("10.01")}
    assert owner.untagged == {"EC2": Decimal(5), "S3": Decimal("0.99")}
    project = next(one for one in found if (one.tag, one.currency) == ("project", "USD"))
    assert project.wrong == {"old": Decimal("0.99")}
    for one in found:
        assert one.missing + sum(one.by_value.values()) == one.whole


def test_the_commands_print(tmp_path: Path) -> None:
    run = CliRunner()
    told = run.invoke(app, ["prices", "compare", "m7g.2xlarge=5", "--stored-gb", "1000"])
    assert told.exit_code == 0
    assert "gcp us-central1: 1,124.20 USD a month, aws 1,191.36" in told.output
    config = tmp_path / "c.toml"
    config.write_text(f'[ledger]\nurl = "sqlite:///{tmp_path / "l.db"}"\n')
    told = run.invoke(app, ["cost", "tags", "--config", str(config)])
    assert "that is missing, not free" in told.output
    with closing(Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)) as ledger:
        day_ms = 86_400_000
        ended = NOW_MS - NOW_MS % day_ms
        charges = [
            Charge(
                source="focus",
                key=str(number),
                start_ms=ended - number * day_ms,
                end_ms=ended - (number - 1) * day_ms,
                service="AWS Lambda",
                tags={"owner": "shop"},
                billed=Decimal(90 if number == 1 else 10),
                effective=Decimal(90 if number == 1 else 10),
            )
            for number in range(1, 60)
        ]
        Charges(ledger.engine).put(charges, NOW_MS)
        settings = Config(
            costs=Costs(bill="focus"),
            levers=Levers(cost_spike=CostSpike(brakes=[brake(watch="tag", tag="owner", value="shop")])),
        )
        answers = Answers(ledger, "f", "focus", lambda: NOW_MS)
        store = Proposals(ledger.engine, "f")
        seen = sights(ledger, settings, answers, store, lambda: NOW_MS)
        spikes = [(one.by, one.value, str(one.verdict.day)) for one in seen.spikes(2)]
        assert spikes == [
            ("service", "AWS Lambda", "2026-11-20"),
            ("tag:owner", "shop", "2026-11-20"),
        ]
        assert seen.spent(7, ["service"])[0].key == ("AWS Lambda",)
        assert seen.proposed() == []
