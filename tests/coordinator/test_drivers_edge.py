"""CloudFront, Lambda, Route 53 and S3's classes: on moto, and behind a line that breaks at every request."""

import gzip
import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import boto3
import httpx
import pytest
from tests.between import Between, Fault, between
from tests.contract import Contract, World, applied, how, order, proposed
from tests.costing import aws

from tidewatt_coordinator.config import parse_config
from tidewatt_coordinator.levers.driver import Context, Lost, Throttled, Unsure
from tidewatt_coordinator.levers.edge.aws_lambda import LambdaDriver
from tidewatt_coordinator.levers.edge.cloudfront import CloudFrontDriver
from tidewatt_coordinator.levers.edge.cloudfront_logs import locations
from tidewatt_coordinator.levers.edge.cloudfront_mix import Mix, given, lines, measured
from tidewatt_coordinator.levers.edge.lambda_use import right_concurrency, right_size
from tidewatt_coordinator.levers.edge.route53 import Route53Driver
from tidewatt_coordinator.levers.edge.s3_classes import GIGABYTE, Holding, Object, Prices, choices
from tidewatt_coordinator.levers.edge.s3_storage import RULE, S3StorageDriver
from tidewatt_coordinator.levers.edge.settings import CloudFront, Lambda, Route53, S3Storage, Viewers
from tidewatt_coordinator.levers.settings import Levers, wrong_levers
from tidewatt_coordinator.levers.standing import standing
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.prices.worked import transfer

