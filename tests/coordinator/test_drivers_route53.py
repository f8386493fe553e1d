"""Route 53: a slower check in the place of a fast one, on moto and behind a line that breaks."""

from collections.abc import Iterator
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import boto3
import pytest
from tests.between import Between
from tests.contract import Enduring, World, how, order, proposed

from tidewatt_coordinator.levers.driver import Context, Unsure
from tidewatt_coordinator.levers.edge.route53 import Route53Driver
from tidewatt_coordinator.levers.edge.settings import Route53
from tidewatt_coordinator.prices.files import load_book

BOOK = load_book()
NOW = datetime.now(timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
ON = date(2026, 11, 21)
CONTEXT = Context(now_ms=NOW_MS)

FAST = {
    "Type": "HTTPS",
    "FullyQualifiedDomainName": "shop.example.com",
    "Port": 443,
    "ResourcePath": "/health",
    "RequestInterval": 10,
    "FailureThreshold": 3,
}


class TestRoute53(Enduring):
    @pytest.fixture
    def dns(self, fresh: Between, cloud: str) -> Iterator[Any]:
        client = boto3.client("route53", region_name="us-east-1", endpoint_url=cloud)
        yield client
        client.close()

    @pytest.fixture
    def check(self, dns: Any) -> str:
        made = dns.create_health_check(CallerReference="shop", HealthCheckConfig=FAST)["HealthCheck"]
        tags = [{"Key": "Name", "Value": "shop"}]
        dns.change_tags_for_resource(ResourceType="healthcheck", ResourceId=made["Id"], AddTags=tags)
        zone = dns.create_hosted_zone(Name="example.com", CallerReference="z")["HostedZone"]["Id"]
        for name in ("one", "two"):
            self.record(dns, zone, name, made["Id"])
        return str(made["Id"])

    @staticmethod
    def record(dns: Any, zone: str, name: str, check: str) -> None:
        one = {
            "Name": "shop.example.com.",
            "Type": "A",
            "SetIdentifier": name,
            "Weight": 10,
            "TTL": 60,
            "ResourceRecords": [{"Value": "192.0.2.1"}],
            "HealthCheckId": check,
        }
        batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": one}]}
        dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    @staticmethod
    def raw(dns: Any) -> Any:
        """All records with the configuration and tags of what they ask: a check's ID is of no meaning."""
        checks = {
            one["Id"]: (
                one["HealthCheckConfig"],
                dns.list_tags_for_resource(ResourceType="healthcheck", ResourceId=one["Id"])[
                    "ResourceTagSet"
                ]["Tags"],
            )
            for one in dns.list_health_checks()["HealthChecks"]
        }
        records = [
            one | {"HealthCheckId": checks.get(one["HealthCheckId"]) if "HealthCheckId" in one else None}
            for zone in dns.list_hosted_zones()["HostedZones"]
            for one in dns.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
        ]
        return sorted(map(repr, records)), sorted(map(repr, checks.values()))

    @pytest.fixture
    def world(self, dns: Any, check: str, fresh: Between) -> World:
        def newest() -> str:
            return str(dns.list_health_checks()["HealthChecks"][0]["Id"])

        zone = dns.list_hosted_zones()["HostedZones"][0]["Id"]
        return World(
            driver=Route53Driver(Route53(endpoint=fresh.url), BOOK),
            context=CONTEXT,
            raw=lambda: self.raw(dns),
            disturb=lambda: dns.update_health_check(HealthCheckId=newest(), FailureThreshold=5),
            add_foreign=lambda: self.record(dns, zone, "theirs", newest()),
        )

    def test_it_is_created_pointed_at_and_only_then_is_the_old_one_deleted(
        self, world: World, fresh: Between, check: str
    ) -> None:
        one = proposed(world)
        assert (one.saving.low, one.saving.high) == (Decimal(1), Decimal(2))
        assert one.effects
        assert one.effects["availability"].plus == pytest.approx(-60 / 2_592_000)
        world.driver.send(order(one, world.driver.read(check), one.after))
        told = [
            (method, path.removeprefix("/2013-04-01/").split("/")[0]) for method, path, _ in fresh.changes
        ]
        assert told[0] == ("POST", "healthcheck")
        assert ("POST", "hostedzone") in told
        assert told[-1] == ("DELETE", "healthcheck")
        assert fresh.changes[-1][1].endswith(check)
        assert told.count(("POST", "healthcheck")) == 1

    def test_the_old_one_stays_until_the_name_servers_know(
        self, world: World, fresh: Between, dns: Any
    ) -> None:
        one = proposed(world)
        pending = [
            (
                b'<?xml version="1.0"?><GetChangeResponse><ChangeInfo><Id>c</Id><Status>PENDING</Status>'
                b"<SubmittedAt>2026-11-21T00:00:00Z</SubmittedAt></ChangeInfo></GetChangeResponse>"
            )
        ]
        fresh.answers.append(
            lambda _m, path, _b: (200, pending[0]) if "/change/" in path and pending else None
        )
        for _ in range(2):
            with pytest.raises(Unsure, match="the old one stays"):
                world.driver.send(order(one, world.driver.read(one.target), one.after))
            assert how(world, one) == "partial"
            assert len(dns.list_health_checks()["HealthChecks"]) == 2
        pending.clear()
        world.driver.send(order(one, world.driver.read(one.target), one.after))
        assert how(world, one) == "applied"

    def test_alarms_that_know_it_by_its_id_make_it_advice(self, world: World, cloud: str, check: str) -> None:
        watch = boto3.client("cloudwatch", region_name="us-east-1", endpoint_url=cloud)
        watch.put_metric_alarm(
            AlarmName="shop down", Namespace="AWS/Route53", MetricName="HealthCheckStatus",
            Statistic="Minimum", Dimensions=[{"Name": "HealthCheckId", "Value": check}], Period=60,
            EvaluationPeriods=1, Threshold=1, ComparisonOperator="LessThanThreshold",
        )  # fmt: skip
        watch.close()
        one = proposed(world)
        assert one.irreversible
        assert "shop down" in one.evidence[-1]
