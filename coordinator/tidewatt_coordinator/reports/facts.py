"""Everything that a month's report says, as values: exact, before anything is rounded or worded. Pure."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import msgspec

from tidewatt_coordinator.anomalies.groups import Found
from tidewatt_coordinator.budgets.beside import Beside
from tidewatt_coordinator.budgets.standing import Standing
from tidewatt_coordinator.carbon.intensity import Emission
from tidewatt_coordinator.costs.charge import total
from tidewatt_coordinator.costs.days import Window, day_of
from tidewatt_coordinator.ledger.saved import Saved as EnergySaved
from tidewatt_coordinator.questions.answers import Month, Requests
from tidewatt_coordinator.questions.rows import Cost
from tidewatt_coordinator.questions.savings import Saved
from tidewatt_coordinator.questions.waste import Waste
from tidewatt_coordinator.questions.why import Why
from tidewatt_coordinator.reports.recommended import OpenRecommendation


class Breakdown(msgspec.Struct, frozen=True):
    """All of the month's costs, told apart by one thing; the dearest first in each currency."""

    by: str
    """service, site or tag:name."""
    costs: list[Cost]


class SiteCarbon(msgspec.Struct, frozen=True, kw_only=True):
    """What a site's energy emitted: two answers to two questions, never added."""

    site: str
    zone: str
    """Empty: the site has none, and nothing is known."""
    energy_mj: int
    average: Emission | None = None
    marginal: Emission | None = None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A month of a fleet. All amounts lie in `window`, but for those of the months before."""

    fleet: str
    first: date
    """The month's first day."""
    made_ms: int
    window: Window
    """The month; of the present one, the days that all sources have told of."""
    over: bool
    until: date
    """The day before which every source has told all."""
    sources: list[str]
    days: list[Cost]
    """By day and service, of this month and of the eleven before it."""
    breakdowns: list[Breakdown]
    compared: Window
    """The month before, or as many of its days."""
    movers: list[Why]
    moved: list[Why]
    """The movers' totals, by currency."""
    requests: Requests
    """By site."""
    energy_saved: EnergySaved | None = None
    """What power modes and sleep saved, each by itself, on these days; None where nothing is compared."""
    months: list[Month]
    """The end of the present month, as it is foreseen; empty for one that is over."""
    saved: list[Saved]
    waste: list[Waste]
    carbon: list[SiteCarbon]
    budgets: list[Standing]
    cloud_budgets: list[Beside] = []
    """Those that a cloud told of, as it did last in the month."""
    anomalies: list[Found]
    recommended: list[OpenRecommendation] = []
    """Open when the report was made, the largest saving first."""
    missing: list[tuple[str, list[date]]]
    """By source: the month's days of which it has said nothing; of the sources that ever said anything."""

    @property
    def month(self) -> str:
        """Such as 2026-10."""
        return f"{self.first:%Y-%m}"

    @property
    def costs(self) -> list[Cost]:
        """The month's, by day and service."""
        first, end = str(day_of(self.window.start_ms)), str(day_of(self.window.end_ms))
        return [one for one in self.days if first <= one.key[0] < end]

    @property
    def currencies(self) -> list[str]:
        """In which anything was paid in the month."""
        return sorted({one.currency for one in self.costs})

    @property
    def empty(self) -> bool:
        """Whether nothing at all is known of the month."""
        return not self.costs and not any(one.requests for one in self.requests.totals)

    def billed(self, currency: str) -> Decimal:
        """As the invoices say."""
        return total(one.billed for one in self.costs if one.currency == currency)

    def effective(self, currency: str) -> Decimal:
        """Amortised: what every part of the report sums to."""
        return total(one.effective for one in self.costs if one.currency == currency)

    def before(self, currency: str) -> Decimal:
        """What was paid in the time that is compared with."""
        return total(one.before for one in self.moved if one.currency == currency)


def month_sums(costs: Iterable[Cost], currency: str) -> dict[str, Decimal]:
    """By month, from costs with the key (day, ...)."""
    sums: dict[str, Decimal] = {}
    for cost in costs:
        if cost.currency == currency:
            month = cost.key[0][:7]
            sums[month] = sums.get(month, Decimal(0)) + cost.effective
    return dict(sorted(sums.items()))
