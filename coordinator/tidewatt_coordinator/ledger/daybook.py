"""Days and sites from the hours that changed, and where devices stand."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, bindparam, select, update

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Values, bucket_of
from tidewatt_coordinator.ledger.merging import Row, Rule, merge_rows
from tidewatt_coordinator.ledger.resuming import BUCKETS, CHUNK
from tidewatt_coordinator.ledger.rolled import DAY_MS, ZERO, Key, Rolled, minus, plus
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import (
    day_use,
    day_version,
    device_life,
    device_site,
    hour_version,
    site_day,
)

NEW: dict[str, Rule] = dict.fromkeys(COUNTERS, "new")
SUM: dict[str, Rule] = dict.fromkeys(COUNTERS, "sum")
COUNTED: dict[str, Rule] = {"version": "sum"}
DAY_RULES: dict[str, Rule] = {
    "site": "new",
    **NEW,
    "first_hour_ms": "new",
    **dict.fromkeys((f"{name}_at" for name in COUNTERS), "new"),
}


class Day(msgspec.Struct, frozen=True):
    """A life's day: its use, the site, the first hour that has reports (-1: none) and the counters there."""

    site: str
    values: Values
    first_hour_ms: int
    at: Values


def place(ledger: Ledger, sites: Mapping[str, str]) -> int:
    """Say where devices stand; how many that was news of.

    A day stays with the site at which the device stood when the day was first rolled up; days
    from before its site was known go to the first one.
    """
    with ledger.engine.connect() as connection:
        known = _pairs(connection, select(device_site.c.device, device_site.c.site))
    news = {device: site for device, site in sites.items() if known.get(device) != site}
    for start in range(0, len(news), CHUNK):
        some = dict(sorted(news.items())[start : start + CHUNK])
        ledger.transact(partial(_place_some, some, known))
    return len(news)


def write_days(
    connection: Connection, rolled: Mapping[Key, Rolled], changed: Mapping[Key, Mapping[int, Values]]
) -> None:
    """Write the days and sites of what was rolled up; `changed`: by how much its hours differ."""
    days = sorted({bucket_of(hour_ms, DAY_MS) for one in rolled.values() for hour_ms in one.hours})
    names = sorted({device for device, _ in rolled})
    kept = _days(connection, days, names)
    sites = _sites(connection, names)
    rows: list[Row] = []
    by_site: dict[tuple[int, str], Values] = {}
    for key, one in rolled.items():
        differences: dict[int, Values] = {}
        for hour_ms, values in changed[key].items():
            day_ms = bucket_of(hour_ms, DAY_MS)
            differences[day_ms] = plus(differences.get(day_ms, ZERO), values)
        for day_ms in sorted({bucket_of(hour_ms, DAY_MS) for hour_ms in one.hours}):
            before = kept.get((day_ms, *key)) or Day(sites.get(key[0], ""), ZERO, -1, ZERO)
            difference = differences.get(day_ms, ZERO)
            day = _day_after(before, day_ms, one, difference)
            if day != before:
                rows.append((day_ms, *key, day.site, *day.values, day.first_hour_ms, *day.at))
            if any(difference):
                place = (day_ms, day.site)
                by_site[place] = plus(by_site.get(place, ZERO), difference)
    merge_rows(connection, day_use, DAY_RULES, sorted(rows))
    merge_rows(connection, site_day, SUM, [(*place, *values) for place, values in sorted(by_site.items())])
    new = sorted({day_ms for day_ms, _ in by_site})
    merge_rows(connection, day_version, COUNTED, [(day_ms, 1) for day_ms in new])
    hours = sorted({hour_ms for differences in changed.values() for hour_ms in differences})
    merge_rows(connection, hour_version, COUNTED, [(hour_ms, 1) for hour_ms in hours])


def _day_after(before: Day, day_ms: int, one: Rolled, difference: Values) -> Day:
    first = min(one.hours)
    here = [hour_ms for hour_ms in one.seen if bucket_of(hour_ms, DAY_MS) == day_ms]
    first_hour_ms, at = before.first_hour_ms, before.at
    if here and not 0 <= first_hour_ms < first:
        first_hour_ms, at = here[0], one.at[here[0]]
    return Day(before.site, plus(before.values, difference), first_hour_ms, at)


def _days(connection: Connection, days: list[int], names: list[str]) -> dict[tuple[int, str, str], Day]:
    table, count = day_use.c, len(COUNTERS)
    found = {}
    columns = [
        *(table[name] for name in COUNTERS),
        table.first_hour_ms,
        *(table[f"{n}_at"] for n in COUNTERS),
    ]
    for first in range(0, len(days), BUCKETS):
        kept = select(table.day_ms, table.device, table.epoch, table.site, *columns).where(
            table.day_ms.in_(days[first : first + BUCKETS]), table.device.in_(names)
        )
        for day_ms, device, epoch, site, *values in connection.execute(kept):
            day = Day(site, tuple(values[:count]), values[count], tuple(values[count + 1 :]))
            found[day_ms, device, epoch] = day
    return found


def _sites(connection: Connection, names: list[str]) -> dict[str, str]:
    standing = select(device_site.c.device, device_site.c.site).where(device_site.c.device.in_(names))
    return _pairs(connection, standing)


def _pairs(connection: Connection, rows: Select[Any]) -> dict[str, str]:
    return {str(device): str(site) for device, site in connection.execute(rows)}


def _place_some(sites: Mapping[str, str], known: Mapping[str, str], connection: Connection) -> None:
    lives = select(device_life.c.device).where(device_life.c.device.in_(list(sites)))
    connection.execute(lives.order_by(device_life.c.device, device_life.c.epoch).with_for_update()).all()
    merge_rows(connection, device_site, {"site": "new"}, sorted(sites.items()))
    first = [device for device in sites if not known.get(device)]
    table = day_use.c
    homeless = (table.site == "") & table.device.in_(first)
    by_site: dict[tuple[int, str], Values] = {}
    rows = connection.execute(
        select(table.day_ms, table.device, *(table[name] for name in COUNTERS)).where(homeless)
    )
    for day_ms, device, *values in rows.all():
        if sites[device]:
            for place, difference in (
                ((day_ms, ""), minus(ZERO, values)),
                ((day_ms, sites[device]), values),
            ):
                by_site[place] = plus(by_site.get(place, ZERO), difference)
    moved = (
        update(day_use)
        .where(table.site == "", table.device == bindparam("the_device"))
        .values(site=bindparam("to"))
    )
    if by_site:
        connection.execute(moved, [{"the_device": device, "to": sites[device]} for device in first])
    merge_rows(connection, site_day, SUM, [(*place, *values) for place, values in sorted(by_site.items())])
    new = sorted({day_ms for day_ms, _ in by_site})
    merge_rows(connection, day_version, COUNTED, [(day_ms, 1) for day_ms in new])
    for day_ms in new:  # who reckons by sites reckons their hours anew
        hours = hour_version.c.hour_ms.between(day_ms, day_ms + DAY_MS - 1)
        connection.execute(update(hour_version).where(hours).values(version=hour_version.c.version + 1))
