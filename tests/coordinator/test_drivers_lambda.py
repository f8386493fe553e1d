"""Lambda: memory and what is held ready, on moto and behind a line that breaks."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import boto3
import pytest
from tests.between import Between
from tests.contract import Enduring, World, proposed

from tidewatt_coordinator.levers.driver import Context
from tidewatt_coordinator.levers.edge.aws_lambda import LambdaDriver
from tidewatt_coordinator.levers.edge.lambda_use import right_concurrency, right_size
from tidewatt_coordinator.levers.edge.settings import Lambda
from tidewatt_coordinator.prices.files import load_book

BOOK = load_book()
NOW = datetime.now(timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
ON = date(2026, 11, 21)
CONTEXT = Context(now_ms=NOW_MS)

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
        days = Decimal(14) + Decimal(NOW_MS % 86_400_000) / 86_400_000  # and as much of today as there was
        month = Decimal(8_000_000) * 30 / days * Decimal("0.12") * Decimal("0.0000166667")
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
