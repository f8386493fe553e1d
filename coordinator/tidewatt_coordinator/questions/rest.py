"""The questions over REST, and the summary for the page. Money is a decimal string; unknown is null."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, TypeVar

from fastapi import APIRouter, HTTPException, Query

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.costs import days as calendar
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.questions.answers import Answers, Month, Reasons, Requests, Trends
from tidewatt_coordinator.questions.savings import Saved
from tidewatt_coordinator.questions.unitcost import UnitCost
from tidewatt_coordinator.questions.waste import Waste, summed

T = TypeVar("T")
Days = Annotated[int, Query(ge=1, le=400, description="Whole days (UTC) back from the last one told.")]
MonthName = Annotated[str, Query(description="A month of UTC such as 2026-10, instead of days.")]

#: Real seconds for which an answer is given again, and how many times as long as it took to find.
KEPT_S, KEPT_PER_TAKEN = 30.0, 10.0
#: Answers kept at once.
MOST_KEPT = 50
#: Of everything that is ranked, so much is in the summary.
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a group costs."""

    key: tuple[str, ...]
    currency: str
    billed: Decimal
    effective: Decimal
    marginal: Decimal | None


@dataclass(frozen=True, kw_only=True)
class WasteSum:
    """What one kind of waste sums to."""

    kind: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Wasted:
    """What was paid for and not needed: `rows` are the largest, `sums` are of all."""

    sums: list[WasteSum]
    rows: list[Waste]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The page's view: the last 7 days, the month, and the changes."""

    until: date
    months: list[Month]
    trend: Trends
    requests: list[UnitCost]
    why: list[str]
    """The whole, then what moved most, a sentence each."""
    waste: Wasted
    savings: list[Saved]


class Remembered:
    """Answers for a while: many viewers cost as much as one, a tenth of a processor at the most."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s, self._lock = now_s, threading.Lock()
        self._kept: dict[Hashable, tuple[float, object]] = {}

    def of(self, key: Hashable, ask: Callable[[], T]) -> T:
        """The answer to `ask`, or the one to the same key that is not old yet. One is found at a time."""
        with self._lock:
            begun_s = self._now_s()
            kept = self._kept.get(key)
            if kept is None or begun_s >= kept[0]:
                found = ask()
                ended_s = self._now_s()
                while len(self._kept) >= MOST_KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept.pop(key, None)
                self._kept[key] = (ended_s + max(KEPT_S, KEPT_PER_TAKEN * (ended_s - begun_s)), found)
                return found
            return kept[1]  # type: ignore[return-value] # a key has answers of one kind


def router(answers: Answers, remembered: Remembered | None = None) -> APIRouter:
    """The routes under /v1/cost. What can't be asked is answered with 422 and the sentence why."""
    routes = APIRouter(prefix="/v1/cost", dependencies=[VIEWER], tags=["cost"])
    kept = remembered or Remembered()
    _add_spending(routes, answers, kept)
    _add_reasons(routes, answers, kept)

    @routes.get("/summary")
    def summary() -> Summary:
        """The last 7 days, the month and the changes, as the page shows them."""
        return told(kept, "summary", lambda: summary_of(answers))

    @routes.get("/savings")
    def savings() -> list[Saved]:
        """Each change, with what it was to save and what it saved."""
        return told(kept, "savings", answers.savings)

    return routes


def told(kept: Remembered, key: Hashable, ask: Callable[[], T]) -> T:
    """The remembered answer; what can't be asked is a 422 with the sentence why."""
    try:
        return kept.of(key, ask)
    except CostError as error:
        raise HTTPException(422, str(error)) from error


def _add_spending(routes: APIRouter, answers: Answers, kept: Remembered) -> None:
    @routes.get("/requests")
    def requests(by: str = "site", days: Days = 7, month: MonthName = "") -> Requests:
        """What a request costs by fleet, day, site, device, backend, model or label:NAME."""
        return told(
            kept, ("requests", by, days, month), lambda: answers.requests(_window(answers, days, month), by)
        )

    @routes.get("/by")
    def breakdown(
        by: Annotated[list[str] | None, Query()] = None, days: Days = 7, month: MonthName = ""
    ) -> list[Spent]:
        """What was spent by service, site, day, tag:NAME or whatever is named; the rows sum to all of it."""
        names = _names(by)
        return told(kept, ("by", names, days, month), lambda: _spent(answers, names, days, month))


def _add_reasons(routes: APIRouter, answers: Answers, kept: Remembered) -> None:
    @routes.get("/trend")
    def trend(by: Annotated[list[str] | None, Query()] = None) -> Trends:
        """The last 7 days against the 7 before: up, down, flat (10 %), new or unknown."""
        names = _names(by)
        return told(kept, ("trend", names), lambda: answers.trend(names))

    @routes.get("/why")
    def why(days: Days = 7) -> Reasons:
        """What made the last days cost something else than those before, in parts that sum to it."""
        return told(kept, ("why", days), lambda: answers.why(days))

    @routes.get("/waste")
    def waste(
        days: Days = 7, month: MonthName = "", most: Annotated[int, Query(ge=1, le=10_000)] = 100
    ) -> Wasted:
        """What was paid for and not needed."""
        found = told(kept, ("waste", days, month), lambda: answers.waste(_window(answers, days, month)))
        return _wasted(found, most)

    @routes.get("/month")
    def month_end(month: MonthName = "") -> list[Month]:
        """What the month will have cost, by currency; 80 of 100 lie in the interval."""
        return told(kept, ("month", month), lambda: answers.month(_first(month)))


def summary_of(answers: Answers) -> Summary:
    """What the page shows."""
    window = answers.last(7)
    reasons = answers.why()
    return Summary(
        until=answers.until(),
        months=answers.month(),
        trend=answers.trend(["service"]),
        requests=answers.requests(window, "fleet").totals,
        why=[one.sentence for one in [*reasons.totals, *reasons.rows[:SHOWN]] if one.after != one.before],
        waste=_wasted(answers.waste(window), SHOWN),
        savings=answers.savings()[:SHOWN],
    )


def _names(by: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(by or ["service"]))


def _window(answers: Answers, days: int, month: str) -> Window:
    return calendar.month(month, "month") if month else answers.last(days)


def _first(month: str) -> date | None:
    return calendar.day_of(calendar.month(month, "month").start_ms) if month else None


def _spent(answers: Answers, by: tuple[str, ...], days: int, month: str) -> list[Spent]:
    return [
        Spent(
            key=cost.key,
            currency=cost.currency,
            billed=cost.billed,
            effective=cost.effective,
            marginal=cost.marginal,
        )
        for cost in answers.breakdown(_window(answers, days, month), by)
    ]


def _wasted(found: list[Waste], most: int) -> Wasted:
    sums = [
        WasteSum(kind=kind, currency=currency, amount=amount)
        for (kind, currency), amount in sorted(summed(found).items())
    ]
    return Wasted(sums=sums, rows=found[:most])