BOOK = load_book()
NOW = datetime.now(timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
ON = date(2026, 11, 21)
CONTEXT = Context(now_ms=NOW_MS)


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
    line.answers.clear()
    return line


class Enduring(Contract):
    """Whatever request breaks, in whatever way: the change is done once, or taken back whole."""

    def test_a_line_that_breaks_anywhere_leaves_nothing_half_done(self, world: World, fresh: Between) -> None:
        before = world.raw()
        one = applied(world)
        world.settle()
        count, there = len(fresh.changes), world.raw()
        world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
        world.settle()
        for at in range(count):
            # Every prefix of the requests is met, answered and unanswered; the first request in every way.
            for there_and_back in PAIRS if at == 0 else PAIRS[:1]:
                self.carry(world, fresh, one, at, there_and_back[0], "applied")
                assert world.raw() == there, (at, there_and_back)
                self.carry(world, fresh, one, at, there_and_back[1], "untouched")
                assert world.raw() == before, (at, there_and_back)

    @staticmethod
    def carry(world: World, line: Between, one: Any, at: int, fault: Fault, goal: str) -> None:
        good: list[Fault] = [""] * at
        line.faults[:] = [*good, fault]
        put = one.after if goal == "applied" else one.before
        for _ in range(5):
            seen = world.driver.read(one.target)
            stands = standing(one.before, one.after, seen.content)
            if stands == goal:
                return
            assert stands != "foreign", (at, fault, seen.content)
            with suppress(Lost, Throttled, Unsure):
                world.driver.send(order(one, seen, put, undo=goal != "applied"))
            world.settle()
        raise AssertionError(f"never {goal}: {fault} at {at}")


PAIRS: list[tuple[Fault, Fault]] = [
    ("cut_after", "throttled"),
    ("cut_before", "cut_after"),
    ("throttled", "cut_before"),
]

# CloudFront

#: 100 M requests and 50 TB a month as the first design notes had them.
NOTES = {
    "us": ("0.50", 20, 40), "eu": ("0.25", 18, 38), "ap": ("0.18", 25, 58), "in": ("0.04", 30, 62),
    "sa": ("0.02", 40, 88), "me": ("0.01", 40, 75),
}  # fmt: skip
"""Share, median and p95 in ms."""


def viewers() -> dict[str, Viewers]:
    return {
        region: Viewers(gb=float(share) * 50_000, requests=round(float(share) * 1e8), p50_ms=p50, p95_ms=p95)
        for region, (share, p50, p95) in NOTES.items()
    }


def a_distribution(reference: str = "a", **values: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "CallerReference": reference,
        "Comment": "the shop",
        "Enabled": True,
        "PriceClass": "PriceClass_All",
        "Origins": {
            "Quantity": 1,
            "Items": [{"Id": "o", "DomainName": "o.example.com", "CustomOriginConfig": {
                "HTTPPort": 80, "HTTPSPort": 443, "OriginProtocolPolicy": "https-only"}}],
        },
        "DefaultCacheBehavior": {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "redirect-to-https",
            "MinTTL": 0,
            "ForwardedValues": {"QueryString": True, "Cookies": {"Forward": "none"}},
        },
    }  # fmt: skip
    return known | values


class TestCloudFront(Enduring):
    @pytest.fixture
    def front(self, fresh: Between, cloud: str) -> Iterator[Any]:
        client = boto3.client("cloudfront", region_name="us-east-1", endpoint_url=cloud)
        yield client
        client.close()

    @pytest.fixture
    def name(self, front: Any) -> str:
        return str(front.create_distribution(DistributionConfig=a_distribution())["Distribution"]["Id"])

    @pytest.fixture
    def world(self, front: Any, name: str, fresh: Between) -> World:
        settings = CloudFront(endpoint=fresh.url, mix={name: viewers()}, service="shop")

        def become(**values: Any) -> None:
            got = front.get_distribution_config(Id=name)
            config = got["DistributionConfig"] | values
            front.update_distribution(Id=name, IfMatch=got["ETag"], DistributionConfig=config)

        return World(
            driver=CloudFrontDriver(settings, BOOK, lambda: NOW_MS),
            context=CONTEXT,
            raw=lambda: front.get_distribution_config(Id=name)["DistributionConfig"],
            disturb=lambda: become(PriceClass="PriceClass_200"),
            add_foreign=lambda: become(Comment="the shop of others", HttpVersion="http2"),
            settle=lambda: front.get_distribution(Id=name),
        )

    def test_the_etag_that_was_read_goes_with_it(self, world: World, name: str, fresh: Between) -> None:
        one = proposed(world)
        seen = world.driver.read(name)
        world.driver.send(order(one, seen, one.after))
        ((method, path, headers),) = fresh.changes
        assert (method, path) == ("PUT", f"/2020-05-31/distribution/{name}/config")
        assert {key.lower(): value for key, value in headers.items()}["if-match"] == seen.version

    def test_classes_the_plan_and_caching_are_told_with_their_figures(self, world: World, name: str) -> None:
        to_100, to_200, plan, caching = world.driver.propose(world.driver.observe(), CONTEXT)
        table = BOOK.table("aws-cloudfront", on=ON)
        assert to_100.after == {"PriceClass": "PriceClass_100"}
        assert to_200.after == {"PriceClass": "PriceClass_200"}
        costs = {name: self.cost(name) for name in table.reach}
        assert to_100.saving.middle == costs["PriceClass_All"] - costs["PriceClass_100"]
        assert to_100.spending == costs["PriceClass_All"]
        assert "25.0% of the requests (ap, in, me, sa)" in " ".join(to_100.evidence)
        assert to_100.risk == "medium"
        assert to_100.effects
        assert to_100.effects["p95_ms"].plus > 100  # a quarter of the viewers are sent overseas
        assert to_200.effects
        assert 0 <= to_200.effects["p95_ms"].plus < to_200.effects["p99_ms"].plus
        assert plan.irreversible
        assert plan.after == {"plan": "Business"}
        assert plan.saving.middle == costs["PriceClass_All"] - 200
        assert "a web ACL is attached" in " ".join(plan.evidence)
        assert caching.irreversible
        assert "legacy forwarded values" in caching.evidence[0]

    @staticmethod
    def cost(price_class: str) -> Decimal:
        return transfer(BOOK, given(viewers()).gigabytes, price_class, on=ON)

    def test_a_cached_answer_is_never_anothers(self, world: World, front: Any) -> None:
        behaviour = {
            "TargetOriginId": "o",
            "ViewerProtocolPolicy": "https-only",
            "Compress": True,
            "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
            "OriginRequestPolicyId": "216adef6-5c7f-47e4-b989-5492eafa07d3",
        }
        config = a_distribution("b", DefaultCacheBehavior=behaviour)
        leaky = front.create_distribution(DistributionConfig=config)["Distribution"]["Id"]
        settings = CloudFront(endpoint=str(front.meta.endpoint_url), mix={leaky: viewers()})
        driver = CloudFrontDriver(settings, BOOK, lambda: NOW_MS)
        told = [one for one in driver.propose(driver.observe(), CONTEXT) if "caching" in one.after]
        assert "one viewer's answer may be given to another" in told[0].evidence[0]

    def test_viewers_are_read_from_its_own_logs(self, front: Any, fresh: Between, cloud: str) -> None:
        s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=cloud)
        s3.create_bucket(Bucket="logs")
        where = {
            "Enabled": True,
            "IncludeCookies": False,
            "Bucket": "logs.s3.amazonaws.com",
            "Prefix": "cdn/",
        }
        config = a_distribution("c", Logging=where)
        name = front.create_distribution(DistributionConfig=config)["Distribution"]["Id"]
        for back in range(2, 9):
            day = f"{NOW - timedelta(days=back):%Y-%m-%d}"
            rows = [f"{day}\tFRA56-P1\t1000000\t0.040\tHit"] * 9 + [f"{day}\tSYD1-C1\t1000000\t0.090\tMiss"]
            text = "#Version: 1.0\n#Fields: date x-edge-location sc-bytes time-taken x-edge-result-type\n"
            packed = gzip.compress((text + "\n".join(rows)).encode(), mtime=0)
            s3.put_object(Bucket="logs", Key=f"cdn/{name}.{day}-11.abc.gz", Body=packed)
        s3.close()
        settings = CloudFront(endpoint=fresh.url, distributions=[name])
        (seen,) = CloudFrontDriver(settings, BOOK, lambda: NOW_MS).observe()
        mix: Mix = seen.facts["mix"]
        assert {region: round(gb, 9) for region, gb in mix.gigabytes.items()} == {
            "au": Decimal("0.03"),
            "eu": Decimal("0.27"),
        }
        assert mix.requests == pytest.approx(300)
        assert mix.hits == 0.9
        assert mix.spread == 0.02

    def test_percentiles_are_taken_over_all_requests(self) -> None:
        """The notes averaged regions' p95 to 22 ms; 7 % of their requests took 62 ms and more."""
        told = {"us": ("0.93", 20), "in": ("0.04", 62), "sa": ("0.02", 88), "au": ("0.01", 75)}
        mix = given(
            {
                region: Viewers(gb=1, requests=round(float(share) * 1e6), p50_ms=ms, p95_ms=ms)
                for region, (share, ms) in told.items()
            }
        )
        everywhere = BOOK.table("aws-cloudfront", on=ON).reach["PriceClass_All"]
        assert mix.quantile_ms(0.95, everywhere, everywhere, {}) == 62

    def test_a_log_that_is_no_log_says_nothing(self) -> None:
        assert measured(lines("#Fields: date\nx\ty\n\nnonsense", locations()), 7, 1) is None


