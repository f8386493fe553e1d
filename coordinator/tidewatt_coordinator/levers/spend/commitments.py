"""Commitments: Savings Plans and reserved instances compared; what is bought stays bought: advice only.

Flat-rate plans of CloudFront are compared by the driver that sees the distributions. No commitment discounts
spot machines: what the bill describes as such is left out.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.levers.driver import (
    Context,
    LeverError,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend.committing import Choice, Offer, choose, fall, growths, use_of
from tidewatt_coordinator.levers.spend.settings import Commitments, Cover
from tidewatt_coordinator.prices.book import PriceBook

CENT = Decimal("0.01")
SMALL = Decimal("0.000001")
#: Less history tells nothing of weeks.
LEAST_DAYS = 28
PART = "commitment"
#: The fact of what was spent on spot; the others are named by price tables.
LEFT_OUT = "left out"
#: As AWS words it: "c7g.2xlarge Linux/UNIX Spot Instance-hour", or the usage type USE1-SpotUsage:c7g.large.
SPOT = re.compile(r"\bspot\b|SpotUsage", re.IGNORECASE)
DAYS_PER_MONTH = 30


class CommitmentsDriver:
    """See levers/driver.py."""

    name = "commitments"
    calls: tuple[str, ...] = ()
    """Of AWS: none; it reads the ledger."""

    def __init__(self, settings: Commitments, book: PriceBook, sights: Sights) -> None:
        self._settings, self._book, self._sights = settings, book, sights

    def probe(self) -> Probe:
        """Always ready: it needs the ledger alone."""
        return Probe("ok")

    def observe(self) -> Sequence[Setting]:
        """A setting for each group, with the days' money of each cover, by currency."""
        services = sorted({service for one in self._settings.cover for service in one.services})
        try:
            costs = self._sights.described(self._settings.history_days, services)
        except CostError as error:
            raise LeverError(str(error)) from error
        told: dict[str, dict[str, dict[str, Decimal]]] = {}
        spot: dict[str, dict[str, Decimal]] = {}
        for cost in costs:
            day, service, kind, description = cost.key
            if kind == "Usage" and SPOT.search(description):
                known = spot.setdefault(service, {})
                known[cost.currency] = known.get(cost.currency, Decimal(0)) + cost.effective
            elif kind == "Usage":
                days = told.setdefault(cost.currency, {}).setdefault(service, {})
                days[day] = days.get(day, Decimal(0)) + cost.effective
        found = []
        for group in dict.fromkeys(one.group for one in self._settings.cover):
            covers = [one for one in self._settings.cover if one.group == group]
            facts: dict[str, Any] = {
                one.table: {
                    currency: _daily([days for service, days in by.items() if service in one.services])
                    for currency, by in told.items()
                }
                for one in covers
            }
            among = {service: spot.get(service, {}) for one in covers for service in one.services}
            facts[LEFT_OUT] = {
                currency: str(sum((by.get(currency, Decimal(0)) for by in among.values()), Decimal(0)))
                for currency in told
            }
            found.append(Setting(target=f"commitment for {group}", content={PART: None}, facts=facts))
        return found

    def read(self, target: str) -> Setting:
        """Nothing is bought here, ever."""
        return Setting(target=target, content={PART: None})

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """The best commitment of each group, if one pays in nearly all futures."""
        found = [self._recommend(one, context) for one in settings]
        return [one for one in found if one]

    def send(self, order: Order) -> None:
        """Never."""
        raise LeverError(f"{order.target}: a purchase can't be taken back; buy it yourself if you want it")

    def offers(self, cover: Cover, day: date) -> list[tuple[Offer, str]]:
        """A cover's offers on a day, each with its currency."""
        table = self._book.table(cover.table, on=day)
        return [
            (
                Offer(
                    table=table.name,
                    name=price.item,
                    share=float(price.marginal()),
                    months=int(price.limits["months"]),
                    upfront=float(price.limits["upfront"]),
                ),
                table.currency,
            )
            for price in table.price
            if price.limits["months"] <= self._settings.most_months
        ]

    def _recommend(self, one: Setting, context: Context) -> Recommendation | None:
        day = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        covers = [cover for cover in self._settings.cover if cover.table in one.facts]
        compared: list[tuple[Choice, str, list[float]]] = []
        for cover in covers:
            for offer, currency in self.offers(cover, day):
                days = [float(value) for value in one.facts[cover.table].get(currency, [])]
                if len(days) < LEAST_DAYS or max(days) <= 0:
                    continue
                committed = float(self._settings.committed_per_hour.get(cover.group, 0))
                use = use_of(days, self._settings.trough, committed)
                future = growths(*self._settings.growth, fall(days))
                if use.hours[-1] > 0 and (best := choose(use, offer, future, self._settings.most_loss)):
                    compared.append((best, currency, days))
        if not compared:
            return None
        compared.sort(key=lambda each: -each[0].middle)
        best, currency, days = compared[0]
        return self._told(one, best, currency, days, [each[0] for each in compared[1:4]])

    def _told(
        self, one: Setting, best: Choice, currency: str, days: list[float], others: list[Choice]
    ) -> Recommendation:
        offer = best.offer
        after = {
            PART: {
                "offer": f"{offer.table} {offer.name}",
                "per_hour": str(Decimal(best.per_hour).quantize(SMALL)),
                "months": offer.months,
                "upfront_share": str(offer.upfront),
            }
        }
        service = next(c.services[0] for c in self._settings.cover if c.table == offer.table)
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=service,
            what=f"commit to {best.per_hour:.4g} {currency} an hour for {offer.months} months ({offer.name},"
            f" {offer.table}): {best.upfront:,.0f} {currency} at once, {best.whole:,.0f} in all",
            before=one.content,
            after=after,
            saving=Saving(
                low=_cents(best.low), middle=_cents(best.middle), high=_cents(best.high), currency=currency
            ),
            spending=_cents(sum(days) / len(days) * DAYS_PER_MONTH),
            disruption=0.0,
            risk="high" if offer.months > 12 or offer.upfront else "medium",  # noqa: PLR2004 - a year
            evidence=[
                (
                    f"{sum(days) / len(days):,.2f} {currency} a day over {len(days)} days; hours of a day"
                    f" are taken to rise evenly from {self._settings.trough:.0%} of the mean"
                ),
                (
                    f"it pays if {offer.share:.0%} of what it covers is used: {best.used:.0%} is, in the"
                    f" mean of the futures; after {best.even_months:.1f} months of full use it is paid for"
                ),
                (
                    f"a year's growth between {self._settings.growth[0]:+.0%} and"
                    f" {self._settings.growth[1]:+.0%}, and {fall(days):+.0%} is seen, of which half is"
                    f" believed: {best.loss:.0%} of the futures lose money"
                ),
                _spot(Decimal(one.facts[LEFT_OUT].get(currency, 0)), currency),
                *(_beside(other, currency) for other in others),
            ],
            effects={},
            irreversible=True,
        )


def _beside(one: Choice, currency: str) -> str:
    return (
        f"beside it: {one.offer.table} {one.offer.name} at {one.per_hour:.4g} {currency} an hour would save"
        f" {one.middle:,.2f} ({one.low:,.2f} to {one.high:,.2f}) a month, {one.upfront:,.0f} at once"
    )


def _spot(left_out: Decimal, currency: str) -> str:
    if left_out:
        return f"{left_out:,.2f} {currency} of spot machines is left out: no commitment discounts them"
    return "the bill describes none of it as spot, which no commitment discounts: if some is, commit to less"


def _daily(series: Sequence[dict[str, Decimal]]) -> list[str]:
    """The days' sums from the first to the last day told, as strings; a day without a charge was free."""
    sums: dict[str, Decimal] = {}
    for days in series:
        for day, amount in days.items():
            sums[day] = sums.get(day, Decimal(0)) + amount
    if not sums:
        return []
    first, last = (date.fromisoformat(day).toordinal() for day in (min(sums), max(sums)))
    every = (str(date.fromordinal(number)) for number in range(first, last + 1))
    return [str(max(Decimal(0), sums.get(day, Decimal(0)))) for day in every]


def _cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(CENT)
