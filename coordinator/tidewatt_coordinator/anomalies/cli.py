"""The `tidewatt anomalies` command. It needs no running coordinator."""

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from tidewatt_coordinator.alerts.desk import desk
from tidewatt_coordinator.anomalies.looking import look
from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile

app = typer.Typer(help="Days that cost more than such days do.", no_args_is_help=True)


@app.callback()
def about() -> None:
    """Days that cost more than such days do."""


@app.command("ls")
def list_anomalies(
    config: ConfigFile = DEFAULT_CONFIG,
    days: Annotated[int, typer.Option(min=1, max=366, help="How many days back.")] = 30,
    json: AsJson = False,
) -> None:
    """Show the days on which a service, a site or a tag cost too much, the dearest first."""
    with desk(config) as at:
        found = look(at.ledger.engine, at.config, at.now_ms, days)
    if json:
        print(as_json([msgspec.to_builtins(one) | {"impact": one.verdict.impact} for one in found]))
        return
    if not found:
        print(f"no day of the last {days} cost more than such days do, as far as the ledger shows")
        return
    table = Table("day", "by", "what", "too dear in")
    for column in ("cost", "expected", "impact"):
        table.add_column(column, justify="right")
    for one in found:
        verdict = one.verdict
        money = (f"{value:,.2f}" for value in (verdict.cost, verdict.expected))
        impact = f"{verdict.impact:,.2f} {one.currency}"
        table.add_row(str(verdict.day), one.by, one.value, " and ".join(verdict.kinds), *money, impact)
    console().print(table)