def test_a_mix_is_read_from_the_configuration_and_wrong_ends_are_told() -> None:
    text = "[levers.cloudfront.mix.E1.us]\ngb = 4.5\nrequests = 3\np50_ms = 3\np95_ms = 9\n"
    levers = parse_config(text, name="c.toml").levers
    assert levers.cloudfront.mix == {"E1": {"us": Viewers(gb=4.5, requests=3, p50_ms=3, p95_ms=9)}}
    wrong = Levers(route53=Route53(endpoint="localhost:5000"))
    assert list(wrong_levers(wrong)) == [
        "levers.route53.endpoint 'localhost:5000' is not http://HOST or https://HOST"
    ]


@pytest.mark.parametrize(
    ("price_class", "cost"), [("PriceClass_All", 4563), ("PriceClass_200", 4533), ("PriceClass_100", 4100)]
)
def test_the_worked_figures_of_50_tb(price_class: str, cost: int) -> None:
    # As in test_prices.py: the mix by which the figures were computed.
    by_region = {"us": "22500", "eu": "15000", "ap": "9000", "in": "2000", "sa": "1000", "me": "500"}
    mix = {region: Decimal(gb) for region, gb in by_region.items()}
    assert transfer(BOOK, mix, price_class, on=ON) == pytest.approx(cost, abs=1)


# Route 53

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


# Lambda


