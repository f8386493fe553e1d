"""The drivers: each keeps the contract before a world of its own; requests are validated when made."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.contract import Contract, World, applied, how, order, proposed
from tests.coordinator.conftest import Client

from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.aws.client import aws as ask_aws
from tidewatt_coordinator.levers.aws.client import check_request
from tidewatt_coordinator.levers.driver import (
    Context,
    Foreign,
    LeverError,
    Recommendation,
    Saving,
    Setting,
    Throttled,
)
from tidewatt_coordinator.levers.edge.s3_lifecycle import RULE, S3LifecycleDriver
from tidewatt_coordinator.levers.power_policy import PowerPolicyDriver
from tidewatt_coordinator.levers.settings import PowerPolicy, S3Lifecycle
from tidewatt_coordinator.levers.twin import Twin
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.rollout.journal import Event, Journal
from tidewatt_coordinator.rollout.plan import Content
from tidewatt_coordinator.rollout.standing import begin, first, moved
from tidewatt_coordinator.rollout.terms import Plan
from tidewatt_wire.messages import Policy, Rule

NOW_MS = 1_790_812_800_000


def a_recommendation(**values: Any) -> Recommendation:
    known: dict[str, Any] = {
        "driver": "twin",
        "target": "t",
        "service": "shop",
        "what": "make it smaller",
        "before": {"size": 4, "spare": {"n": 1}},
        "after": {"size": 2, "spare": None},
        "saving": Saving(low=Decimal(1), middle=Decimal(2), high=Decimal(3)),
        "spending": Decimal(10),
        "disruption": 0.01,
        "risk": "low",
        "evidence": ["it was idle"],
    }
    return Recommendation(**known | values)


def twin(**values: Any) -> Twin:
    one = a_recommendation(**values)

    def propose(settings: Any, _context: Context) -> list[Recommendation]:
        return [one for setting in settings if setting.content.get("size") == one.before["size"]]

    return Twin("twin", {"t": {"size": 4, "spare": {"n": 1}, "other": "theirs"}}, propose)


class TestTwin(Contract):
    @pytest.fixture
    def world(self) -> World:
        driver = twin()
        target = driver.settings["t"]
        return World(
            driver=driver,
            context=Context(now_ms=NOW_MS),
            raw=lambda: dict(driver.settings["t"]),
            disturb=lambda: target.update(size=3),
            add_foreign=lambda: target.update(more="theirs"),
        )


# S3


FOREIGN = {
    "ID": "theirs",
    "Status": "Enabled",
    "Filter": {"And": {"Prefix": "logs/", "ObjectSizeGreaterThan": 1000}},
    "Transitions": [{"Days": 40, "StorageClass": "STANDARD_IA"}],
    "Expiration": {"Days": 400},
}


class TestS3Lifecycle(Contract):
    @pytest.fixture
    def s3(self, client: Client) -> Any:
        s3 = client("s3")
        s3.create_bucket(Bucket="shop")
        upload = s3.create_multipart_upload(Bucket="shop", Key="big")
        s3.upload_part(
            Bucket="shop", Key="big", UploadId=upload["UploadId"], PartNumber=1, Body=b"x" * 5_000_000
        )
        self.put(s3, [FOREIGN])
        return s3

    @staticmethod
    def put(client: Any, rules: list[Any]) -> None:
        client.put_bucket_lifecycle_configuration(Bucket="shop", LifecycleConfiguration={"Rules": rules})

    @staticmethod
    def rules(client: Any) -> list[Any]:
        found: list[Any] = client.get_bucket_lifecycle_configuration(Bucket="shop")["Rules"]
        return found

    @pytest.fixture
    def world(self, s3: Any, cloud: str) -> World:
        settings = S3Lifecycle(endpoint=cloud)
        later = datetime.now(timezone.utc) + timedelta(days=8)
        odd = {"ID": RULE, "Status": "Disabled", "Filter": {"Prefix": "x"}, "Expiration": {"Days": 9}}
        return World(
            driver=S3LifecycleDriver(settings, load_book()),
            context=Context(now_ms=round(later.timestamp() * 1000)),
            raw=lambda: self.rules(s3),
            disturb=lambda: self.put(s3, [*self.rules(s3), odd]),
            add_foreign=lambda: self.put(s3, [*self.rules(s3), FOREIGN | {"ID": "more"}]),
        )

    def test_fresh_uploads_and_rules_of_others_leave_nothing_to_propose(self, world: World, s3: Any) -> None:
        seen = world.driver.observe()
        begun_ms = seen[0].facts["uploads"][0]["begun_ms"]
        assert not world.driver.propose(seen, Context(now_ms=begun_ms + 6 * 86_400_000))
        everything = {"ID": "t", "Status": "Enabled", "Filter": {"Prefix": ""}}
        self.put(s3, [everything | {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}])
        assert not world.driver.propose(world.driver.observe(), world.context)

    def test_a_bucket_without_any_lifecycle_has_none_again(self, world: World, s3: Any) -> None:
        s3.delete_bucket_lifecycle(Bucket="shop")
        one = applied(world)
        assert self.rules(s3) == [one.after[RULE]]
        world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
        with pytest.raises(s3.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
            self.rules(s3)

    def test_the_saving_is_what_the_parts_cost(self, world: World) -> None:
        one = proposed(world)
        assert one.saving.middle == pytest.approx(
            Decimal(5_000_000) / 2**30 * Decimal("0.023"), rel=Decimal("1e-6")
        )
        assert one.risk != "low"  # no rule approves it

    def test_what_the_model_forbids_is_never_sent(self, cloud: str) -> None:
        with pytest.raises(LeverError, match="Missing required parameter.*Bucket"):
            check_request("s3", "PutBucketLifecycleConfiguration", {})
        with pytest.raises(LeverError, match="no operation PutBucketLifecicle"):
            check_request("s3", "PutBucketLifecicle", {})
        with (
            ask_aws("s3", S3Lifecycle(endpoint=cloud)) as s3,
            pytest.raises(LeverError, match="Invalid type"),
        ):
            s3.call("DeleteBucketLifecycle", Bucket=3)

    def test_nobody_there_is_surely_nothing_done(self) -> None:
        driver = S3LifecycleDriver(S3Lifecycle(endpoint="http://127.0.0.1:9", buckets=["b"]), load_book())
        with pytest.raises(Throttled, match="nothing was sent"):
            driver.observe()


# The power policy

PINNED = [Rule(match={"site": "a"}, policy=Policy(mode="MAXN")), Rule()]


class TestPowerPolicy(Contract):
    @pytest.fixture
    def journal(self, tmp_path: Path) -> Iterator[Journal]:
        ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
        journal = Journal(ledger.engine, "f")
        journal.write(None, first("f", Content(rules=PINNED), 0, NOW_MS), None)
        yield journal
        ledger.close()

    @pytest.fixture
    def world(self, journal: Journal) -> World:
        return World(
            driver=PowerPolicyDriver(PowerPolicy(), journal, "f", lambda: NOW_MS),
            context=Context(now_ms=NOW_MS, spending={ELECTRICITY: Decimal(100)}),
            raw=lambda: self.rules(journal),
            disturb=lambda: self.become(journal, [Rule(policy=Policy(mode="15W"))]),
            settle=lambda: self.end(journal, "complete"),
        )

    @staticmethod
    def rules(journal: Journal) -> list[Rule]:
        kept = journal.read()
        assert kept
        live = kept.standing.live
        return live.new.rules if live else kept.standing.content.rules

    @staticmethod
    def become(journal: Journal, rules: list[Rule]) -> None:
        kept = journal.read()
        journal.write(kept, first("f", Content(rules=rules), 0, NOW_MS), None)

    @staticmethod
    def end(journal: Journal, stage: Any) -> None:
        kept = journal.read()
        assert kept
        if live := kept.standing.live:
            journal.write(
                kept, moved(kept.standing, replace(live, stage=stage, reason="a gate"), NOW_MS), None
            )

    def test_it_goes_out_in_waves_and_can_be_stopped_on_its_way(self, world: World, journal: Journal) -> None:
        one = applied(world)
        now = world.driver.read(one.target)
        assert (how(world, one), now.settled) == ("applied", False)
        world.driver.send(order(one, now, one.before, undo=True))
        kept = journal.read()
        assert kept
        assert kept.standing.live is None
        assert kept.standing.content.rules == PINNED

    def test_what_its_gates_refused_is_not_begun_again(self, world: World, journal: Journal) -> None:
        one = applied(world)
        self.end(journal, "aborted")
        assert how(world, one) == "untouched"
        with pytest.raises(LeverError, match="its rollout was aborted: a gate"):
            world.driver.send(order(one, world.driver.read(one.target), one.after))

    def test_another_rollout_is_left_alone(self, world: World, journal: Journal) -> None:
        one = proposed(world)
        event = Event(at_ms=NOW_MS, what="x", author="me", reason="")
        other = Content(rules=[Rule(policy=Policy(mode="7W"))], name="night")
        journal.change(lambda standing: begin(standing, other, Plan(), NOW_MS), event)
        with pytest.raises(Foreign, match="night"):
            world.driver.send(order(one, Setting(target=one.target, content=one.before), one.after))
