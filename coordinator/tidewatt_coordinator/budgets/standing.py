"""How a budget stands: spent, foreseen, and the thresholds that were passed. Pure."""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal, Protocol

import msgspec

from tidewatt_coordinator.budgets.settings import Budget
from tidewatt_coordinator.costs.days import DAY_MS
from tidewatt_coordinator.costs.series import Coverage, DayCost, Settling, series, to_date, to_number

#: Days of history without which no month's end is foreseen.
ENOUGH_DAYS = 7
#: A forecast wavers: its alert ends only so many points of the budget below the threshold.
SLACK_PERCENT = 5
NOTHING = Decimal(0)


class Outlook(Protocol):
    """A month's sum as it is foreseen, with the bounds of its interval."""

    @property
    def low(self) -> Decimal:
        """The lower bound."""

    @property
    def middle(self) -> Decimal:
        """The best guess."""

    @property
    def high(self) -> Decimal:
        """The upper bound."""


#: From known days in order, and the first day of a month, to the month's sum. ValueError if it can't say.
Forecast = Callable[[Sequence[tuple[date, Decimal]], date], Outlook]


class Foreseen(msgspec.Struct, frozen=True):
    """What an Outlook said."""

    low: Decimal
    middle: Decimal
    high: Decimal


class Threshold(msgspec.Struct, frozen=True):
    """One of a budget's thresholds."""

    of: Literal["actual", "forecast"]
    percent: int
    passed: bool | None
    """None: not known, or a forecast so close below that what was true stays so."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A budget in the present month."""

    budget: Budget
    month: date
    """Its first day."""
    spent: Decimal | None
    """So far; None if nothing at all is known of this month."""
    missing_days: int
    """Settled days of the month that some source has said nothing of."""
    foreseen: Foreseen | None
    """None without a forecast, or with too little history for one."""
    thresholds: tuple[Threshold, ...]

    @property
    def percent(self) -> Decimal | None:
        """What is spent, in percent of the budget."""
        return None if self.spent is None else 100 * self.spent / self.budget.amount


def standing(
    budget: Budget,
    costs: Sequence[DayCost],
    tags: Sequence[str],
    now_ms: int,
    settling: Settling,
    forecast: Forecast | None = None,
) -> Standing:
    """How a budget stands. `tags` are the names of the tags that `costs` were read with, the budget's
    own among them; `costs` should begin some weeks before the month, for the forecast's sake.
    """
    today = to_date(now_ms // DAY_MS)
    month = today.replace(day=1)
    mine = list(_matching(budget, costs, tags))
    coverage = Coverage(costs)
    sources = frozenset(one.source for one in mine) or coverage.sources
    this_month = [one for one in mine if to_number(month) <= one.day <= to_number(today)]
    settled = range(to_number(month), min((settling.last(s, now_ms) for s in sources), default=0) + 1)
    known = coverage.known(sources, now_ms, settling)
    spent = None
    if this_month or any(day in known for day in settled):
        spent = sum((_cost(budget, one) for one in this_month), NOTHING)
    foreseen = None
    if forecast:
        every = series(mine, lambda _: "all", lambda one: _cost(budget, one), coverage, now_ms, settling)
        foreseen = _foreseen(every.get(("all", budget.currency), {}), month, spent, forecast)
    return Standing(
        budget=budget,
        month=month,
        spent=spent,
        missing_days=sum(day not in known for day in settled),
        foreseen=foreseen,
        thresholds=(
            *(Threshold("actual", one, _passed(budget, one, spent)) for one in sorted(budget.actual)),
            *(Threshold("forecast", one, _will_pass(budget, one, foreseen)) for one in budget.forecast),
        ),
    )


def _matching(budget: Budget, costs: Iterable[DayCost], tags: Sequence[str]) -> Iterable[DayCost]:
    wanted = [(tags.index(tag), value) for tag, value in budget.labels.items()]
    for one in costs:
        if (
            one.currency == budget.currency
            and budget.service in ("", one.service)
            and all(one.tags[index] == value for index, value in wanted)
        ):
            yield one


def _cost(budget: Budget, one: DayCost) -> Decimal:
    return one.effective if budget.cost == "effective" else one.billed


def _foreseen(
    days: dict[date, Decimal], month: date, spent: Decimal | None, forecast: Forecast
) -> Foreseen | None:
    if len(days) < ENOUGH_DAYS:
        return None
    try:
        found = forecast(sorted(days.items()), month)
    except ValueError:
        return None  # it can't say
    least = spent or NOTHING  # days that aren't settled are in it already, and what is spent stays spent
    return Foreseen(found.low, max(found.middle, least), max(found.high, least))


def _passed(budget: Budget, percent: int, spent: Decimal | None) -> bool | None:
    return None if spent is None else 100 * spent >= percent * budget.amount


def _will_pass(budget: Budget, percent: int, foreseen: Foreseen | None) -> bool | None:
    if foreseen is None:
        return None
    share = 100 * foreseen.middle / budget.amount
    if percent - SLACK_PERCENT <= share < percent:
        return None
    return share >= percent


def next_month(month: date) -> date:
    """The first day of the month after this one."""
    return (month.replace(day=28) + timedelta(days=4)).replace(day=1)
