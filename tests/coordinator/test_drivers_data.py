"""The levers on data and block storage: each keeps the contract before moto's server; what they compute."""

from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.amazon import BOOK, LATER, READS, WRITES, count, now_ms
from tests.contract import Contract, World, applied, order, proposed
from tests.coordinator.conftest import Client

from tidewatt_coordinator.levers.aws.client import check_request
from tidewatt_coordinator.levers.aws.steps import in_order
from tidewatt_coordinator.levers.data.aurora import AuroraDriver
from tidewatt_coordinator.levers.data.aurora_nights import at_night, most_connections
from tidewatt_coordinator.levers.data.dynamodb import PERIOD_S, DynamoDbDriver, costs, needed
from tidewatt_coordinator.levers.data.ebs_volumes import EbsVolumesDriver, speed
from tidewatt_coordinator.levers.data.settings import Aurora, DynamoDb, EbsVolumes
from tidewatt_coordinator.levers.driver import Foreign, Lost, Order, Unsure
from tidewatt_coordinator.levers.settings import Levers, wrong_levers

# DynamoDB


class TestDynamoDb(Contract):
    @pytest.fixture
    def tables(self, client: Client) -> Any:
        tables, watch = client("dynamodb"), client("cloudwatch")
        units = {"ReadCapacityUnits": 500, "WriteCapacityUnits": 100}
        tables.create_table(
            TableName="carts",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "day")],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            ProvisionedThroughput=units,
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-day",
                    "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                    "ProvisionedThroughput": units,
                }
            ],
        )
        values = {3600 * hour: 900.0 for hour in range(1, 49, 4)}
        for kind in ("Read", "Write"):
            count(watch, "AWS/DynamoDB", f"Consumed{kind}CapacityUnits", {"TableName": "carts"}, values)
        return tables

    @pytest.fixture
    def world(self, tables: Any, cloud: str) -> World:
        return World(
            driver=DynamoDbDriver(DynamoDb(endpoint=cloud, days=2), BOOK, now_ms),
            context=LATER,
            raw=lambda: self.billing(tables),
            disturb=lambda: self.more(tables),
        )

    @staticmethod
    def billing(tables: Any) -> Any:
        table = tables.describe_table(TableName="carts")["Table"]
        mode = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
        if mode != "PROVISIONED":
            return mode
        held = [table["ProvisionedThroughput"]]
        held += [one["ProvisionedThroughput"] for one in table["GlobalSecondaryIndexes"]]
        return [(one["ReadCapacityUnits"], one["WriteCapacityUnits"]) for one in held]

    @staticmethod
    def more(tables: Any) -> None:
        held = {"ReadCapacityUnits": 600, "WriteCapacityUnits": 100}
        tables.update_table(TableName="carts", ProvisionedThroughput=held)

    def test_it_saves_what_the_provisioned_units_cost_beyond_what_was_used(self, world: World) -> None:
        one = proposed(world)
        held = 2 * (500 * Decimal("0.00013") + 100 * Decimal("0.00065")) * 730
        used = 6 * 900 * (Decimal("0.125e-6") + Decimal("0.625e-6")) * 365 / 12
        assert one.saving.middle == pytest.approx(held - used, rel=Decimal("1e-9"))
        assert one.spending == pytest.approx(held, rel=Decimal("1e-9"))
        assert (one.risk, one.after) == ("low", {"billing": {"mode": "PAY_PER_REQUEST"}})

    def test_a_table_that_application_auto_scaling_sets_is_left(self, world: World, client: Client) -> None:
        one = proposed(world)
        client("application-autoscaling").register_scalable_target(
            ServiceNamespace="dynamodb",
            ResourceId="table/carts",
            ScalableDimension="dynamodb:table:ReadCapacityUnits",
            MinCapacity=5,
            MaxCapacity=500,
        )
        assert not world.driver.propose(world.driver.observe(), world.context)
        with pytest.raises(Foreign, match="Application Auto Scaling"):
            world.driver.send(order(one, world.driver.read(one.target), one.after))


def test_dynamodb_breaks_even_where_a_little_over_a_quarter_is_used() -> None:
    assert READS.break_even() == pytest.approx(0.2889, abs=1e-4)
    assert WRITES.break_even() == pytest.approx(0.2889, abs=1e-4)


@settings(max_examples=60)
@given(st.floats(0.5, 3000), st.floats(0.05, 1))
def test_provisioned_is_cheaper_from_the_break_even_on(rate: float, share: float) -> None:
    used = {":Read": [rate * PERIOD_S] * 288}
    held = needed(used, share)
    assert held["units"][""]["Read"] * share >= rate * 0.999
    provisioned = costs(used, held, {"Read": READS}, 1)[0]
    demand = costs(used, {"mode": "PAY_PER_REQUEST"}, {"Read": READS}, 1)[0]
    use = rate / held["units"][""]["Read"]
    assert (provisioned < demand) == (use > READS.break_even())