#: Of the stand-in's distributions no functions are told: this is the shape of AWS's answer.
AT_THE_EDGE = (
    b'<?xml version="1.0"?><DistributionList><MaxItems>100</MaxItems><IsTruncated>false</IsTruncated>'
    b"<Quantity>1</Quantity><Items><DistributionSummary><Id>E1</Id><DefaultCacheBehavior>"
    b"<TargetOriginId>o</TargetOriginId><LambdaFunctionAssociations><Quantity>1</Quantity><Items>"
    b"<LambdaFunctionAssociation><LambdaFunctionARN>arn:aws:lambda:us-east-1:123456789012:function:at-the-edge:3"
    b"</LambdaFunctionARN><EventType>origin-request</EventType></LambdaFunctionAssociation></Items>"
    b"</LambdaFunctionAssociations></DefaultCacheBehavior><CacheBehaviors><Quantity>0</Quantity></CacheBehaviors>"
    b"</DistributionSummary></Items></DistributionList>"
)


class TestLambdaMemory(Enduring):
    @pytest.fixture
    def client(self, fresh: Between, cloud: str) -> Iterator[Any]:
        iam = boto3.client("iam", region_name="us-east-1", endpoint_url=cloud)
        role = iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        iam.close()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("f.py", "")
        client = boto3.client("lambda", region_name="us-east-1", endpoint_url=cloud)
        for name in ("resize", "at-the-edge"):
            client.create_function(
                FunctionName=name, Runtime="python3.12", Role=role, Handler="f.f", MemorySize=1024,
                Code={"ZipFile": packed.getvalue()},
            )  # fmt: skip
        self.use(cloud)
        yield client
        client.close()

    @staticmethod
    def use(cloud: str) -> None:
        watch = boto3.client("cloudwatch", region_name="us-east-1", endpoint_url=cloud)
        logs = boto3.client("logs", region_name="us-east-1", endpoint_url=cloud)
        for name in ("resize", "at-the-edge"):
            data = [
                {
                    "MetricName": metric,
                    "Dimensions": [{"Name": "FunctionName", "Value": name}],
                    "Timestamp": NOW - timedelta(days=back),
                    "Value": value,
                }
                for back in range(1, 9)
                for metric, value in (("Invocations", 1_000_000.0), ("Duration", 120_000_000.0))
            ]
            watch.put_metric_data(Namespace="AWS/Lambda", MetricData=data)
            group = {"logGroupName": f"/aws/lambda/{name}"}
            logs.create_log_group(**group)
            logs.create_log_stream(**group, logStreamName="s")
            report = (
                "REPORT RequestId: 8f5 Duration: 120.31 ms\tBilled Duration: 121 ms\tMemory Size: 1024 MB\t"
                "Max Memory Used: 190 MB\t\n"
            )
            events = [{"timestamp": NOW_MS - 3_600_000 + index, "message": report} for index in range(150)]
            logs.put_log_events(**group, logStreamName="s", logEvents=events)
        watch.close()
        logs.close()

    @pytest.fixture
    def world(self, client: Any, fresh: Between) -> World:
        fresh.answers.append(provisioned({}))

        def raw() -> Any:
            config = client.get_function_configuration(FunctionName="resize")
            return {
                key: value
                for key, value in config.items()
                if key not in ("ResponseMetadata", "RevisionId", "LastModified")
            }

        return World(
            driver=LambdaDriver(Lambda(endpoint=fresh.url, functions=["resize"]), BOOK, lambda: NOW_MS),
            context=CONTEXT,
            raw=raw,
            disturb=lambda: client.update_function_configuration(FunctionName="resize", MemorySize=896),
            add_foreign=lambda: client.update_function_configuration(FunctionName="resize", Timeout=33),
        )

    def test_less_memory_by_what_was_used_and_never_by_more_than_half(self, world: World) -> None:
        memory, arm = world.driver.propose(world.driver.observe(), CONTEXT)
        assert memory.after == {"MemorySize": 512}
        assert memory.saving.low == 0
        month = Decimal(8_000_000) * 30 / 14 * Decimal("0.12") * Decimal("0.0000166667")
        assert memory.saving.high == pytest.approx(month / 2, rel=Decimal("1e-6"))
        assert memory.effects
        assert memory.effects["p95_ms"].factor == 2
        assert "at most 190 MB were used (REPORT lines, 150 times)" in memory.evidence[0]
        assert arm.irreversible
        assert arm.saving.middle == pytest.approx(month / 5, rel=Decimal("1e-4"))

    def test_at_the_edge_there_is_advice_on_memory_and_nothing_else(
        self, world: World, fresh: Between
    ) -> None:
        driver = LambdaDriver(Lambda(endpoint=fresh.url, functions=["at-the-edge"]), BOOK, lambda: NOW_MS)
        asked: list[str] = []
        fresh.answers.insert(0, lambda _m, path, _b: asked.append(path))
        fresh.answers.append(
            lambda _m, path, _b: (200, AT_THE_EDGE) if path == "/2020-05-31/distribution" else None
        )
        (one,) = driver.propose(driver.observe(), CONTEXT)
        assert one.irreversible
        assert "associate that with CloudFront" in one.evidence[-1]
        assert not [path for path in asked if "provisioned" in path]


