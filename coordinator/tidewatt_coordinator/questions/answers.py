"""The questions, asked of one ledger: what commands, REST and the page share. Sums are the database's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from tidewatt_coordinator.costs.charge import CostError, total
from tidewatt_coordinator.costs.days import Window, day_ms, day_of
from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.electricity.charges import SOURCE as EDGE
from tidewatt_coordinator.electricity.edge import known_labels
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions import reading
from tidewatt_coordinator.questions.changes import Changes
from tidewatt_coordinator.questions.monthend import HISTORY, MonthEnd, month_end
from tidewatt_coordinator.questions.rows import NONE, Cost, Key, regrouped, reused
from tidewatt_coordinator.questions.savings import Saved, Savings
from tidewatt_coordinator.questions.trend import DAYS, Trend, settled, totals, trends
from tidewatt_coordinator.questions.unitcost import UnitCost, per_request, whole
from tidewatt_coordinator.questions.waste import Waste, Worked, kwh_prices, wasted
from tidewatt_coordinator.questions.why import ENERGY_UNIT, Why, reasons
from tidewatt_coordinator.questions.why import whole as whole_why

#: What requests can be told by. Of the cloud only days are: its charges tell no requests.
UNITS = ("fleet", "day", "site", "device", "backend", "model")
#: Labels that say what a device is, the first that it has.
MODEL_LABELS = ("model", "board")


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What requests cost: by group, and altogether by currency."""

    rows: list[UnitCost]
    totals: list[UnitCost]


@dataclass(frozen=True, kw_only=True)
class Trends:
    """The days from `middle` to before `until` against those from `since`."""

    since: date
    middle: date
    until: date
    rows: list[Trend]
    totals: list[Trend]


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """Why the days from `middle` to before `until` cost something else than those from `since`."""

    since: date
    middle: date
    until: date
    rows: list[Why]
    totals: list[Why]


@dataclass(frozen=True, kw_only=True)
class Month:
    """A month in one currency: what is known of it, and its end."""

    month: str
    currency: str
    so_far: Decimal
    known_until: date
    end: MonthEnd