# Volumes


class TestEbsVolumes(Contract):
    @pytest.fixture
    def ec2(self, client: Client) -> Any:
        return client("ec2")

    @pytest.fixture
    def volume(self, ec2: Any) -> str:
        made = ec2.create_volume(Size=1000, AvailabilityZone="us-east-1a", VolumeType="gp2")
        return str(made["VolumeId"])

    @pytest.fixture
    def world(self, ec2: Any, volume: str, cloud: str) -> World:
        return World(
            driver=EbsVolumesDriver(EbsVolumes(endpoint=cloud), BOOK),
            context=LATER,
            raw=lambda: self.kind(ec2, volume),
            disturb=lambda: ec2.modify_volume(VolumeId=volume, VolumeType="io1", Iops=900),
        )

    @staticmethod
    def kind(ec2: Any, volume: str) -> Any:
        kind = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
        # gp2 has no IOPS of its own choosing.
        speed = (kind.get("Iops"), kind.get("Throughput")) if kind["VolumeType"] != "gp2" else None
        return kind["VolumeType"], kind["Size"], speed

    def test_it_is_no_slower_and_costs_less(self, world: World) -> None:
        one = proposed(world)
        assert one.after["volume"] == {"type": "gp3", "iops": 3000, "mibps": 250}
        assert one.saving.middle == 1000 * (Decimal("0.10") - Decimal("0.08")) - 125 * Decimal("0.04")

    def test_a_small_volume_that_is_as_fast_as_the_rest_is_worth_it_and_a_middling_one_is_not(
        self, world: World
    ) -> None:
        seen = world.driver.observe()[0]
        told = {
            gib: world.driver.propose([replace(seen, facts={"gib": gib})], world.context)
            for gib in (100, 240, 5000)
        }
        assert told[100][0].after["volume"] == {"type": "gp3", "iops": 3000, "mibps": 128}
        assert not told[240]  # 250 MiB/s cost more than what the size saves
        assert told[5000][0].after["volume"]["iops"] == 15_000

    def test_gp2_has_speed_by_size(self) -> None:
        assert [speed(gib) for gib in (10, 170, 171, 6000)] == [
            (100, 128), (510, 128), (513, 250), (16_000, 250)
        ]  # fmt: skip


# Aurora


