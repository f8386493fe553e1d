"""Cost spikes: a brake that a rule puts on and takes off, behind a line that breaks."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pytest
from tests.between import Between
from tests.contract import Enduring, World, applied, how, order, proposed
from typer.testing import CliRunner

from tidewatt_coordinator.anomalies.detect import Verdict
from tidewatt_coordinator.anomalies.groups import Found
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.costs.settings import Costs
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.driver import Context, Recommendation
from tidewatt_coordinator.levers.settings import Levers, wrong_levers
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend.cost_spike import CostSpikeDriver
from tidewatt_coordinator.levers.spend.settings import (
    Brake,
    Commitments,
    CostSpike,
    Derived,
    Required,
    Tags,
)
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.proposals import orders as by_hand
from tidewatt_coordinator.proposals.pipeline import Pipeline
from tidewatt_coordinator.proposals.sights import sights
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.sla.judging import Judge
from tidewatt_coordinator.sla.objectives import Service

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
TODAY = NOW.date()
CONTEXT = Context(now_ms=NOW_MS, spending={"AWS Lambda": Decimal(300)})
EC2 = "Amazon Elastic Compute Cloud - Compute"
BOOK = load_book()


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
    groups.update_auto_scaling_group(AutoScalingGroupName="web", DesiredCapacity=5)
    told = applied(world)
    assert told.capacity == pytest.approx(3 / 5), "three of five instances end, which the blast radius bounds"
    assert told.evidence[-1].startswith("3 of 5 instances end; given free,")
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