def provisioned(kept: dict[str, int]) -> Any:
    """Lambda's provisioned concurrency of function `resize`, as its API answers."""

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        if "/provisioned-concurrency" not in path:
            return None
        asked = re.search(r"Qualifier=([^&]+)", path)
        name = asked.group(1) if asked else ""
        if "List=ALL" in path:
            arn = "arn:aws:lambda:us-east-1:123456789012:function:resize:"
            found = [{"FunctionArn": arn + one} | status(count) for one, count in sorted(kept.items())]
            return 200, json.dumps({"ProvisionedConcurrencyConfigs": found}).encode()
        if method == "PUT":
            kept[name] = json.loads(body)["ProvisionedConcurrentExecutions"]
            return 202, json.dumps(status(kept[name])).encode()
        if method == "DELETE":
            kept.pop(name, None)
            return 204, b""
        if name not in kept:
            return 404, json.dumps({"__type": "ProvisionedConcurrencyConfigNotFoundException"}).encode()
        return 200, json.dumps(status(kept[name])).encode()

    return answer


def status(count: int) -> dict[str, Any]:
    return {
        "RequestedProvisionedConcurrentExecutions": count,
        "AvailableProvisionedConcurrentExecutions": count,
        "AllocatedProvisionedConcurrentExecutions": count,
        "Status": "READY",
        "LastModified": "2026-11-21T00:00:00+0000",
    }


class TestLambdaHeldReady(Enduring):
    @pytest.fixture
    def world(self, cloud: str, fresh: Between) -> World:
        kept = {"live": 10}
        fresh.answers.append(provisioned(kept))
        function = {
            "FunctionName": "resize",
            "MemorySize": 512,
            "Runtime": "nodejs22.x",
            "Architectures": ["arm64"],
        }
        fresh.answers.append(
            lambda _m, path, _b: (
                (200, json.dumps({"Functions": [function]}).encode())
                if path.startswith("/2015-03-31/functions") and "aliases" not in path
                else None
            )
        )
        fresh.answers.append(lambda _m, path, _b: (200, b'{"Aliases": []}') if "aliases" in path else None)
        watch = boto3.client("cloudwatch", region_name="us-east-1", endpoint_url=cloud)
        data = [
            {
                "MetricName": "ProvisionedConcurrencyUtilization",
                "Dimensions": [
                    {"Name": "FunctionName", "Value": "resize"},
                    {"Name": "Resource", "Value": "resize:live"},
                ],
                "Timestamp": NOW - timedelta(days=back),
                "Value": 0.3,
            }
            for back in range(1, 10)
        ]
        watch.put_metric_data(Namespace="AWS/Lambda", MetricData=data)
        watch.close()
        return World(
            driver=LambdaDriver(Lambda(endpoint=fresh.url), BOOK, lambda: NOW_MS),
            context=CONTEXT,
            raw=lambda: dict(kept),
            disturb=lambda: kept.update(live=7),
        )

    def test_what_is_held_ready_and_not_used_is_priced_by_the_hour(self, world: World) -> None:
        one = proposed(world)
        assert one.after == {"ProvisionedConcurrency": 4}
        assert one.saving.middle == Decimal(6) / 2 * 730 * 3600 * Decimal("0.0000033334")


def test_sizes_that_are_right_are_left_alone() -> None:
    assert right_size(1024, 190, 0.25) == 512
    assert right_size(512, 390, 0.25) is None
    assert right_size(128, 20, 0.25) is None
    assert right_concurrency(10, 0.3, 0) == 4
    assert right_concurrency(10, 0.3, 5) is None
    assert right_concurrency(10, 0.9, 0) is None
    assert right_concurrency(2, 0, 0) == 0


# S3's classes

PRICES = Prices(BOOK, "us-east-1", ON)