class Answers:
    """Answers from one ledger. Nothing is kept between two questions."""

    def __init__(self, ledger: Ledger, fleet: str, bill: str, now_ms: Callable[[], int]) -> None:
        """`bill`: the source whose charges are the cloud's."""
        self._ledger, self._fleet, self._now_ms = ledger, fleet, now_ms
        self.sources = [EDGE, bill]

    def today(self) -> date:
        """The day of UTC."""
        return day_of(self._now_ms())

    def until(self) -> date:
        """The day before which all is told that will be."""
        told = reading.latest(self._ledger.engine, self.sources)
        return settled(self.today(), {source: day_of(at_ms) for source, at_ms in told.items()})

    def last(self, days: int) -> Window:
        """So many whole days until then."""
        return _window(self.until() - timedelta(days=days), days)

    def breakdown(self, window: Window, by: Sequence[str], services: Sequence[str] = ()) -> list[Cost]:
        """What was spent, or of some services only, the dearest group first; the groups sum to all of it."""
        found = reading.costs(self._ledger, window, self.sources, by, services)
        return sorted(found, key=lambda cost: (cost.currency, -cost.effective, cost.key))

    def requests(self, window: Window, by: str) -> Requests:
        """What a request cost by one of UNITS, or by "label:NAME" of the devices."""
        label = by.removeprefix("label:")
        if by not in UNITS and (label == by or not label):
            raise CostError(f"requests can't be told by {by!r}; there are {', '.join(UNITS)}, label:NAME")
        if by in ("fleet", "day", "site"):
            grouped: list[str] = [] if by == "fleet" else [by]
            costs = reading.costs(self._ledger, window, self.sources, grouped)
            uses = reading.uses(self._ledger.engine, window, grouped)
        else:
            dimension = "backend" if by == "backend" else "device"
            costs = reading.costs(self._ledger, window, self.sources, [dimension])
            uses = reading.uses(self._ledger.engine, window, ["device"])
            if by not in ("device", "backend"):
                named = self._names(MODEL_LABELS if by == "model" else (label,))
                costs, uses = regrouped(costs, named), reused(uses, named)
        rows = per_request(costs, uses)
        return Requests(rows=rows, totals=whole(rows, uses))

    def trend(self, by: Sequence[str], days: int = DAYS) -> Trends:
        """The last days against as many before."""
        until, (before, after) = self._halves(days)
        found = trends(
            reading.costs(self._ledger, before, self.sources, by),
            reading.costs(self._ledger, after, self.sources, by),
        )
        return Trends(
            since=day_of(before.start_ms),
            middle=day_of(after.start_ms),
            until=until,
            rows=found,
            totals=totals(found),
        )

    def why(self, days: int = DAYS) -> Reasons:
        """What made the last days cost something else than those before."""
        until, halves = self._halves(days)
        by = ("service", "site", "kind", "unit")
        costs = [reading.costs(self._ledger, half, self.sources, by) for half in halves]
        requests = [
            {use.key[0]: use.requests for use in reading.uses(self._ledger.engine, half, ["site"])}
            for half in halves
        ]
        found = reasons(costs[0], costs[1], requests[0], requests[1])
        return Reasons(
            since=day_of(halves[0].start_ms),
            middle=day_of(halves[1].start_ms),
            until=until,
            rows=found,
            totals=whole_why(found),
        )

    def waste(self, window: Window) -> list[Waste]:
        """What was paid for and not needed, the most first."""
        database = self._ledger.engine
        sites = {use.key[0]: use.key[1] for use in reading.uses(database, window, ["device", "site"])}
        model = self._names(MODEL_LABELS)
        worked = [
            Worked(
                device=device,
                site=sites.get(device, NONE),
                model=model((device,))[0],
                idle_mj=idle_mj,
                busy_mj=busy_mj,
                requests=requests,
            )
            for device, idle_mj, busy_mj, requests in reading.idle(database, window)
        ]
        energy = reading.costs(self._ledger, window, [EDGE], ["site", "unit"], [ELECTRICITY])
        metered = [cost for cost in energy if cost.key[1] == ENERGY_UNIT]
        return wasted(
            worked,
            reading.costs(self._ledger, window, [EDGE], ["device"]),
            kwh_prices(regrouped(metered, lambda key: key[:1])),
            reading.costs(self._ledger, window, ["opencost"], ["resource"]),
        )

    def month(self, month: date | None = None) -> list[Month]:
        """What a month, the present one by default, has cost and will have cost, by currency."""
        first = (month or self.today()).replace(day=1)
        until = min(self.until(), (first + timedelta(days=31)).replace(day=1))
        begin = first - timedelta(days=HISTORY)
        if until <= begin:
            return []
        window = Window(day_ms(begin), day_ms(until))
        by_currency: dict[str, dict[date, Decimal]] = {}
        for cost in reading.costs(self._ledger, window, self.sources, ["day"]):
            by_currency.setdefault(cost.currency, {})[date.fromisoformat(cost.key[0])] = cost.effective
        return [_month(first, until, currency, days) for currency, days in sorted(by_currency.items())]

    def savings(self) -> list[Saved]:
        """Each change with what it was to save and what it saved, the latest first."""
        labels = known_labels(self._ledger, self._fleet)
        asked = Savings(self._ledger, self.sources, labels, self.until())
        changes = Changes(self._ledger.engine).all()
        return [asked.of(change, changes) for change in changes]

    def _halves(self, days: int) -> tuple[date, tuple[Window, Window]]:
        until = self.until()
        middle = until - timedelta(days=days)
        return until, (_window(middle - timedelta(days=days), days), _window(middle, days))

    def _names(self, labels: Sequence[str]) -> Callable[[Key], Key]:
        known = known_labels(self._ledger, self._fleet)

        def named(key: Key) -> Key:
            mine = known.get(key[0], {})
            return (next((mine[label] for label in labels if mine.get(label)), NONE),)

        return named


def _window(first: date, days: int) -> Window:
    return Window(day_ms(first), day_ms(first + timedelta(days=days)))


def _month(first: date, until: date, currency: str, days: dict[date, Decimal]) -> Month:
    # From the first day with a cost on, a day without one was told and was free.
    begin = min(days)
    every = [begin + timedelta(days=number) for number in range((until - begin).days)]
    told = [(day, days.get(day, Decimal(0))) for day in every]
    return Month(
        month=str(first)[:7],
        currency=currency,
        so_far=total(amount for day, amount in told if day >= first),
        known_until=until,
        end=month_end(told, first),
    )