class TestAurora(Contract):
    @pytest.fixture
    def clusters(self, client: Client) -> Any:
        clusters, watch = client("rds"), client("cloudwatch")
        clusters.create_db_cluster(
            DBClusterIdentifier="shop",
            Engine="aurora-postgresql",
            EngineVersion="16.4",
            MasterUsername="root",
            MasterUserPassword="for a test",
            ServerlessV2ScalingConfiguration={"MinCapacity": 4, "MaxCapacity": 16},
        )
        at, hours = {"DBClusterIdentifier": "shop"}, [3600 * hour for hour in range(1, 49)]
        count(watch, "AWS/RDS", "ServerlessDatabaseCapacity", at, dict.fromkeys(hours, 4.0))
        count(watch, "AWS/RDS", "CPUUtilization", at, dict.fromkeys(hours, 14.0))
        count(watch, "AWS/RDS", "DatabaseConnections", at, dict.fromkeys(hours, 12.0))
        return clusters

    @pytest.fixture
    def world(self, clusters: Any, client: Client, cloud: str) -> World:
        role = "arn:aws:iam::123456789012:role/nights"
        scheduler = client("scheduler")
        return World(
            driver=AuroraDriver(Aurora(endpoint=cloud, days=2, clusters=["shop"], role=role), BOOK, now_ms),
            context=LATER,
            raw=lambda: (self.held(clusters), self.schedules(scheduler)),
            disturb=lambda: self.make(scheduler, "tidewatt-evening-shop", role),
            add_foreign=lambda: self.make(scheduler, "theirs", role),
        )

    @staticmethod
    def held(clusters: Any) -> Any:
        return clusters.describe_db_clusters()["DBClusters"][0]["ServerlessV2ScalingConfiguration"]

    @staticmethod
    def schedules(scheduler: Any) -> Any:
        names = [one["Name"] for one in scheduler.list_schedules()["Schedules"]]
        return {name: scheduler.get_schedule(Name=name)["Target"] for name in names}

    @staticmethod
    def make(scheduler: Any, name: str, role: str) -> None:
        scheduler.create_schedule(
            Name=name,
            ScheduleExpression="rate(1 day)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:scheduler:::aws-sdk:rds:modifyDBCluster", "RoleArn": role, "Input": "{}"},
        )

    def test_it_saves_what_nights_hold_beyond_what_they_use(self, world: World) -> None:
        one = proposed(world)
        # 14 % of four units at 70 % is 0.8: one unit. Eight hours of three units a night.
        assert one.saving.middle == pytest.approx(8 * 3 * Decimal("0.12") * 365 / 12, rel=Decimal("1e-9"))
        assert one.after["evening"]["expression"] == "cron(0 22 * * ? *)"
        assert '"MinCapacity": 0.5' in one.after["evening"]["input"]
        assert '"MinCapacity": 4' in one.after["morning"]["input"]

    def test_a_rollback_by_night_restores_the_days_capacity(self, world: World, clusters: Any) -> None:
        before = world.raw()
        one = applied(world)
        night = {"MinCapacity": 0.5, "MaxCapacity": 16}
        clusters.modify_db_cluster(DBClusterIdentifier="shop", ServerlessV2ScalingConfiguration=night)
        world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
        assert world.raw() == before

    def test_connections_that_keep_it_awake_are_told(self, world: World) -> None:
        seen, driver = world.driver.observe()[0], world.driver
        assert isinstance(driver, AuroraDriver)
        settings = Aurora(days=2, night=0, clusters=["shop"], role="r")
        told = AuroraDriver(settings, BOOK, now_ms).propose(
            [replace(seen, facts=seen.facts | {"pauses": True, "cpu": [0.0] * 48})], LATER
        )
        assert [one.irreversible for one in told] == [False, True]
        assert '"MinCapacity": 0.5' in told[0].after["evening"]["input"]
        assert told[1].what == "pool the connections of aurora://shop, and close those that are idle"
        assert told[1].saving.middle == pytest.approx(8 * Decimal("0.06") * 365 / 12, rel=Decimal("1e-9"))
        quiet = seen.facts | {"pauses": True, "connections": [0.0] * 48}
        paused = AuroraDriver(settings, BOOK, now_ms).propose([replace(seen, facts=quiet)], LATER)
        assert '"SecondsUntilAutoPause": 300' in paused[0].after["evening"]["input"]
        old = AuroraDriver(settings, BOOK, now_ms).propose(
            [replace(seen, facts=quiet | {"pauses": False, "version": "15.4"})], LATER
        )
        assert '"MinCapacity": 0.5' in old[0].after["evening"]["input"]

    def test_the_requests_that_the_scheduler_makes_are_as_the_database_knows_them(self, world: World) -> None:
        from json import loads  # noqa: PLC0415 - for this test alone

        for part in proposed(world).after.values():
            told = loads(part["input"])
            told["DBClusterIdentifier"] = told.pop("DbClusterIdentifier")
            check_request("rds", "ModifyDBCluster", told)

    def test_nights_follow_the_clock_on_the_wall_and_connections_the_memory(self) -> None:
        berlin, settings = ZoneInfo("Europe/Berlin"), Aurora(evening="22:00", morning="06:00")
        for day, first in ((date(2026, 1, 15), 21), (date(2026, 7, 15), 20)):
            start_s = int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())
            hours = [hour for hour in range(24) if at_night(start_s + hour * 3600, settings, berlin)]
            assert (len(hours), first in hours, first - 1 in hours) == (8, True, False)
        assert most_connections("aurora-postgresql", 16, 4) == 3604
        assert most_connections("aurora-postgresql", 64, 0.5) == 2000
        assert most_connections("aurora-mysql", 16, 4) is None


def test_a_refusal_half_way_is_no_refusal() -> None:
    def refuse() -> None:
        raise Foreign("theirs")

    with pytest.raises(Foreign):
        in_order(refuse, list)
    with pytest.raises(Unsure, match="1 of 2 steps were done: theirs"):
        in_order(list, refuse)


def test_what_is_wrong_in_the_settings_is_told() -> None:
    aurora = Aurora(enabled=True, clusters=["a"], zone="Europe/Bärlin", morning="22:00", night=0.7)
    told = list(wrong_levers(Levers(aurora=aurora)))
    assert [sentence.partition(":")[0] for sentence in told] == [
        "levers.aurora.zone", "levers.aurora", "levers.aurora.night", "levers.aurora.role is needed"
    ]  # fmt: skip
    assert not list(wrong_levers(Levers()))


def test_lost_is_lost_for_every_order_that_expects_what_is_not_there(cloud: str, client: Client) -> None:
    made = client("ec2").create_volume(Size=9, AvailabilityZone="us-east-1a", VolumeType="gp3")
    odd = Order(
        target=f"ebs://{made['VolumeId']}",
        expect={"volume": {"type": "gp2"}},
        put={"volume": {"type": "gp2"}},
    )
    with pytest.raises(Lost):
        EbsVolumesDriver(EbsVolumes(endpoint=cloud), BOOK).send(odd)
