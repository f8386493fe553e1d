"""Steering: from what is known now to the next table, again and again. No broker here: see dispatchtopic."""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.dispatch.backends import Backend, Histogram
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.steering import edge
from tidewatt_coordinator.steering.book import Book, Kept
from tidewatt_coordinator.steering.choosing import Chosen, Facts, NoTable, choose
from tidewatt_coordinator.steering.concentrating import asked_of, concentrated
from tidewatt_coordinator.steering.demand import Demand, classes_of, whole
from tidewatt_coordinator.steering.orders import Order
from tidewatt_coordinator.steering.pools import Fetched, PoolPrice, backends_of
from tidewatt_coordinator.steering.publishing import MOST_GAP, message
from tidewatt_coordinator.steering.readings import Reading
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.steering.vectors import histogram, number
from tidewatt_link.ending import within
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import PolicySet

log = logging.getLogger(__name__)

#: Real seconds between two tables at the least, however fast virtual time runs.
SHORTEST_PAUSE_S = 0.2
#: Real seconds between two looks for orders.
LOOK_EVERY_S = 1.0


class Power(msgspec.Struct, frozen=True):
    """What energy and pools cost."""

    price_per_kwh: float
    currency: str
    pools: Mapping[str, PoolPrice] = {}


class Made(msgspec.Struct, frozen=True):
    """A table that waits to be published."""

    kept: Kept
    answers: int
    """The last call that it follows."""


