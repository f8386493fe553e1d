"""The last whole day's cost against the one before, for alerts that need no budget; looked at now and then.

A scrape must not wait for a question over all charges.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.days import Window, day_ms
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.questions.rows import Cost

log = logging.getLogger(__name__)

#: Real seconds between two looks; and so many times as long as the last one took, at least.
LOOK_EVERY_S, REST = 60.0, 20.0
#: Services of a day that are told apart, the dearest; the others are one series.
MOST_SERVICES = 30
OTHERS = "(others)"

Amounts = dict[tuple[str, str], Decimal]
"""By service and currency."""


class Spent(msgspec.Struct, frozen=True):
    """Two whole days, side by side."""

    day: date
    latest: Amounts
    before: Amounts


class Spending(Collector):
    """What Prometheus sees of the days' cost. `run` never ends by itself."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.spent: Spent | None = None
        """None before the first look, and before any cost is known."""
        self.failing = False

    async def run(self) -> None:
        """Look for ever; a failed look is news once."""
        while True:
            begun_s = time.monotonic()
            try:
                await asyncio.to_thread(self.look)
            except (SQLAlchemyError, CostError) as error:
                if not self.failing:
                    log.error("the days' cost can't be read: %s", str(error).partition("\n")[0])  # noqa: TRY400
                self.failing, self.spent = True, None
            else:
                self.failing = False
            await asyncio.sleep(max(LOOK_EVERY_S, REST * (time.monotonic() - begun_s)))

    def look(self) -> None:
        """One look, at the two days before which all is told."""
        until = self._answers.until()
        latest, before = (until - timedelta(days=back) for back in (1, 2))
        found = [self._answers.breakdown(_day(one), ["service"]) for one in (latest, before)]
        if not any(found):
            self.spent = None  # two days without a charge are days that nobody has told of
            return
        kept = dearest(found[0] + found[1])
        self.spent = Spent(latest, *(by_service(costs, kept) for costs in found))

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        if (spent := self.spent) is None:
            return
        for name, amounts, text in (
            ("latest", spent.latest, "Effective cost of the last day that is known whole"),
            ("previous", spent.before, "Effective cost of the day before that"),
        ):
            family = GaugeMetricFamily(f"tidewatt_cost_{name}_day", text, labels=["service", "currency"])
            for (service, currency), amount in sorted(amounts.items()):
                family.add_metric([service, currency], float(amount))
            yield family
        yield GaugeMetricFamily(
            "tidewatt_cost_latest_day_timestamp_seconds",
            "When that last day began, in UTC",
            day_ms(spent.day) / 1000.0,
        )


def dearest(costs: list[Cost]) -> set[str]:
    """The services that are told apart."""
    sums: dict[str, Decimal] = {}
    for cost in costs:
        sums[cost.key[0]] = sums.get(cost.key[0], Decimal(0)) + abs(cost.effective)
    return set(sorted(sums, key=lambda service: (-sums[service], service))[:MOST_SERVICES])


def by_service(costs: list[Cost], kept: set[str]) -> Amounts:
    """The same money, of the others together."""
    found: Amounts = {}
    for cost in costs:
        key = cost.key[0] if cost.key[0] in kept else OTHERS, cost.currency
        found[key] = found.get(key, Decimal(0)) + cost.effective
    return found


def _day(day: date) -> Window:
    return Window(day_ms(day), day_ms(day + timedelta(days=1)))
