"""The edge's charges of an interval, from the ledger's energy and the sites' terms."""

import json
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from sqlalchemy import select

from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.electricity.charges import DeviceHour, Place, demand, electricity, fixed
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
        by_hour: dict[int, list[DeviceHour]] = {}
        for row in mine:
            by_hour.setdefault(row.hour_ms, []).append(row)
        for hour_ms in range(first, end, HOUR_MS):
            yield from hour_charges(place, by_hour.get(hour_ms, []), hour_ms)
        used = {hour_ms: sum(row.energy_mj for row in here) for hour_ms, here in by_hour.items()}
        yield from demand(place, drawn(place, used), HOUR_MS, first, end)


def holds(place: Place, hour_ms: int) -> bool:
    """Whether the place's tariff is the one of an hour; where it changes within one, the earlier is."""
    return _hour_from(place.from_ms) <= hour_ms < _hour_from(place.to_ms)


def hour_charges(place: Place, rows: Iterable[DeviceHour], hour_ms: int) -> Iterator[Charge]:
    """What an hour costs at a place whose tariff holds in it, from its devices' `rows` of that hour."""
    yield from electricity(_within(place, hour_ms, hour_ms + HOUR_MS), rows)
    yield from fixed(place, hour_ms)


def _hour_from(at_ms: int) -> int:
    """The first whole hour that begins then or after."""
    return at_ms + -at_ms % HOUR_MS


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


def _within(place: Place, first: int, end: int) -> Place:
    made = {hour: mj for hour, mj in place.made_mj.items() if first <= hour < end}
    return msgspec.structs.replace(place, made_mj=made)
