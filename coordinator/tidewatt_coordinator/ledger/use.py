"""What was used, by hour, day and site: read from the rollups."""

from collections.abc import Iterator

import msgspec
from sqlalchemy import func, select

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Values
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import hour_use, site_day

#: Rows fetched at once; a quarter of hours of a large fleet is tens of millions.
FETCHED = 10_000


class HourUse(msgspec.Struct, frozen=True):
    """What one device used in the hour that begins at `hour_ms`."""

    device: str
    hour_ms: int
    energy_mj: int
    requests: int
    violating_ms: int


class SiteDay(msgspec.Struct, frozen=True):
    """What a site's devices used on the day (UTC) that begins at `day_ms`; `values` as in COUNTERS."""

    site: str
    day_ms: int
    values: Values


def hours(ledger: Ledger, from_ms: int, to_ms: int) -> Iterator[HourUse]:
    """The hours that begin from `from_ms` to before `to_ms`, by hour and device; as last rolled up."""
    table = hour_use.c
    sums = (func.sum(table[name]) for name in ("energy_mj", "requests", "violating_ms"))
    rows = (
        select(table.device, table.hour_ms, *sums)
        .where(table.hour_ms >= from_ms, table.hour_ms < to_ms)
        .group_by(table.hour_ms, table.device)
        .order_by(table.hour_ms, table.device)
    )
    with ledger.engine.connect().execution_options(yield_per=FETCHED) as connection:
        for device, hour_ms, *values in connection.execute(rows):
            yield HourUse(device, hour_ms, *map(int, values))  # PostgreSQL's sums are Decimal


def site_days(ledger: Ledger, from_ms: int, to_ms: int) -> list[SiteDay]:
    """The days that begin from `from_ms` to before `to_ms`, by day and site; as last rolled up."""
    table = site_day.c
    rows = (
        select(table.site, table.day_ms, *(table[name] for name in COUNTERS))
        .where(table.day_ms >= from_ms, table.day_ms < to_ms)
        .order_by(table.day_ms, table.site)
    )
    with ledger.engine.connect() as connection:
        return [SiteDay(site, day_ms, tuple(values)) for site, day_ms, *values in connection.execute(rows)]
