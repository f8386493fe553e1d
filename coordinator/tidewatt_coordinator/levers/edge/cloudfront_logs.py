"""A distribution's viewers from its own standard logs in S3: whole days, as many files as allowed."""

import gzip
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib import resources
from typing import IO, Any

import msgspec

from tidewatt_coordinator.levers.aws.client import Aws, aws
from tidewatt_coordinator.levers.driver import LeverError
from tidewatt_coordinator.levers.edge.cloudfront_mix import Line, Mix, lines, measured
from tidewatt_coordinator.levers.edge.settings import CloudFront
from tidewatt_wire.documents import parse_toml


class Locations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where edge locations are."""

    region: dict[str, list[str]]
    """Airports by the price book's region."""


#: Of one log, unpacked; CloudFront writes some megabytes at a time.
MOST_BYTES = 512 * 1024 * 1024
#: Logs of a day are complete so long after its end.
LATE = timedelta(hours=24)


def read_logs(name: str, logging: dict[str, Any], settings: CloudFront, now_ms: int) -> Mix | None:
    """The mix of the last whole days; None where nothing is logged or there are no logs."""
    if not logging.get("Enabled") or not logging.get("Bucket"):
        return None
    bucket = logging["Bucket"].partition(".s3")[0]
    with aws("s3", settings) as s3:
        newest = datetime.fromtimestamp(now_ms / 1000, timezone.utc) - LATE - timedelta(days=1)
        days = [newest - timedelta(days=back) for back in range(settings.log_days)]
        files = [
            (one["Key"], one["Size"])
            for day in days
            for page in s3.pages(
                "ListObjectsV2", Bucket=bucket, Prefix=f"{logging.get('Prefix', '')}{name}.{day:%Y-%m-%d}"
            )
            for one in page.get("Contents", [])
        ]
        if not files:
            return None
        # Every n-th: each day and hour has its part.
        chosen = files[:: -(-len(files) // settings.log_files)]
        scale = sum(size for _, size in files) / max(1, sum(size for _, size in chosen))
        return measured(_lines(s3, bucket, [key for key, _ in chosen]), settings.log_days, scale)


def _lines(s3: Aws, bucket: str, keys: list[str]) -> Iterator[Line]:
    region_of = locations()
    for key in keys:
        try:
            text = unpacked(s3.call("GetObject", Bucket=bucket, Key=key)["Body"])
        except (OSError, EOFError, zlib.error) as error:
            raise LeverError(f"s3://{bucket}/{key} is no log: {error}") from error
        yield from lines(text.decode("utf-8", "replace"), region_of)


def unpacked(body: IO[bytes]) -> bytes:
    """What a gzip file holds; OSError if it is none, or too large: a small one may unpack to gigabytes."""
    with gzip.open(body) as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise OSError(f"it unpacks to more than {MOST_BYTES} bytes")
    return text


def locations() -> dict[str, str]:
    """The price book's region by the airport of an edge location."""
    file = resources.files("tidewatt_coordinator.data") / "cloudfront-locations.toml"
    regions = parse_toml(file.read_text("utf-8"), Locations, name=file.name).region
    return {place: region for region, places in regions.items() for place in places}
