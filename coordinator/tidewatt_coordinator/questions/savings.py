"""The saving of each change, realised against predicted: the days read, the reckoning in `saving`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from tidewatt_coordinator.costs.charge import SMALLEST, total
from tidewatt_coordinator.costs.days import Window, day_ms, day_of
from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.electricity.charges import SOURCE as EDGE
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions import reading
from tidewatt_coordinator.questions.changes import Change
from tidewatt_coordinator.questions.rows import NONE, Cost, Use
from tidewatt_coordinator.questions.saving import MONTH_DAYS, Day, Realised, Sides, realised

#: Days on either side of a change that are compared.
COMPARED = 28
CENTS = 2


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A change with both savings."""

    id: str
    kind: str
    what: str
    day: date
    """When it was in force whole."""
    currency: str
    predicted_per_month: Decimal | None
    realised: Realised | None
    evidence: str
    sentence: str
    """How the one compares with the other, or why that can't be told."""


class Savings:
    """Reads what was paid and served around a change."""

    def __init__(
        self,
        ledger: Ledger,
        sources: Sequence[str],
        labels: Mapping[str, Mapping[str, str]],
        until: date,
    ) -> None:
        """`until`: the day before which all is told."""
        self._ledger, self._sources, self._labels, self._until = ledger, sources, labels, until

    def of(self, change: Change, changes: Iterable[Change]) -> Saved:
        """What it was to save, and did; `changes` are all, to name those that can't be told apart."""
        before, after = self._windows(change)
        currency, touched, others = self._sides(change, before, after)
        found = realised(touched, others, currency)
        predicted = _predicted(change, touched, found)
        near = [
            other.id
            for other in changes
            if other.id != change.id and before.start_ms <= other.at_ms and other.begun_ms < after.end_ms
        ]
        return Saved(
            id=change.id,
            kind=change.kind,
            what=change.what,
            day=day_of(change.at_ms),
            currency=currency,
            predicted_per_month=predicted,
            realised=None if isinstance(found, str) else found,
            evidence=change.evidence,
            sentence=found if isinstance(found, str) else _compared(found, predicted, currency, near),
        )

    def _windows(self, change: Change) -> tuple[Window, Window]:
        # The days in which it came into force are neither before nor after.
        begun, first = day_of(change.begun_ms), day_of(change.at_ms) + timedelta(days=1)
        last = min(self._until, first + timedelta(days=COMPARED))
        if change.undone_ms is not None:
            last = min(last, day_of(change.undone_ms))
        before = Window(day_ms(begun - timedelta(days=COMPARED)), day_ms(begun))
        return before, Window(day_ms(first), max(day_ms(first), day_ms(last)))

    def _sides(self, change: Change, before: Window, after: Window) -> tuple[str, Sides, Sides | None]:
        chosen = change.selector
        services = chosen.services or [ELECTRICITY]
        sources = self._sources if chosen.services else [EDGE]
        by = ["day"] if chosen.everything else ["day", "device"]
        costs = [reading.costs(self._ledger, window, sources, by, services) for window in (before, after)]
        uses = [reading.uses(self._ledger.engine, window, by) for window in (before, after)]
        currency = _currency(change.currency, [cost for some in costs for cost in some])

        def sides(*, touched: bool) -> Sides:
            def mine(key: tuple[str, ...]) -> bool:
                if chosen.everything:
                    return touched
                known = key[1] != NONE  # what a site pays for as a whole is nobody's
                return known and chosen.has(key[1], self._labels.get(key[1], {})) == touched

            days = (
                _days([cost for cost in paid if cost.currency == currency and mine(cost.key)],
                      [use for use in used if mine(use.key)])
                for paid, used in zip(costs, uses, strict=True)
            )  # fmt: skip
            return Sides(before=next(days), after=next(days))

        return currency, sides(touched=True), None if chosen.everything else sides(touched=False)


def _predicted(change: Change, touched: Sides, found: Realised | str) -> Decimal | None:
    """The promise per month. A share is of what would have been paid; until that is known, of what was."""
    if change.predicted_per_month is not None or change.predicted_share is None:
        return change.predicted_per_month
    if isinstance(found, Realised):
        daily = found.counterfactual / found.days
    elif touched.before:
        daily = total(day.cost for day in touched.before) / len(touched.before)
    else:
        return None
    return (daily * change.predicted_share * MONTH_DAYS).quantize(SMALLEST)


def _days(costs: Iterable[Cost], uses: Iterable[Use]) -> list[Day]:
    """The days that anything is known of."""
    paid: dict[str, Decimal] = {}
    for cost in costs:
        paid[cost.key[0]] = paid.get(cost.key[0], Decimal(0)) + cost.effective
    served: dict[str, int] = {}
    for use in uses:
        served[use.key[0]] = served.get(use.key[0], 0) + use.requests
    return [
        Day(day=date.fromisoformat(day), cost=amount, requests=served.get(day))
        for day, amount in sorted(paid.items())
    ]


def _currency(wanted: str, costs: Iterable[Cost]) -> str:
    """The change's own; without one that in which most days are paid."""
    found = [cost.currency for cost in costs]
    if wanted or not found:
        return wanted
    return max(sorted(set(found)), key=found.count)


def _compared(found: Realised, predicted: Decimal | None, currency: str, near: Sequence[str]) -> str:
    scale = MONTH_DAYS / found.days
    low, high = (round(end * scale, CENTS) for end in (found.low, found.high))  # told apart as they are read
    said = f"it saves {found.per_month:,.2f} {currency} a month ({low:,.2f} to {high:,.2f})"
    if predicted is not None:
        promised = round(predicted, CENTS)
        verdict = "less than" if promised > high else "more than" if promised < low else "as good as"
        said += f", {verdict} the predicted {promised:,}"
    elif low <= 0 <= high:
        said += ", which may be chance"
    said += f": {found.sentence}"
    if near:
        said += f"; not told apart from {', '.join(near)}"
    return said
