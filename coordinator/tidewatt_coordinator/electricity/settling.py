"""The edge's charges, kept in the ledger: every closed hour's, and again when a late report changed it."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.electricity import hourbook
from tidewatt_coordinator.electricity.accrual import months
from tidewatt_coordinator.electricity.charges import ELECTRICITY, DeviceHour, Place, demand
from tidewatt_coordinator.electricity.edge import device_hours, drawn, holds, hour_charges, known_labels
from tidewatt_coordinator.electricity.files import SITE, files_of, load_places
from tidewatt_coordinator.electricity.hourbook import Due, Used
from tidewatt_coordinator.electricity.rates import HOUR_MS
from tidewatt_coordinator.ledger.rolled import DAY_MS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import day_use
from tidewatt_coordinator.money import total
from tidewatt_wire.documents import DocumentError

log = logging.getLogger(__name__)

#: An hour is closed this long after its end: its last reports have come and are rolled up. Later ones have
#: it worked out again.
GRACE_MS = 300_000
#: Hours of one round, and real seconds between two, at the least; in between, a round's own length so
#: often: an hour of 10,000 devices takes seconds of one core.
HOURS, EVERY_S, REST = 48, 10.0, 9.0
#: The fact that says which files the terms were last read from.
TERMS_FACT = "edge_terms"

Labels = Mapping[str, Mapping[str, str]]


class Settling:
    """One coordinator's; several may do it at once. `run` never ends by itself."""

    def __init__(
        self, ledger: Ledger, now_ms: Callable[[], int], *, fleet: str, sites: str, tariff: str
    ) -> None:
        """`sites` and `tariff` are files; when they change, the hours that it touches are due again."""
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
        """Work out the hours that are due, the latest first; how many those were."""
        self._notice_new_terms()
        waiting = hourbook.due(self._ledger, self._now_ms() - GRACE_MS, HOURS)
        places: list[Place] = []
        for day_ms in sorted({one.hour_ms - one.hour_ms % DAY_MS for one in waiting}, reverse=True):
            labels = self._labels(day_ms)
            places = load_places(self._sites, self._tariff, labels)
            for one in waiting:
                if day_ms <= one.hour_ms < day_ms + DAY_MS:
                    self._hour(one, places, labels)
        if waiting:
            self._demand(places, min(waiting).hour_ms, max(waiting).hour_ms + HOUR_MS)
        elif not self._looked:
            # What broke off last time between an hour and its month.
            places = load_places(self._sites, self._tariff, {})
            self._demand(places, self._now_ms() - hourbook.LONGEST_MS, self._now_ms())
            self._looked = True
        return len(waiting)

    def _hour(self, one: Due, places: Sequence[Place], labels: Labels) -> None:
        rows = list(device_hours(self._ledger, one.hour_ms, one.hour_ms + HOUR_MS))
        here = [place for place in places if holds(place, one.hour_ms)]
        charges, used = charges_by_site(here, rows, labels, one.hour_ms)
        hourbook.keep_hour(self._ledger, one, terms_of(here, one.hour_ms), charges, used, self._now_ms())

    def _demand(self, places: Iterable[Place], from_ms: int, to_ms: int) -> None:
        for place in places:
            if not place.clockwork.tariff.demand:
                continue
            site = place.site.name
            for month in months(place.clockwork.zone, from_ms, to_ms):
                if not place.from_ms <= month[0] < place.to_ms:
                    continue
                if count := hourbook.month_due(self._ledger, site, month):
                    used = drawn(place, hourbook.used_in(self._ledger, site, month))
                    charges = list(demand(place, used, HOUR_MS, *month))
                    hourbook.keep_month(self._ledger, site, month, count, charges, self._now_ms())

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
        """Have the hours worked out again whose price or fees are others since the files changed."""
        stats = [(str(file), file.stat()) for file in files_of(self._sites, self._tariff)]
        read = json.dumps([(name, stat.st_mtime_ns, stat.st_size) for name, stat in stats])
        if self._ledger.fact(TERMS_FACT) == read:
            return
        kept = hourbook.terms_kept(self._ledger)
        changed: list[int] = []
        for day_ms in sorted({hour_ms - hour_ms % DAY_MS for hour_ms in kept}):
            places = load_places(self._sites, self._tariff, self._labels(day_ms))
            for hour_ms in range(day_ms, day_ms + DAY_MS, HOUR_MS):
                here = [place for place in places if holds(place, hour_ms)]
                if hour_ms in kept and terms_of(here, hour_ms) != kept[hour_ms]:
                    changed.append(hour_ms)
        hourbook.again(self._ledger, changed)
        self._ledger.keep_fact(TERMS_FACT, read)


def charges_by_site(
    places: Iterable[Place], rows: Iterable[DeviceHour], labels: Labels, hour_ms: int
) -> tuple[list[Charge], list[Used]]:
    """An hour's charges at places whose tariffs hold in it, and what each site paid for its energy."""
    by_site: dict[str, list[DeviceHour]] = {}
    for row in rows:
        by_site.setdefault(labels.get(row.device, {}).get(SITE, ""), []).append(row)
    charges: list[Charge] = []
    used: list[Used] = []
    for place in places:
        mine = by_site.get(place.site.name, [])
        made = list(hour_charges(place, mine, hour_ms))
        paid = [
            one.billed
            for one in made
            if one.service == ELECTRICITY and one.unit == "kWh" and one.kind == "Usage"
        ]
        used.append(Used(place.site.name, place.currency, sum(row.energy_mj for row in mine), total(paid)))
        charges += made
    return charges, used


def terms_of(places: Iterable[Place], hour_ms: int) -> str:
    """A hash of all that an hour's charges depend on but for energy: prices, fees, plants, hardware."""
    parts = sorted(repr(part) for place in places for part in _terms(place, hour_ms))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _terms(place: Place, hour_ms: int) -> Iterator[object]:
    tariff = place.clockwork.tariff
    site = msgspec.structs.replace(place.site, tariff="", solar="", carbon_zone="")
    yield (site, place.currency, place.clockwork.hour(hour_ms), tariff.export_per_kwh, tariff.per_month)
    yield (site.name, tariff.demand, tariff.zone, place.made_mj.get(hour_ms, 0))
    yield from ((site.name, one) for one in {one.name: one for one in place.hardware.values()}.values())
