"""The edge's charges of an interval, from the ledger's energy and the sites' terms."""

import json
from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import select

from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.costs.days import DAY_MS
from tidewatt_coordinator.electricity.charges import (
    Account,
    DeviceHour,
    Period,
    Place,
    accounts,
    demand,
    electricity,
    fixed,
)
from tidewatt_coordinator.electricity.files import SITE, load_places
from tidewatt_coordinator.electricity.rates import HOUR_MS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import known_device
from tidewatt_coordinator.ledger.use import hours

Labels = Mapping[str, Mapping[str, str]]


def edge_charges(
    ledger: Ledger, from_ms: int, to_ms: int, *, fleet: str, sites: str, tariff: str
) -> Iterator[Charge]:
    """All charges of source "edge" of the whole hours in [from_ms, to_ms); `sites` and `tariff` are files.

    Taken again for the same hours they have the same keys, so that late reports correct them.
    """
    rows = list(device_hours(ledger, from_ms, to_ms))
    labels: dict[str, Mapping[str, str]] = {row.device: {} for row in rows}
    labels.update(known_labels(ledger, fleet))
    yield from charges_of(load_places(sites, tariff, labels), rows, labels, from_ms, to_ms)


def charges_of(
    places: Iterable[Place], rows: Iterable[DeviceHour], labels: Labels, from_ms: int, to_ms: int
) -> Iterator[Charge]:
    """The charges of an interval: energy, fees and write-offs by device and day of UTC, demand by month.

    Demand is of whole months: give it an interval that begins with one.
    """
    sites = by_site(rows, labels)
    for place in places:
        days: dict[int, list[DeviceHour]] = {}
        used: dict[int, int] = {}
        for row in sites.get(place.site.name, []):
            days.setdefault(row.hour_ms // DAY_MS, []).append(row)
            used[row.hour_ms] = used.get(row.hour_ms, 0) + row.energy_mj
        for period in stretches(place, from_ms, to_ms):
            here = within(days.get(period[0] // DAY_MS, []), period)
            yield from day_charges(place, accounts(place, here, period), period)
        first, end = max(from_ms, place.first_ms), min(to_ms - to_ms % HOUR_MS, place.end_ms)
        yield from demand(place, drawn(place, used), HOUR_MS, first, end)


def day_charges(place: Place, hours: Iterable[Account], period: Period) -> Iterator[Charge]:
    """What a period within a day costs at a place whose tariff holds in it."""
    yield from electricity(place, hours, period)
    yield from fixed(place, period)


def by_site(rows: Iterable[DeviceHour], labels: Labels) -> dict[str, list[DeviceHour]]:
    """The rows by the sites of their devices."""
    found: dict[str, list[DeviceHour]] = {}
    for row in rows:
        found.setdefault(labels.get(row.device, {}).get(SITE, ""), []).append(row)
    return found


def stretches(place: Place, from_ms: int, to_ms: int) -> Iterator[Period]:
    """The whole hours of an interval in which the place's tariff holds, cut into days of UTC."""
    first, end = max(from_ms + -from_ms % HOUR_MS, place.first_ms), min(to_ms - to_ms % HOUR_MS, place.end_ms)
    while first < end:
        until = min(end, first - first % DAY_MS + DAY_MS)
        yield first, until
        first = until


def within(rows: Iterable[DeviceHour], period: Period) -> list[DeviceHour]:
    """The rows of a period."""
    return [row for row in rows if period[0] <= row.hour_ms < period[1]]


def drawn(place: Place, used: Mapping[int, int]) -> dict[int, int]:
    """What the site drew from the grid by hour, mJ, from what its devices used."""
    return {hour: max(0, mj - place.made_mj.get(hour, 0)) for hour, mj in used.items()}


def device_hours(ledger: Ledger, from_ms: int, to_ms: int) -> Iterator[DeviceHour]:
    """Each device's energy by hour, over its epochs, hours without any left out; as last rolled up."""
    for one in hours(ledger, from_ms, to_ms):
        if one.energy_mj:
            yield DeviceHour(one.device, one.hour_ms, one.energy_mj)


def known_labels(ledger: Ledger, fleet: str) -> dict[str, dict[str, str]]:
    """The labels that each device of a fleet was last heard with."""
    table = known_device.c
    with ledger.engine.connect() as connection:
        rows = connection.execute(select(table.device, table.labels).where(table.fleet == fleet))
        return {device: json.loads(labels) for device, labels in rows}
