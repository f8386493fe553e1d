"""Advice on data and networks: what it says is judged and shown like a proposal, and never done."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from tests.between import Answer, Between
from tests.coordinator.conftest import Client

from tidewatt_coordinator.levers.advice import Advice
from tidewatt_coordinator.levers.data.athena import AthenaDriver
from tidewatt_coordinator.levers.data.egress import EgressDriver
from tidewatt_coordinator.levers.data.event_rules import EventRulesDriver, every_min
from tidewatt_coordinator.levers.data.nat import NatDriver, pays_from
from tidewatt_coordinator.levers.data.settings import AdviceLever, Athena, Egress, SnapshotLifecycle
from tidewatt_coordinator.levers.data.snapshot_lifecycle import SnapshotLifecycleDriver, held_days
from tidewatt_coordinator.levers.data.step_functions import StepFunctionsDriver, states_of
from tidewatt_coordinator.levers.driver import Context, LeverError, Order, Recommendation
from tidewatt_coordinator.levers.months import a_month, shares
from tidewatt_coordinator.prices.files import load_book

DAY_S, MONTH = 86_400, Decimal(365) / 12
NOW_MS = (int(datetime.now(timezone.utc).timestamp()) // DAY_S + 40) * DAY_S * 1000
BOOK = load_book()


def now_ms() -> int:
    return NOW_MS


def each_day(client: Client, space: str, at: dict[str, str], **metrics: float) -> None:
    """The same values on both of the days that are looked back at."""
    end = datetime.fromtimestamp(NOW_MS / 1000, timezone.utc)
    dimensions = [{"Name": key, "Value": value} for key, value in at.items()]
    client("cloudwatch").put_metric_data(
        Namespace=space,
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": dimensions,
                "Timestamp": end - timedelta(hours=12 + 24 * day),
                "Value": value,
            }
            for metric, value in metrics.items()
            for day in range(2)
        ],
    )


def told(driver: Advice) -> list[Recommendation]:
    """What it advises, after what every adviser must keep."""
    seen, context = driver.observe(), Context(now_ms=NOW_MS)
    found = list(driver.propose(seen, context))
    assert found == list(driver.propose(seen, context))
    for one in found:
        assert one.irreversible
        assert one.effects is None
        assert one.evidence
        assert one.saving.middle > 0
        assert one.saving.low <= one.saving.middle <= one.saving.high
        assert driver.read(one.target).content == one.before
        order = Order(target=one.target, expect=one.before, put=one.after)
        with pytest.raises(LeverError, match="only advises"):
            driver.send(order)
    return found


def test_athena_reads_rows_whole(client: Client, cloud: str) -> None:
    glue = client("glue")
    glue.create_database(DatabaseInput={"Name": "logs"})
    kept = {"InputFormat": "org.apache.hadoop.mapred.TextInputFormat"}
    glue.create_table(DatabaseName="logs", TableInput={"Name": "requests", "StorageDescriptor": kept})
    client("athena").create_work_group(Name="reports", Configuration={})
    at = {"QueryState": "SUCCEEDED", "QueryType": "DML", "WorkGroup": "reports"}
    each_day(client, "AWS/Athena", at, ProcessedBytes=2.0**40)
    found = told(AthenaDriver(Athena(endpoint=cloud, days=2), BOOK, now_ms))
    assert [one.what for one in found] == [
        "keep what athena://reports scans in partitions, as Parquet or ORC"
    ]
    assert found[0].spending == pytest.approx(5 * MONTH, rel=Decimal("1e-9"))
    assert found[0].saving.high == pytest.approx(5 * MONTH * Decimal("0.9"), rel=Decimal("1e-9"))
    assert any("such as logs.requests" in sentence for sentence in found[0].evidence)
    glue.delete_table(DatabaseName="logs", Name="requests")
    assert not told(AthenaDriver(Athena(endpoint=cloud, days=2), BOOK, now_ms))


def test_short_standard_workflows_could_be_express_ones(client: Client, cloud: str) -> None:
    states, role = client("stepfunctions"), "arn:aws:iam::123456789012:role/any"
    steps = {f"s{number}": {"Type": "Pass", "Next": f"s{number + 1}"} for number in range(9)}
    plain = json.dumps({"StartAt": "s0", "States": steps | {"s9": {"Type": "Succeed"}}})
    waits = plain.replace('"Pass"', '"Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken"')
    for name, definition in (("orders", plain), ("asks", waits)):
        arn = states.create_state_machine(name=name, definition=definition, roleArn=role)["stateMachineArn"]
        at = {"StateMachineArn": arn}
        each_day(client, "AWS/States", at, ExecutionsStarted=100_000, ExecutionTime=1950)
    found = told(StepFunctionsDriver(AdviceLever(endpoint=cloud, days=2), BOOK, now_ms))
    assert [one.target for one in found] == ["states://orders"]
    standard = 100_000 * 10 * Decimal("0.000025")
    express = 100_000 * (Decimal("0.000001") + 2 * Decimal("0.0625") * Decimal("0.00001667"))
    assert found[0].saving.middle == pytest.approx((standard - express) * MONTH, rel=Decimal("1e-6"))
    arns = {one["name"]: one["stateMachineArn"] for one in states.list_state_machines()["stateMachines"]}
    each_day(client, "AWS/States", {"StateMachineArn": arns["orders"]}, ExecutionTime=400_000)
    assert not told(StepFunctionsDriver(AdviceLever(endpoint=cloud, days=2), BOOK, now_ms))
    inner = {"Branches": [{"States": {"a": {}, "b": {"Retry": []}}}], "Type": "Parallel"}
    assert states_of({"States": {"p": inner, "q": {}}}) == (4, True)


def test_rules_that_run_each_minute_or_take_everything(client: Client, cloud: str) -> None:
    events = client("events")
    events.put_rule(Name="tick", ScheduleExpression="rate(1 minute)")
    events.put_rule(Name="all", EventPattern='{"source": ["shop"]}')
    events.put_rule(Name="some", EventPattern='{"source": ["shop"], "detail-type": ["sold"]}')
    for name in ("tick", "all", "some"):
        each_day(client, "AWS/Events", {"RuleName": name}, Invocations=1_000_000)
    found = told(EventRulesDriver(AdviceLever(endpoint=cloud, days=2), BOOK, now_ms))
    assert [one.target for one in found] == ["events://default/all", "events://default/tick"]
    a_call = Decimal("0.0000002") + Decimal("0.0125") * Decimal("0.0000166667")
    assert found[1].saving.high == pytest.approx(
        1_000_000 * MONTH * a_call * Decimal("0.8"), rel=Decimal("1e-6")
    )
    assert [every_min(one) for one in ("rate(2 hours)", "cron(* * * * ? *)", "cron(0/3 * * * ? *)", "")] == [
        120, 1, 3, 0
    ]  # fmt: skip
    assert every_min("cron(5 4 * * ? *)") == 0


def test_gateways_that_are_idle_and_those_that_carry_what_is_free_elsewhere(
    client: Client, cloud: str
) -> None:
    ec2 = client("ec2")
    subnets = ec2.describe_subnets()["Subnets"][:2]
    idle, busy = (
        ec2.create_nat_gateway(SubnetId=one["SubnetId"], AllocationId=ec2.allocate_address()["AllocationId"])[
            "NatGateway"
        ]["NatGatewayId"]
        for one in subnets
    )
    each_day(client, "AWS/NATGateway", {"NatGatewayId": busy}, BytesInFromSource=100 * 2.0**30)
    driver = NatDriver(AdviceLever(endpoint=cloud, days=2), BOOK, now_ms)
    found = {one.target: one for one in told(driver)}
    assert found[f"nat://{idle}"].what == f"delete nat://{idle}: nothing goes through it"
    assert found[f"nat://{idle}"].saving.middle == (Decimal("0.045") + Decimal("0.005")) * 730
    network = subnets[0]["VpcId"]
    assert found[f"nat://{busy}"].what == f"give {network} free gateway endpoints for s3 and dynamodb"
    assert found[f"nat://{busy}"].spending == pytest.approx(
        100 * MONTH * Decimal("0.045"), rel=Decimal("1e-9")
    )
    # 7.30 a month and 0.01 each against 0.045 each.
    assert "pays from 209 GB a month and zone on" in found[f"nat://{busy}"].evidence[-1]
    for name in ("s3", "dynamodb"):
        ec2.create_vpc_endpoint(VpcId=network, ServiceName=f"com.amazonaws.us-east-1.{name}")
    assert [one.target for one in told(driver)] == [f"nat://{idle}"]


def test_what_faces_the_internet_goes_cheaper_through_cloudfront(client: Client, cloud: str) -> None:
    subnets = [one["SubnetId"] for one in client("ec2").describe_subnets()["Subnets"][:2]]
    made = client("elbv2").create_load_balancer(Name="shop", Subnets=subnets, Scheme="internet-facing")
    name = made["LoadBalancers"][0]["LoadBalancerArn"].partition(":loadbalancer/")[2]
    gigabytes = 5000 * 12 / 365
    at = {"LoadBalancer": name}
    each_day(client, "AWS/ApplicationELB", at, ProcessedBytes=gigabytes * 2.0**30, RequestCount=1000)
    found = told(EgressDriver(Egress(endpoint=cloud, days=2), BOOK, now_ms))
    assert [one.what for one in found] == ["serve alb://shop through CloudFront"]
    # 4,900 GB at 0.09 against 4,000 at 0.085; of half of it 2,400 against 1,500.
    assert found[0].saving.high == pytest.approx(Decimal(441) - Decimal(340), rel=Decimal("1e-6"))
    assert found[0].saving.low == pytest.approx(Decimal(216) - Decimal("127.5"), rel=Decimal("1e-6"))


def policy_answers(kept: dict[str, dict[str, Any]]) -> Answer:
    """Data Lifecycle Manager's: moto doesn't know it."""

    def answer(_method: str, path: str, _body: bytes) -> tuple[int, bytes] | None:
        name = path.removeprefix("/policies").strip("/")
        if not path.startswith("/policies"):
            return None
        if not name:
            told = [
                {"PolicyId": one, "State": "ENABLED", "PolicyType": "EBS_SNAPSHOT_MANAGEMENT"} for one in kept
            ]
            return 200, json.dumps({"Policies": told}).encode()
        policy = {"PolicyId": name, "State": "ENABLED", "PolicyDetails": kept[name]}
        return 200, json.dumps({"Policy": policy}).encode()

    return answer


def schedule(**retain: Any) -> dict[str, Any]:
    return {"Schedules": [{"CreateRule": {"Interval": 12, "IntervalUnit": "HOURS"}, "RetainRule": retain}]}


def test_snapshots_that_nothing_ends_and_policies_that_keep_for_long(client: Client, fresh: Between) -> None:
    ec2 = client("ec2")
    mark = [{"Key": "backup", "Value": "daily"}]
    fresh.answers.append(
        policy_answers(
            {
                "policy-long": schedule(Interval=1, IntervalUnit="YEARS"),
                "policy-short": schedule(Count=14) | {"TargetTags": mark},
            }
        )
    )

    def snapshots(count: int, volume: str, **tags: str) -> None:
        told = [{"Key": key.replace("__", ":"), "Value": value} for key, value in tags.items()]
        for _ in range(count):
            made = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
            if told:
                ec2.create_tags(Resources=[made], Tags=told)

    at: dict[str, Any] = {"AvailabilityZone": "us-east-1a", "VolumeType": "gp3"}
    bare = ec2.create_volume(Size=1000, **at)["VolumeId"]
    covered = ec2.create_volume(
        Size=1000, TagSpecifications=[{"ResourceType": "volume", "Tags": mark}], **at
    )["VolumeId"]
    snapshots(5, bare)
    snapshots(4, covered)
    for policy in ("long", "short"):
        made = {"aws__dlm__lifecycle-policy-id": f"policy-{policy}"}
        snapshots(5, covered, **made)
    snapshots(9, bare, **{"tidewatt-copy-of": bare})
    found = {one.what: one for one in told(SnapshotLifecycleDriver(keeping(fresh), BOOK, now_ms))}
    assert set(found) == {
        f"put volume {bare} under a lifecycle policy of 35 days, and delete its older snapshots",
        f"delete old snapshots of volume {covered} that were made beside policy policy-short",
        "let policy policy-long keep its snapshots for 35 days",
    }
    # Two snapshots of 1,000 GiB at 0.05, of which each holds between 2 and 30 % by itself.
    saving = found["let policy policy-long keep its snapshots for 35 days"].saving
    assert (saving.low, saving.high) == (Decimal(2), Decimal(30))
    ec2.delete_volume(VolumeId=bare)
    assert f"delete old snapshots of volume {bare}, which is gone" in [
        one.what for one in told(SnapshotLifecycleDriver(keeping(fresh), BOOK, now_ms))
    ]
    assert not told(SnapshotLifecycleDriver(keeping(fresh, keep_days=60), BOOK, now_ms))
    assert not told(SnapshotLifecycleDriver(keeping(fresh, keep_least=5), BOOK, now_ms))


def keeping(line: Between, **values: Any) -> SnapshotLifecycle:
    return SnapshotLifecycle(endpoint=line.url, **values)


def test_how_long_a_policy_keeps() -> None:
    assert held_days(schedule(Count=14)) == 7
    assert held_days(schedule(Interval=2, IntervalUnit="WEEKS")) == 14
    assert held_days({"RetainInterval": 7}) == 7  # a default policy
    by_calendar = {
        "Schedules": [{"CreateRule": {"CronExpression": "cron(0 3 * * ? *)"}, "RetainRule": {"Count": 9}}]
    }
    assert held_days(by_calendar) is None
    assert held_days({}) is None


def test_a_month_is_as_sure_as_its_days_are_alike() -> None:
    same, apart = a_month([2.0] * 10), a_month([0.0, 4.0] * 5)
    assert same.low == same.middle == same.high == pytest.approx(2 * MONTH, rel=Decimal("1e-9"))
    assert apart.middle == same.middle
    assert apart.low < apart.middle < apart.high
    one = a_month([3.0])
    assert one.low == 0
    assert one.high == 2 * one.middle
    assert shares(Decimal(100), (0.1, 0.9)).middle == 50


def test_an_endpoint_that_saves_nothing_never_pays() -> None:
    assert pays_from(Decimal("0.01"), Decimal("0.035")) == "pays from 209 GB a month and zone on"
    assert pays_from(Decimal("0.01"), Decimal(0)) == "never pays"
    assert pays_from(Decimal("0.01"), Decimal("-0.01")) == "never pays"