class Steering:
    """One fleet's wheel. `make` may be called from any thread; `said` when the broker has the table."""

    def __init__(
        self,
        settings: Dispatch,
        current: Callable[[], PolicySet],
        fleet: Fleet,
        power: Power,
        clock: Clock,
        book: Book | None = None,
        readings: Mapping[str, Reading] | None = None,
        sees: Callable[[], bool] = lambda: True,
    ) -> None:
        """`readings`: the last answers to queries. `sees`: whether `fleet` shows who is there."""
        self.planned: Callable[[int], Mapping[str, float]] = lambda _now_ms: {}
        """By device the usable requests/s where it is planned and was seen; empty without a plan."""
        self.settings, self._current, self.fleet, self.power = settings, current, fleet, power
        self._clock, self._book, self.sees = clock, book, sees
        self.readings: Mapping[str, Reading] = readings if readings is not None else {}
        self._lock = threading.Lock()
        self._orders: list[Order] = []
        self._calls, self._answered = 0, 0
        self._called = asyncio.Event()
        self._own = False
        self._deaf = ""
        self.last: Kept | None = None
        """The table that was published last, by us or, before our first, by whoever did."""
        self.obstacle = ""
        """Why there is no newer table; empty while there is."""
        self.made = 0
        self.refused = 0
        """Times that there could be no table."""

    @property
    def pause_s(self) -> float:
        """Real seconds between two tables."""
        return max(SHORTEST_PAUSE_S, self._clock.real_seconds(self.settings.every_s))

    def terms(self) -> Terms:
        """What every table keeps to."""
        mine = self.settings
        return Terms(
            fill=mine.fill,
            capacity_loss_per_s=mine.capacity_loss_per_s,
            demand_growth_per_s=mine.demand_growth_per_s,
            held=mine.held,
            interval_s=mine.every_s,
            expire_s=self.fleet.stale_after_ms / 1000.0,
            absorb_loss=mine.absorb_loss,
            mixture=mine.mixture,
            explore=mine.explore,
            motion=mine.motion,
            hysteresis=mine.hysteresis,
        )

    def make(self) -> Made:
        """The table for now; NoTable says why there is none. It works, so call it from a thread."""
        with self._lock:
            answers, now_ms = self._calls, self._clock.now_ms()
            self._look()
            last = self.last if self.last and self.last.message.expires_at_ms > now_ms else None
            if last and not self._own and not self.sees():
                raise NoTable("who is there isn't known yet, and the last table is in force")
            demand = self._demand(last, now_ms)
            chosen, facts = self._chosen(demand, last.table if last else None, now_ms)
            kept = self._kept(chosen, replace(facts, backends=chosen.shown), demand, now_ms)
            return Made(kept, answers)

    def said(self, made: Made) -> None:
        """The broker has it. Works, too: it is kept."""
        with self._lock:
            self.last, self._own, self.obstacle = made.kept, True, ""
            self.made += 1
            self._answered = max(self._answered, made.answers)
            if self._book:
                news = [one.id for one in made.kept.facts.orders if one.in_force_ms is None]
                try:
                    self._book.keep(made.kept)
                    if news:
                        self._book.in_force(news, self._clock.now_ms())
                except SQLAlchemyError as error:
                    self._say(f"the table can't be kept: {str(error).partition(chr(10))[0]}")

    def blocked(self, error: NoTable) -> None:
        """There is no new table; said once, and softly where the fleet isn't there: others tell of that."""
        self.refused += 1
        if str(error) != self.obstacle:
            log.log(logging.INFO if error.expected else logging.ERROR, "no new dispatch table: %s", error)
        self.obstacle = str(error)

    def call(self) -> int:
        """Have the next table made at once; what `answered` will reach when the broker has it."""
        self._calls += 1
        self._called.set()
        return self._calls

    @property
    def answered(self) -> int:
        """The last call that a published table follows."""
        return self._answered

    async def next_turn(self) -> None:
        """Return when it is time for a table: after the pause, a call, or an order."""
        left_s = self.pause_s
        while left_s > 0.0:
            step_s = min(left_s, LOOK_EVERY_S)
            left_s -= step_s
            try:
                await within(self._called.wait(), step_s)
                break
            except asyncio.TimeoutError:
                if left_s > 0.0 and await asyncio.to_thread(self._has_news):
                    break
        self._called.clear()

    def _has_news(self) -> bool:
        """Whether other orders hold than when the last table was made."""
        with self._lock:
            before = [one.id for one in self._orders]
            self._look()
            return [one.id for one in self._orders] != before

    def _look(self) -> None:
        """What others wrote; without the database the orders that are known go on."""
        now_ms = self._clock.now_ms()
        self._orders = [one for one in self._orders if one.holds(now_ms)]
        if not self._book:
            return
        try:
            self._orders = self._book.holding(now_ms)
            if self._book.epoch() > (self.last.epoch if self.last else 0):
                self.last, self._own = self._book.last() or self.last, False
        except SQLAlchemyError as error:
            self._say(f"orders can't be read: {str(error).partition(chr(10))[0]}")
        else:
            self._say("")

    def _say(self, deaf: str) -> None:
        if deaf and not self._deaf:
            log.error("dispatch: %s", deaf)
        elif self._deaf and not deaf:
            log.warning("dispatch: orders are read again")
        self._deaf = deaf

    def _demand(self, last: Kept | None, now_ms: int) -> Demand | None:
        served = self.fleet.rates(now_ms)
        known = self.last.demand if self.last else None
        return whole(sum(served) if served else None, _edge_share(last) if last else None, known, now_ms)

    def _chosen(self, demand: Demand | None, last: Table | None, now_ms: int) -> tuple[Chosen, Facts]:
        """The table with traffic where it is planned, unless that would refuse what can be served."""
        if planned := self.planned(now_ms):
            facts = self._facts(demand, now_ms, planned)
            try:
                chosen = choose(facts, last, self.settings.valid_s)
            except NoTable:
                pass
            else:
                if not chosen.table.refused:
                    return chosen, facts
        facts = self._facts(demand, now_ms, {})
        return choose(facts, last, self.settings.valid_s), facts

    def weighs(self, device: str) -> bool:
        """Whether the table in force sends requests to that device; of sites it tells nothing."""
        last = self.last
        if last is None or last.message.expires_at_ms <= self._clock.now_ms():
            return False
        tables = (last.message.weights, *(one.weights for one in last.message.classes))
        return any(weights.get(device, 0) > 0 for weights in tables)

    def edge_share(self) -> float | None:
        """The part of all requests that the table in force gives to our devices; None without one."""
        last = self.last
        return _edge_share(last) if last and last.message.expires_at_ms > self._clock.now_ms() else None

    def _facts(self, demand: Demand | None, now_ms: int, planned: Mapping[str, float]) -> Facts:
        def fetched(query: str) -> Fetched:
            reading = self.readings.get(query)
            value = number(reading.vector) if reading else None
            return None if reading is None or value is None else (value, (now_ms - reading.at_ms) / 1000.0)

        def latencies(query: str) -> Histogram | None:
            reading = self.readings.get(query)
            return histogram(reading.vector) if reading else None

        settings = self.settings
        classes, unknown = classes_of(settings.asked, demand, fetched, now_ms)
        known = self.fleet.able(self._current(), now_ms)
        if planned:
            each = edge.devices(known, self.power.price_per_kwh, settings.fill)
            known = concentrated(known, each, planned, asked_of(each, planned, classes, self.terms()))
        backends = self._edge(latencies, known)
        backends += backends_of(settings.pools, self.power.pools, fetched, latencies)
        return Facts(
            backends=backends, classes=classes, terms=self.terms(), unknown=unknown, orders=self._orders
        )

    def _edge(
        self, latencies: Callable[[str], Histogram | None], known: Sequence[edge.Known]
    ) -> list[Backend]:
        settings = self.settings
        group = edge.sites if settings.backends == "sites" else edge.devices
        found = group(known, self.power.price_per_kwh, settings.fill)
        if settings.edge_latency_query:
            measured = latencies(settings.edge_latency_query)
            found = [replace(one, latency=measured) for one in found]
        return found

    def _kept(self, chosen: Chosen, facts: Facts, demand: Demand | None, now_ms: int) -> Kept:
        epoch = max(now_ms, self.last.epoch + 1 if self.last else 0)
        sent = message(
            chosen,
            facts.classes,
            fleet=self._current().fleet,
            epoch=epoch,
            now_ms=now_ms,
            valid_ms=round(self.settings.valid_s * 1000),
            currency=self.power.currency,
        )
        proof = chosen.table.certificate
        return Kept(
            message=sent,
            table=replace(
                chosen.table, certificate=replace(proof, gap=min(proof.gap, MOST_GAP))
            ),  # JSON knows no infinity
            facts=facts,
            notes=chosen.notes,
            currency=self.power.currency,
            demand=demand,
        )


def _edge_share(last: Kept) -> float | None:
    edges = {one.name for one in last.facts.backends if one.kind == "edge"}
    weights: Sequence[tuple[str, int]] = list(last.message.weights.items())
    total = sum(parts for _, parts in weights)
    served = 1.0 - _shed_share(last)
    return served * sum(parts for name, parts in weights if name in edges) / total if total else None


def _shed_share(last: Kept) -> float:
    planned = last.table.planned_rps
    total = sum(planned.values())
    return sum(planned[name] * share for name, share in last.table.refused.items()) / total if total else 0.0
