"""The edge's charges of an interval, from the ledger's energy and the sites' terms."""

import json
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from sqlalchemy import select

from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.electricity.charges import DeviceHour, Place, demand, electricity, fixed
from tidewatt_coordinator.electricity.files import SITE, load_places
from tidewatt_coordinator.electricity.rates import HOUR_MS
from tidewatt_coordinator.ledger.arithmetic import COUNTERS, slices
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import known_device

ENERGY = COUNTERS.index("energy_mj")

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
    places: Iterable[Place], rows: list[DeviceHour], labels: Labels, from_ms: int, to_ms: int
) -> Iterator[Charge]:
    """The charges of an interval: energy by device and hour, fees and write-offs by hour, demand by month.

    Demand is of whole months: give it an interval that begins with one.
    """
    by_site: dict[str, list[DeviceHour]] = {}
    for row in rows:
        by_site.setdefault(labels.get(row.device, {}).get(SITE, ""), []).append(row)
    for place in places:
        first = _hour_from(max(from_ms, place.from_ms))
        end = min(to_ms - to_ms % HOUR_MS, _hour_from(place.to_ms))
        mine = by_site.get(place.site.name, [])
        now = [row for row in mine if first <= row.hour_ms < end]
        yield from electricity(_within(place, first, end), now)
        for hour_ms in range(first, end, HOUR_MS):
            yield from fixed(place, hour_ms)
        yield from demand(place, _drawn(place, mine), HOUR_MS, first, end)


def _hour_from(at_ms: int) -> int:
    """The first whole hour that begins then or after."""
    return at_ms + -at_ms % HOUR_MS


def _drawn(place: Place, rows: Iterable[DeviceHour]) -> dict[int, int]:
    """What the site drew from the grid by hour, mJ."""
    used: dict[int, int] = {}
    for row in rows:
        used[row.hour_ms] = used.get(row.hour_ms, 0) + row.energy_mj
    return {hour: max(0, mj - place.made_mj.get(hour, 0)) for hour, mj in used.items()}


def device_hours(ledger: Ledger, from_ms: int, to_ms: int) -> Iterator[DeviceHour]:
    """Each device's energy by hour, over its epochs, hours without any left out."""
    found: dict[tuple[str, int], int] = {}
    for life in ledger.lives():
        for piece in slices(life.spans, ledger.bucket_ms):
            hour_ms = piece.start_ms - piece.start_ms % HOUR_MS
            if from_ms <= hour_ms < to_ms and piece.values[ENERGY]:
                key = (life.device, hour_ms)
                found[key] = found.get(key, 0) + piece.values[ENERGY]
    for (device, hour_ms), energy_mj in sorted(found.items()):
        yield DeviceHour(device, hour_ms, energy_mj)


def known_labels(ledger: Ledger, fleet: str) -> dict[str, dict[str, str]]:
    """The labels that each device of a fleet was last heard with."""
    table = known_device.c
    with ledger.engine.connect() as connection:
        rows = connection.execute(select(table.device, table.labels).where(table.fleet == fleet))
        return {device: json.loads(labels) for device, labels in rows}


def _within(place: Place, first: int, end: int) -> Place:
    made = {hour: mj for hour, mj in place.made_mj.items() if first <= hour < end}
    return msgspec.structs.replace(place, made_mj=made)
