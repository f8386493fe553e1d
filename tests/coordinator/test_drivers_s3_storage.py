"""S3's storage classes: which are worth it, and a rule among those of others."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import boto3
import pytest
from tests.between import Between
from tests.contract import Enduring, World, proposed

from tidewatt_coordinator.levers.driver import Context
from tidewatt_coordinator.levers.edge.s3_classes import GIGABYTE, Holding, Object, Prices, choices
from tidewatt_coordinator.levers.edge.s3_storage import RULE, S3StorageDriver
from tidewatt_coordinator.levers.edge.settings import S3Storage
from tidewatt_coordinator.prices.files import load_book

BOOK = load_book()
NOW = datetime.now(timezone.utc)
NOW_MS = round(NOW.timestamp() * 1000)
ON = date(2026, 11, 21)
CONTEXT = Context(now_ms=NOW_MS)

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
