"""The `tidewatt budget` commands. They need no running coordinator."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import typer
from rich.table import Table

from tidewatt_coordinator.alerts.desk import desk
from tidewatt_coordinator.budgets.beside import Beside
from tidewatt_coordinator.budgets.looking import look, plain
from tidewatt_coordinator.budgets.settings import Budget
from tidewatt_coordinator.budgets.standing import Standing
from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.days import iso

app = typer.Typer(help="Monthly budgets: what is spent of them, and what will be.", no_args_is_help=True)


@app.command("ls")
def list_budgets(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Show the budgets of the configuration."""
    budgets = read_config(config).budgets
    if json:
        print(as_json(budgets))
        return
    if not budgets:
        print("there is no budget: see [[budgets]] in the configuration")
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
        if name and name not in [one.name for one in at.config.budgets]:
            known = ", ".join(one.name for one in at.config.budgets) or "none"
            raise CostError(f"there is no budget {name!r}; the configuration has: {known}")
        every = look(at.ledger, at.config, at.now_ms)
    found = [one for one in every.budgets if name in ("", one.budget.name)]
    if json:
        print(as_json(found))
        return
    cloud = [one for one in every.aws if name in ("", one.ours)]
    if not found and not cloud:
        print("there is no budget: see [[budgets]] and [costs.aws_budgets] in the configuration")
        return
    if found:
        _print_own(found)
    if cloud:
        _print_aws(cloud)


@app.command()
def aws(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Show the budgets kept in AWS, as it told last this month, beside the ledger and our own."""
    with desk(config) as at:
        found, enabled = look(at.ledger, at.config, at.now_ms), at.config.costs.aws_budgets.enabled
    if json:
        print(as_json(plain(found)["aws"]))
    elif found.aws:
        _print_aws(found.aws)
    elif enabled:
        print("AWS told of no budget this month; `tidewatt costs import aws_budgets` asks it")
    else:
        print("AWS isn't asked: see [costs.aws_budgets] in the configuration")


def _print_own(found: Sequence[Standing]) -> None:
    table = Table("budget", "of", "month", "amount")
    for column in ("spent", "%", "foreseen", "80 % interval", "passed", "missing days"):
        table.add_column(column, justify="right")
    for one in found:
        table.add_row(*_row(one))
    console().print(table)


def _print_aws(found: Sequence[Beside]) -> None:
    table = Table("budget of AWS", "of", "period", "limit")
    for column in ("actual", "%", "forecast", "by the bill", "difference", "our budget"):
        table.add_column(column, justify="right")
    for one in found:
        told = one.told
        table.add_row(
            told.name,
            ", ".join([*told.services, *(f"{tag}={value}" for tag, value in told.tags.items())])
            or ("everything" if not told.beyond else "see below"),
            told.period,
            f"{_money(told.limit)} {told.currency}",
            _money(told.actual),
            "-" if one.percent is None else f"{one.percent:.0f}",
            _money(told.forecast),
            _money(one.ledger.spent if one.ledger else None),
            "-" if one.difference is None else f"{one.difference:+,.2f}",
            "-" if not one.ours else one.ours,
        )
    console().print(table)
    for one in found:
        for sentence in one.sentences:
            print(sentence)
    print(f"as AWS told at {iso(max(one.told.told_ms for one in found))}, some hours late")


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
