"""S3: a rule of our own in a bucket's lifecycle that ends uploads which nobody completes."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from tidewatt_coordinator.levers.aws.client import Aws, aws, installed
from tidewatt_coordinator.levers.driver import (
    Context,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.edge.s3_rules import OURS, bucket_of, lifecycle, merge, our_rules
from tidewatt_coordinator.levers.settings import S3Lifecycle
from tidewatt_coordinator.money import FINEST
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

RULE = f"{OURS}abort-uploads"
#: The bill's name of the service.
SERVICE = "Amazon Simple Storage Service"
#: More incomplete uploads of one bucket than this aren't measured: the saving is at least theirs.
MOST_UPLOADS = 1000
DAY_MS, GIGABYTE = 86_400_000, 2**30


class S3LifecycleDriver:
    """See levers/driver.py."""

    name = "s3_lifecycle"
    calls = (
        "s3:ListAllMyBuckets",
        "s3:GetLifecycleConfiguration",
        "s3:PutLifecycleConfiguration",
        "s3:ListBucketMultipartUploads",
        "s3:ListMultipartUploadParts",
    )

    def __init__(self, settings: S3Lifecycle, book: PriceBook) -> None:
        self._settings, self._book = settings, book

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """Every bucket, with the uploads that were begun in it and not completed."""
        with aws("s3", self._settings) as s3:
            names = self._settings.buckets or [one["Name"] for one in s3.call("ListBuckets")["Buckets"]]
            return [self._setting(s3, f"s3://{name}", facts=True) for name in sorted(names)]

    def read(self, target: str) -> Setting:
        """Our rules of one bucket."""
        with aws("s3", self._settings) as s3:
            return self._setting(s3, target, facts=False)

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """End old uploads where no rule does."""
        return [
            self._recommend(one, context)
            for one in settings
            if not one.facts["ends_uploads"] and self._stale(one, context)
        ]

    def send(self, order: Order) -> None:
        """Merge our rules into the bucket's."""
        with aws("s3", self._settings) as s3:
            merge(s3, order)

    def _setting(self, s3: Aws, target: str, *, facts: bool) -> Setting:
        now = lifecycle(s3, bucket_of(target))
        found: dict[str, Any] = {}
        if facts:
            found = {
                "ends_uploads": any(_ends_uploads(rule) for rule in now.get("Rules", [])),
                "uploads": list(_uploads(s3, bucket_of(target))),
            }
        return Setting(target=target, content={RULE: None} | our_rules(now), facts=found)

    def _stale(self, one: Setting, context: Context) -> list[dict[str, int]]:
        before_ms = context.now_ms - self._settings.abort_days * DAY_MS
        return [upload for upload in one.facts["uploads"] if upload["begun_ms"] < before_ms]

    def _recommend(self, one: Setting, context: Context) -> Recommendation:
        stale, days = self._stale(one, context), self._settings.abort_days
        size = sum(upload["bytes"] for upload in stale)
        day = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        found = self._book.find("aws-s3", "standard", self._settings.region, on=day)
        monthly = (Decimal(size) / GIGABYTE * found.price.marginal()).quantize(FINEST)
        rule = {
            "ID": RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days},
        }
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=SERVICE,
            what=f"end uploads to {one.target} that are not completed within {days} days",
            before={RULE: one.content[RULE]},
            after={RULE: rule},
            saving=Saving(low=monthly / 2, middle=monthly, high=monthly * 2, currency=found.table.currency),
            spending=context.spending.get(SERVICE) if found.table.currency == context.currency else None,
            disruption=0.0,
            risk="medium",  # what was ended doesn't come back: a person looks
            evidence=[
                f"{len(stale)} uploads older than {days} days hold {size / GIGABYTE:.3f} GiB",
                f"{found.price.marginal()} {found.table.currency} per GB-month ({found.table.name})",
            ],
            selector=Selector(services=[SERVICE]),
        )


def _ends_uploads(rule: dict[str, Any]) -> bool:
    everything = rule.get("Filter", {"Prefix": rule.get("Prefix", "")}) in ({}, {"Prefix": ""})
    return rule["Status"] == "Enabled" and everything and "AbortIncompleteMultipartUpload" in rule


def _uploads(s3: Aws, bucket: str) -> Iterator[dict[str, int]]:
    count = 0
    for page in s3.pages("ListMultipartUploads", Bucket=bucket):
        for upload in page.get("Uploads", []):
            count += 1
            if count > MOST_UPLOADS:
                return
            parts = s3.pages("ListParts", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            size = sum(part["Size"] for one in parts for part in one.get("Parts", []))
            yield {"begun_ms": round(upload["Initiated"].timestamp() * 1000), "bytes": size}
