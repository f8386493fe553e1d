"""The edge's charges, kept by day in the ledger, anew as its hours close and late reports change them."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.costs import edge_days
from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.electricity import settled
from tidewatt_coordinator.electricity.accrual import months
from tidewatt_coordinator.electricity.charges import DeviceHour, Period, Place, accounts, asleep, demand
from tidewatt_coordinator.electricity.edge import (
    by_site,
    day_charges,
    device_hours,
    drawn,
    known_labels,
    stretches,
    within,
)
from tidewatt_coordinator.electricity.files import SITE, files_of, load_places
from tidewatt_coordinator.electricity.rates import HOUR_MS
from tidewatt_coordinator.electricity.settled import Due, Used
from tidewatt_coordinator.ledger.asleep import on_day
from tidewatt_coordinator.ledger.rolled import DAY_MS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import day_use
from tidewatt_wire.documents import DocumentError

log = logging.getLogger(__name__)

#: An hour is closed this long after its end: its last reports have come and are rolled up. Later ones have
#: its day worked out again.
GRACE_MS = 300_000
#: Days of one round, and real seconds between two, at the least; in between, a round's own length so
#: often: a day of 10,000 devices takes seconds of one core.
DAYS, EVERY_S, REST = 2, 10.0, 9.0
#: The fact that says which files the terms were last read from.
TERMS_FACT = "edge_terms"

Labels = Mapping[str, Mapping[str, str]]


class Settling:
    """One coordinator's; several may do it at once. `run` never ends by itself."""

    def __init__(
        self, ledger: Ledger, now_ms: Callable[[], int], *, fleet: str, sites: str, tariff: str
    ) -> None:
        """`sites` and `tariff` are files; when they change, the days that it touches are due again."""
        self._ledger, self._now_ms = ledger, now_ms
        self._fleet, self._sites, self._tariff = fleet, sites, tariff
        self._looked = False
        self.failing = False
        """Whether the last round failed."""

    async def run(self) -> None:
        """Settle for ever; a failed round is news once, and the next one tries again."""
        while True:
            start = time.monotonic()
            try:
                await asyncio.to_thread(self.round)
            except (SQLAlchemyError, OSError, RuntimeError, DocumentError) as error:
                if not self.failing:
                    log.error("edge charges: %s", str(error).partition("\n")[0])  # noqa: TRY400
                self.failing = True
            else:
                if self.failing:
                    log.warning("edge charges: recovered")
                self.failing = False
            await asyncio.sleep(max(EVERY_S, REST * (time.monotonic() - start)))

    def round(self) -> int:
        """Work out the days that are due, the latest first; how many those were."""
        self._notice_new_terms()
        waiting = settled.due(self._ledger, self._now_ms() - GRACE_MS, DAYS)
        places: list[Place] = []
        for one in waiting:
            labels = self._labels(one.day_ms)
            places = load_places(self._sites, self._tariff, labels)
            self._day(one, places, labels)
            edge_days.refresh(self._ledger.engine, Window(one.day_ms, one.day_ms + DAY_MS))
        if waiting:
            self._demand(places, min(waiting).from_ms, max(waiting).until_ms)
        elif not self._looked:
            # What broke off last time between a day and its month.
            places = load_places(self._sites, self._tariff, {})
            self._demand(places, self._now_ms() - settled.LONGEST_MS, self._now_ms())
            self._looked = True
        return len(waiting)

    def _day(self, one: Due, places: Sequence[Place], labels: Labels) -> None:
        rows = device_hours(self._ledger, *one.period)
        with self._ledger.engine.connect() as connection:
            slept = {device: part.energy_mj for device, part in on_day(connection, one.day_ms).items()}
        charges, used = charges_by_site(places, rows, labels, one.period, slept)
        terms = terms_of(places, one.period)
        settled.keep_day(self._ledger, one, terms, charges, used, self._now_ms())

    def _demand(self, places: Iterable[Place], from_ms: int, to_ms: int) -> None:
        for place in places:
            if not place.clockwork.tariff.demand:
                continue
            site = place.site.name
            for month in months(place.clockwork.zone, from_ms, to_ms):
                if not place.from_ms <= month[0] < place.to_ms:
                    continue
                if count := settled.month_due(self._ledger, site, month):
                    used = drawn(place, settled.used_in(self._ledger, site, month))
                    charges = list(demand(place, used, HOUR_MS, *month))
                    settled.keep_month(self._ledger, site, month, count, charges, self._now_ms())

    def _labels(self, day_ms: int) -> dict[str, Mapping[str, str]]:
        """The devices' labels, each at the site where the ledger has it on that day."""
        labels: dict[str, Mapping[str, str]] = dict(known_labels(self._ledger, self._fleet))
        stood = (
            select(day_use.c.device, day_use.c.site)
            .where(day_use.c.day_ms == day_ms)
            .order_by(day_use.c.device, day_use.c.epoch)
        )
        with self._ledger.engine.connect() as connection:
            for device, site in connection.execute(stood):
                mine = labels.get(device, {})
                labels[device] = {**mine, SITE: site} if site else mine
        return labels

    def _notice_new_terms(self) -> None:
        """Have the days worked out again whose prices or fees are others since the files changed."""
        stats = [(str(file), file.stat()) for file in files_of(self._sites, self._tariff)]
        read = json.dumps([(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats])
        if self._ledger.fact(TERMS_FACT) == read:
            return
        changed: list[int] = []
        for period, terms in settled.terms_kept(self._ledger).items():
            day_ms = period[0] - period[0] % DAY_MS
            places = load_places(self._sites, self._tariff, self._labels(day_ms))
            if terms_of(places, period) != terms:
                changed.append(day_ms)
        settled.again(self._ledger, changed)
        self._ledger.keep_fact(TERMS_FACT, read)


def charges_by_site(
    places: Iterable[Place],
    rows: Iterable[DeviceHour],
    labels: Labels,
    day: Period,
    slept: Mapping[str, int] | None = None,
) -> tuple[list[Charge], list[Used]]:
    """A day's charges, and what each site paid for its energy by the hour; `slept`: mJ asleep by device."""
    sites = by_site(rows, labels)
    slept_at: dict[str, dict[str, int]] = {}
    for device, mj in (slept or {}).items():
        slept_at.setdefault(labels.get(device, {}).get(SITE, ""), {})[device] = mj
    charges: list[Charge] = []
    used: list[Used] = []
    for place in places:
        for period in stretches(place, *day):
            hours = accounts(place, within(sites.get(place.site.name, []), period), period)
            charges += day_charges(place, hours, period)
            # Once a day, under the tariff that it began with.
            charges += asleep(place, hours, slept_at.pop(place.site.name, {}), period)
            used += [
                Used(
                    one.hour_ms, place.site.name, place.currency, sum(one.devices.values()), one.settled.cost
                )
                for one in hours
            ]
    return charges, used


def terms_of(places: Iterable[Place], day: Period) -> str:
    """A hash of all that a day's charges depend on but for energy: prices, fees, plants, hardware."""
    parts = sorted(
        repr(part)
        for place in places
        for period in stretches(place, *day)
        for part in _terms(place, range(*period, HOUR_MS))
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _terms(place: Place, hours: Iterable[int]) -> Iterator[object]:
    tariff = place.clockwork.tariff
    site = msgspec.structs.replace(place.site, tariff="", solar="", carbon_zone="")
    yield (site, place.currency, tariff.export_per_kwh, tariff.per_month, tariff.demand, tariff.zone)
    yield from ((site.name, place.clockwork.hour(hour), place.made_mj.get(hour, 0)) for hour in hours)
    yield from ((site.name, one) for one in {one.name: one for one in place.hardware.values()}.values())
