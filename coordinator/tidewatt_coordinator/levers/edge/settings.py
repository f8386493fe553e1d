"""The sections of the levers at the edge: CloudFront, Lambda, Route 53 and S3's storage classes."""

from typing import Annotated

import msgspec

from tidewatt_coordinator.levers.lever import AwsLever, Ratio, Seconds

Days = Annotated[int, msgspec.Meta(ge=1, le=365)]
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=60_000)]


class Viewers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the viewers of one region ask for in a month."""

    gb: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    """Sent to them."""
    requests: Annotated[int, msgspec.Meta(ge=0)]
    """Answered to them."""
    p50_ms: Milliseconds
    """What half of them wait at the most now."""
    p95_ms: Milliseconds
    """What 95 of 100 of them wait at the most now."""


class CloudFront(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Price classes, with advice on flat-rate plans and caching."""

    deadline_s: Seconds = 7200.0
    """A deployment takes minutes, seldom an hour."""
    distributions: list[str] = []
    """Only these, by ID; empty: all of the account."""
    service: str = ""
    """As [[sla]] names what they serve; empty: nothing is promised of it."""
    mix: dict[str, dict[str, Viewers]] = {}
    """By distribution and the price book's region; where there is none the distribution's own logs are
    read."""
    log_days: Days = 7
    """So many of the last days' logs are read,"""
    log_files: Count = 200
    """No more files of a distribution are read; the others are counted by their size."""
    farther_ms: dict[str, Milliseconds] = msgspec.field(
        default_factory=lambda: {
            "af": 130.0,
            "ap": 170.0,
            "au": 150.0,
            "in": 140.0,
            "jp": 110.0,
            "me": 90.0,
            "sa": 120.0,
        }
    )
    """How much longer a viewer waits who is served from another continent: assumed, so measure yours."""
    least_usd: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """A saving below this a month isn't worth a look."""
    least_hits: Ratio = 0.7
    """Advise on caching where fewer of the requests are hits."""


class Lambda(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Memory and provisioned concurrency, with advice on arm64."""

    functions: list[str] = []
    """Only these; empty: all of the region."""
    service: str = ""
    """As [[sla]] names what they serve; empty: nothing is promised of it."""
    days: Annotated[int, msgspec.Meta(ge=1, le=60)] = 14
    """What is looked back at."""
    headroom: Ratio = 0.25
    """Beyond the most memory that was ever used."""
    least_reports: Count = 100
    """Fewer measurements than this say nothing."""
    least_usd: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """What saves less a month is left alone."""


class Route53(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fast health checks."""

    checks: list[str] = []
    """Only these, by ID; empty: all of the account."""
    service: str = ""
    """As [[sla]] names what they guard; empty: nothing is promised of it."""
    outages_a_month: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 1.0
    """Each is seen later by a slower check."""


class S3Storage(AwsLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Storage classes by access, age and size."""

    buckets: list[str] = []
    """Only these; empty: all of the account."""
    sample: Count = 5000
    """So many objects of a bucket are looked at."""
    days: Annotated[int, msgspec.Meta(ge=1, le=60)] = 30
    """Of access."""
    least_usd: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """What saves less a month is left alone."""