def holding(count: int, size: int, age_days: float, **values: Any) -> Holding:
    return Holding(sample=[Object(size, age_days)] * count, scale=1.0, **values)


def test_old_big_objects_that_nobody_reads_belong_in_the_coldest_that_answers_at_once() -> None:
    best = choices(holding(1000, GIGABYTE, 400, read_bytes=0.0, reads=0.0), PRICES)[0]
    assert best.storage_class == "GLACIER_IR"
    assert float(best.middle) == pytest.approx(1000 * (0.023 - 0.004))


def test_what_is_read_much_stays_where_reading_is_free() -> None:
    read = holding(1000, GIGABYTE, 400, read_bytes=2000.0 * GIGABYTE, reads=5000.0)
    assert choices(read, PRICES) == []


def test_what_is_small_or_goes_soon_stays() -> None:
    assert choices(holding(100_000, 100_000, 400, read_bytes=0.0, reads=0.0), PRICES) == []
    assert choices(holding(1000, GIGABYTE, 20, read_bytes=0.0, reads=0.0), PRICES) == []
    # All that is between 30 and 60 days old, and nothing older: it would be billed to its minimum.
    told = choices(holding(1000, 200_000, 45, read_bytes=0.0, reads=0.0), PRICES)
    assert told == []


def test_without_access_metrics_only_what_costs_nothing_to_read_is_proposed() -> None:
    (one,) = choices(holding(1000, GIGABYTE, 400), PRICES)
    assert one.storage_class == "INTELLIGENT_TIERING"
    assert one.low < 0 < one.middle < one.high
    assert "access is not measured" in one.told


class TestS3Storage(Enduring):
    @pytest.fixture
    def s3(self, fresh: Between, cloud: str) -> Iterator[Any]:
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=cloud)
        client.create_bucket(Bucket="shop")
        client.put_object(Bucket="shop", Key="big", Body=b"x" * 2_000_000)
        watch = boto3.client("cloudwatch", region_name="us-east-1", endpoint_url=cloud)
        one = {
            "MetricName": "BucketSizeBytes",
            "Dimensions": [
                {"Name": "BucketName", "Value": "shop"},
                {"Name": "StorageType", "Value": "StandardStorage"},
            ],
            "Timestamp": NOW + timedelta(days=398),
            "Value": 1000.0 * GIGABYTE,
        }
        watch.put_metric_data(Namespace="AWS/S3", MetricData=[one])
        watch.close()
        self.put(client, [self.theirs("theirs")])
        yield client
        client.close()

    @staticmethod
    def theirs(name: str) -> dict[str, Any]:
        return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 400}}

    @staticmethod
    def put(client: Any, rules: list[Any]) -> None:
        client.put_bucket_lifecycle_configuration(Bucket="shop", LifecycleConfiguration={"Rules": rules})

    @staticmethod
    def rules(client: Any) -> list[Any]:
        found: list[Any] = client.get_bucket_lifecycle_configuration(Bucket="shop")["Rules"]
        return found

    @pytest.fixture
    def world(self, s3: Any, fresh: Between) -> World:
        later_ms = round((NOW + timedelta(days=400)).timestamp() * 1000)
        odd = self.theirs(RULE)
        return World(
            driver=S3StorageDriver(S3Storage(endpoint=fresh.url), BOOK, lambda: later_ms),
            context=CONTEXT,
            raw=lambda: self.rules(s3),
            disturb=lambda: self.put(s3, [*self.rules(s3), odd]),
            add_foreign=lambda: self.put(s3, [*self.rules(s3), self.theirs("more")]),
        )

    def test_it_is_a_rule_among_theirs_and_a_person_looks(self, world: World) -> None:
        one = proposed(world)
        assert one.after[RULE]["Transitions"] == [{"Days": 30, "StorageClass": "INTELLIGENT_TIERING"}]
        assert not one.irreversible
        assert one.risk == "medium"
        assert one.saving.middle == pytest.approx(Decimal("9.5"), rel=Decimal("0.3"))

    def test_where_others_move_objects_it_keeps_away(self, world: World, s3: Any) -> None:
        moving = self.theirs("cold") | {"Transitions": [{"Days": 60, "StorageClass": "STANDARD_IA"}]}
        self.put(s3, [moving])
        assert not world.driver.propose(world.driver.observe(), CONTEXT)
