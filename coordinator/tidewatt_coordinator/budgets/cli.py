"""The `tidewatt budget` commands. They need no running coordinator."""

from decimal import Decimal
from typing import Annotated

import typer
from rich.table import Table

from tidewatt_coordinator.alerts.desk import AsJson, as_json, console, desk
from tidewatt_coordinator.alerts.watch import recent_costs
from tidewatt_coordinator.anomalies.groups import settling_of
from tidewatt_coordinator.budgets.outlook import FORECAST
from tidewatt_coordinator.budgets.settings import Budget
from tidewatt_coordinator.budgets.standing import Standing, standing
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.costs.charge import CostError

app = typer.Typer(help="Monthly budgets: what is spent of them, and what will be.", no_args_is_help=True)


@app.command("ls")
def list_budgets(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Show the budgets of the configuration."""
    budgets = read_config(config).budgets
    if json:
        print(as_json(budgets))
        return
    table = Table("budget", "of", "amount", "cost", "thresholds")
    for one in budgets:
        limits = [f"{percent} %" for percent in one.actual]
        limits += [f"{percent} % foreseen" for percent in one.forecast]
        amount = f"{one.amount:,} {one.currency}"
        table.add_row(one.name, _scope(one), amount, one.cost, ", ".join(limits))
    console().print(table)


@app.command()
def status(
    name: Annotated[str, typer.Argument(help="One budget; default: all.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    json: AsJson = False,
) -> None:
    """Show what is spent of each budget this month, and what is foreseen for its end."""
    with desk(config) as at:
        budgets = [one for one in at.config.budgets if name in ("", one.name)]
        if name and not budgets:
            known = ", ".join(one.name for one in at.config.budgets) or "none"
            raise CostError(f"there is no budget {name!r}; the configuration has: {known}")
        recent = recent_costs(at.ledger.engine, at.config).read(at.now_ms, 0.0)
        settling = settling_of(at.config.anomalies)
        found = [standing(one, recent.costs, recent.tags, at.now_ms, settling, FORECAST) for one in budgets]
    if json:
        print(as_json(found))
        return
    table = Table("budget", "of", "month", "amount")
    for column in ("spent", "%", "foreseen", "80 % interval", "passed", "missing days"):
        table.add_column(column, justify="right")
    for one in found:
        table.add_row(*_row(one))
    console().print(table)


def _row(one: Standing) -> tuple[str, ...]:
    foreseen = one.foreseen
    passed = [
        f"{limit.percent} %{' foreseen' if limit.of == 'forecast' else ''}"
        for limit in one.thresholds
        if limit.passed
    ]
    return (
        one.budget.name,
        _scope(one.budget),
        f"{one.month:%Y-%m}",
        f"{one.budget.amount:,} {one.budget.currency}",
        _money(one.spent),
        "-" if one.percent is None else f"{one.percent:.0f}",
        _money(foreseen.middle if foreseen else None),
        f"{_money(foreseen.low)} to {_money(foreseen.high)}" if foreseen else "-",
        ", ".join(passed) or "none",
        str(one.missing_days),
    )


def _scope(budget: Budget) -> str:
    parts = [budget.service] if budget.service else []
    parts += [f"{tag}={value}" for tag, value in sorted(budget.labels.items())]
    return ", ".join(parts) or "everything"


def _money(amount: Decimal | None) -> str:
    return "-" if amount is None else f"{amount:,.2f}"
