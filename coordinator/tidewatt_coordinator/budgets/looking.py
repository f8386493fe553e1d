"""How budgets stand, read from one ledger: our own, and those that a cloud told of."""

import msgspec

from tidewatt_coordinator.alerts.watch import BEYOND_DAYS, recent_costs
from tidewatt_coordinator.anomalies.groups import settling_of
from tidewatt_coordinator.budgets.beside import Beside, beside, tags_of
from tidewatt_coordinator.budgets.outlook import FORECAST
from tidewatt_coordinator.budgets.standing import Forecast, Standing, standing
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.budget_store import CloudBudgets
from tidewatt_coordinator.costs.days import day_of
from tidewatt_coordinator.costs.recent import RecentCosts
from tidewatt_coordinator.costs.series import Settling
from tidewatt_coordinator.ledger.store import Ledger


class Budgets(msgspec.Struct, frozen=True, kw_only=True):
    """All that are known in a month."""

    budgets: list[Standing]
    """Of the configuration."""
    aws: list[Beside]
    """Of AWS, as it told last in that month."""


def look(ledger: Ledger, config: Config, now_ms: int) -> Budgets:
    """All budgets of the present month."""
    recent = recent_costs(ledger.engine, config).read(now_ms, 0.0)
    settling = settling_of(config.anomalies)
    own = [standing(one, recent.costs, recent.tags, now_ms, settling, FORECAST) for one in config.budgets]
    return Budgets(budgets=own, aws=of_cloud(ledger, config, now_ms, settling, FORECAST))


def of_cloud(
    ledger: Ledger, config: Config, at_ms: int, settling: Settling, forecast: Forecast | None
) -> list[Beside]:
    """The cloud's budgets of the month in which a time lies."""
    told = CloudBudgets(ledger.engine).of(str(day_of(at_ms))[:7])
    if not told:
        return []
    days = 7 * config.anomalies.weeks + BEYOND_DAYS
    recent = RecentCosts(ledger.engine, config.costs.bill, tags_of(told), days).read(at_ms, 0.0)
    return [beside(one, config.budgets, recent.costs, recent.tags, at_ms, settling, forecast) for one in told]


def plain(found: Budgets) -> dict[str, object]:
    """As JSON shows it, with what is reckoned from the rest."""
    aws = [
        msgspec.to_builtins(one)
        | {"percent": one.percent, "difference": one.difference, "sentences": one.sentences}
        for one in found.aws
    ]
    return {"budgets": found.budgets, "aws": aws}
