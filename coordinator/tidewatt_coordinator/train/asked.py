"""The sources that a training run names, read."""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from tidewatt_coordinator.train.sources import from_ledger, from_prometheus
from tidewatt_coordinator.train.traces import read_folder
from tidewatt_coordinator.train.windows import Series


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """One or more of: a folder of CSV files, a Prometheus, a ledger."""

    csv: Path | None = None
    prometheus: str | None = None
    query: str = ""
    days: float = 14.0
    ledger: str | None = None
    bucket_s: int = 300
    zone: str = "UTC"


def read_sources(asked: Sources) -> list[Series]:
    """Every series of every source, in the zone asked for. ValueError says what is wrong or missing."""
    try:
        zone = ZoneInfo(asked.zone)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"--zone {asked.zone!r} is no time zone known here; one is Europe/Berlin") from error
    series: list[Series] = []
    if asked.csv:
        series += read_folder(asked.csv)
    if asked.prometheus:
        end = datetime.now(timezone.utc)
        series += from_prometheus(asked.prometheus, asked.query, end - timedelta(days=asked.days), end)
    if asked.ledger:
        series += from_ledger(asked.ledger, asked.bucket_s)
    if not series:
        raise ValueError("nothing to learn from: name --csv, --prometheus or --ledger")
    return [msgspec.structs.replace(one, zone=zone) for one in series]
