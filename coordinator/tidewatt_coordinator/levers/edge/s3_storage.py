"""S3: where objects would be cheaper, by a rule of our own among the bucket's others.

Intelligent-Tiering reads at no price and gives back at once, so its rule may be set with a person's approval;
what has moved by then stays there when the rule is taken back. Classes that bill for reading are advice.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from tidewatt_coordinator.levers.aws.client import Aws, Refusal, aws, installed
from tidewatt_coordinator.levers.aws.cloudwatch import Asked, daily
from tidewatt_coordinator.levers.driver import Context, Order, Probe, Recommendation, Saving, Setting
from tidewatt_coordinator.levers.edge.s3_classes import (
    GIGABYTE,
    LEAST_BYTES,
    Holding,
    Object,
    Prices,
    choices,
)
from tidewatt_coordinator.levers.edge.s3_rules import OURS, bucket_of, lifecycle, merge, our_rules
from tidewatt_coordinator.levers.edge.settings import S3Storage
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

RULE = f"{OURS}storage-class"
SERVICE = "Amazon Simple Storage Service"
MONTH_DAYS, DAY_MS = 30, 86_400_000
#: The one that may be set: reading from it costs nothing.
FREE_TO_READ = "INTELLIGENT_TIERING"
SMALL_STAY = "all_storage_classes_128K"


class S3StorageDriver:
    """See levers/driver.py."""

    name = "s3_storage"
    calls = (
        "s3:ListAllMyBuckets",
        "s3:GetLifecycleConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:ListBucket",
        "s3:GetMetricsConfiguration",
        "cloudwatch:GetMetricData",
    )

    def __init__(self, settings: S3Storage, book: PriceBook, now_ms: Callable[[], int]) -> None:
        self._settings, self._book, self._now_ms = settings, book, now_ms

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """Every bucket with a sample of its objects, and how they are read."""
        with aws("s3", self._settings) as s3, aws("cloudwatch", self._settings) as watch:
            names = self._settings.buckets or [one["Name"] for one in s3.call("ListBuckets")["Buckets"]]
            return [self._look(s3, watch, name) for name in sorted(names)]

    def read(self, target: str) -> Setting:
        """Our rules of one bucket."""
        with aws("s3", self._settings) as s3:
            return _setting(target, lifecycle(s3, bucket_of(target)), {})

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """The best class of every bucket that nobody moves objects of."""
        return [
            found
            for one in settings
            if not one.facts["moves"] and (found := self._recommend(one, context)) is not None
        ]

    def send(self, order: Order) -> None:
        """Merge our rule into the bucket's."""
        with aws("s3", self._settings) as s3:
            merge(s3, order)

    def _look(self, s3: Aws, watch: Aws, name: str) -> Setting:
        now = lifecycle(s3, name)
        now_ms = self._now_ms()
        sample = _sample(s3, name, self._settings.sample, now_ms)
        size = sum(one.size for one in sample)
        total = _standard_bytes(watch, name, now_ms)
        reads = _reads(s3, watch, name, self._settings.days, now_ms)
        holding = Holding(
            sample=sample,
            scale=max(1.0, total / size) if size else 1.0,
            reads=reads[0] if reads else None,
            read_bytes=reads[1] if reads else None,
        )
        # Unless somebody chose otherwise, S3 itself lets objects below 128 KB stay.
        small_stay = now.get("TransitionDefaultMinimumObjectSize", SMALL_STAY) == SMALL_STAY
        moves = any(one.get("Transitions") and one["Status"] == "Enabled" for one in now.get("Rules", []))
        return _setting(f"s3://{name}", now, {"holding": holding, "moves": moves, "small_stay": small_stay})

    def _recommend(self, one: Setting, context: Context) -> Recommendation | None:
        on = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        holding: Holding = one.facts["holding"]
        prices = Prices(self._book, self._settings.region, on)
        found = choices(holding, prices)
        if not found or float(found[0].middle) < self._settings.least_usd:
            return None
        best = found[0]
        big = {"ObjectSizeGreaterThan": LEAST_BYTES - 1}
        rule = {
            "ID": RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": ""} if one.facts["small_stay"] else big,
            "Transitions": [{"Days": best.days, "StorageClass": best.storage_class}],
        }
        table, size = prices.table, sum(each.size for each in holding.sample) / GIGABYTE
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=SERVICE,
            what=f"move objects of {one.target} to {best.storage_class} after {best.days} days",
            before={RULE: one.content[RULE]},
            after={RULE: rule},
            saving=Saving(low=best.low, middle=best.middle, high=best.high, currency=table.currency),
            spending=context.spending.get(SERVICE) if table.currency == context.currency else None,
            disruption=0.0,
            risk="medium",  # what has moved doesn't come back for nothing
            evidence=[
                f"{len(holding.sample)} objects of the standard class were looked at, the first by name",
                f"the bucket holds {holding.scale:.1f} times their {size:.2f} GiB",
                *[each.told for each in found],
                f"prices: {table.name} of {table.date}, {table.grade}; objects below 128 KB stay",
            ],
            irreversible=best.storage_class != FREE_TO_READ,
            selector=Selector(services=[SERVICE]),
        )


def _setting(target: str, now: dict[str, Any], facts: dict[str, Any]) -> Setting:
    return Setting(target=target, content={RULE: None} | our_rules(now), facts=facts)


def _sample(s3: Aws, name: str, most: int, now_ms: int) -> list[Object]:
    found: list[Object] = []
    for page in s3.pages("ListObjectsV2", Bucket=name):
        found += [
            Object(one["Size"], (now_ms - one["LastModified"].timestamp() * 1000) / DAY_MS)
            for one in page.get("Contents", [])
            if one.get("StorageClass", "STANDARD") == "STANDARD"
        ]
        if len(found) >= most:
            break
    return found[:most]


def _standard_bytes(watch: Aws, name: str, now_ms: int) -> float:
    """As S3 counts them every day; 0 where it doesn't."""
    of = (("BucketName", name), ("StorageType", "StandardStorage"))
    asked = Asked("AWS/S3", "BucketSizeBytes", "Average", of)
    return max(daily(watch, [asked], 3, now_ms)[asked], default=0.0)


def _reads(s3: Aws, watch: Aws, name: str, days: int, now_ms: int) -> tuple[float, float] | None:
    """A month's reads and the bytes of them, if the bucket has request metrics of all its objects."""
    try:
        told = s3.call("ListBucketMetricsConfigurations", Bucket=name).get("MetricsConfigurationList", [])
    except Refusal:
        return None
    whole = [one["Id"] for one in told if "Filter" not in one]
    if not whole:
        return None
    of = (("BucketName", name), ("FilterId", whole[0]))
    reads, size = Asked("AWS/S3", "GetRequests", "Sum", of), Asked("AWS/S3", "BytesDownloaded", "Sum", of)
    values = daily(watch, [reads, size], days, now_ms)
    if not values[reads] and not values[size]:
        return None
    return sum(values[reads]) * MONTH_DAYS / days, sum(values[size]) * MONTH_DAYS / days
