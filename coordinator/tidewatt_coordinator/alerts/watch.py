"""The look at what things cost: budgets and anomalies judged, alerts raised and ended."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.alerts.conditions import of_budget, of_group
from tidewatt_coordinator.alerts.episodes import Standing, changes
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.telling import real_time_ms
from tidewatt_coordinator.anomalies.groups import groups, latest, settling_of, terms_of
from tidewatt_coordinator.anomalies.settings import Anomalies
from tidewatt_coordinator.budgets.settings import Budget
from tidewatt_coordinator.budgets.standing import Forecast, standing
from tidewatt_coordinator.budgets.standing import Standing as BudgetStanding
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.recent import RecentCosts
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import AlertKind

log = logging.getLogger(__name__)

#: Real seconds between two looks at the least; and a look's own length so often: looking costs a tenth of
#: a processor at the most, however many charges there are.
SHORTEST_PAUSE_S, REST = 1.0, 9.0
#: Days beyond the weeks that are compared: those that aren't settled yet, and those that an alert lasts.
BEYOND_DAYS = 35
KINDS: tuple[AlertKind, ...] = ("budget", "anomaly")


class Judged(msgspec.Struct, frozen=True):
    """What the last look saw."""

    budgets: list[BudgetStanding]
    alerts: list[Standing]
    """Those that stand."""


def watched_tags(budgets: Sequence[Budget], anomalies: Anomalies) -> list[str]:
    """The tags that the configuration speaks of."""
    return [*anomalies.tags, *(tag for budget in budgets for tag in budget.tags)]


def recent_costs(database: Engine, config: Config, more_days: int = 0) -> RecentCosts:
    """The reader of the costs that a look needs, and of so many days more."""
    tags = watched_tags(config.budgets, config.anomalies)
    days = 7 * config.anomalies.weeks + BEYOND_DAYS + more_days
    return RecentCosts(database, config.costs.bill, tags, days)


class Watch:
    """Of several coordinators the one that may, looks. `run` never ends by itself."""

    def __init__(
        self,
        book: AlertBook,
        database: Engine,
        config: Config,
        clock: Clock,
        may: Callable[[], bool] = lambda: True,
        forecast: Forecast | None = None,
        real_ms: Callable[[], int] = real_time_ms,
    ) -> None:
        self._book, self._config, self._clock = book, config, clock
        self._recent = recent_costs(database, config)
        self._may, self._forecast, self._real_ms = may, forecast, real_ms
        self.failing = False
        """Whether the last look failed."""
        self.judged: Judged | None = None
        """None before the first look, and where another coordinator looks."""

    async def run(self) -> None:
        """Look for ever; a failed look is news once, and the next one tries again."""
        every_s = max(SHORTEST_PAUSE_S, self._clock.real_seconds(self._config.alerts.every_s))
        while True:
            start = time.monotonic()
            if self._may():
                try:
                    await asyncio.to_thread(self.look)
                except (SQLAlchemyError, CostError) as error:
                    if not self.failing:
                        log.error("costs can't be watched: %s", str(error).partition("\n")[0])  # noqa: TRY400
                    self.failing = True
                else:
                    if self.failing:
                        log.warning("costs are watched again")
                    self.failing = False
                pause_s = max(every_s, REST * (time.monotonic() - start))
            else:
                self.judged = None
                pause_s = SHORTEST_PAUSE_S  # who takes the lease over looks at once
            await asyncio.sleep(pause_s)

    def look(self) -> list[Standing]:
        """One look; the alerts that are news."""
        now_ms, config = self._clock.now_ms(), self._config
        settling = settling_of(config.anomalies)
        recent = self._recent.read(now_ms, time.monotonic())
        budgets = [
            standing(one, recent.costs, recent.tags, now_ms, settling, self._forecast)
            for one in config.budgets
        ]
        conditions = [condition for one in budgets for condition in of_budget(one)]
        if config.anomalies.enabled:
            terms = terms_of(config.anomalies)
            conditions += [
                of_group(group, latest(group, config.anomalies.quiet_days, terms))
                for group in groups(recent.costs, recent.tags, config.anomalies.tags, now_ms, settling)
            ]
        found = list(changes(self._book.last(), conditions, KINDS, now_ms))
        told = self._book.apply(found, config.alerts.targets, now_ms, self._real_ms())
        alerts = [one for one in self._book.last().values() if one.ended_ms is None]
        self.judged = Judged(budgets, alerts)
        for one in told:
            log.warning("alert %s %s: %s", one.name, one.state, one.summary)
        return told
