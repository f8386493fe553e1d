"""The `tidewatt alerts` commands. They need no running coordinator; one that runs tells what changed."""

import getpass
from typing import Annotated

import typer
from msgspec.structs import asdict
from rich.table import Table

from tidewatt_coordinator.alerts.desk import desk
from tidewatt_coordinator.alerts.telling import real_time_ms
from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile
from tidewatt_coordinator.costs.days import DAY_MS, iso

app = typer.Typer(help="What people are told of: budgets, anomalies, overdue boards.", no_args_is_help=True)


@app.command("ls")
def list_alerts(
    config: ConfigFile = DEFAULT_CONFIG,
    days: Annotated[
        int, typer.Option(min=0, max=4000, help="Show those, too, that ended so many days ago.")
    ] = 0,
    json: AsJson = False,
) -> None:
    """Show the alerts that stand, and what their targets were not told yet."""
    with desk(config) as at:
        alerts = at.book.history(at.now_ms - days * DAY_MS) if days else at.book.history(2**62)
        waiting = at.book.waiting()
    if json:
        print(as_json({"alerts": [asdict(one) | {"state": one.state} for one in alerts], "waiting": waiting}))
        return
    if not alerts and not waiting:
        print(f"no alert stands{f', or ended in the last {days} days' if days else ''}")
        return
    table = Table("alert", "state", "severity", "since (UTC)", "what")
    for one in alerts:
        state = f"{one.state} by {one.acked_by}" if one.state == "acknowledged" else one.state
        table.add_row(one.name, state, one.severity, iso(one.since_ms)[:16], one.summary)
    console().print(table)
    for wait in waiting:
        why = f": {wait.error}" if wait.error else ""
        print(f"{wait.target} was not told of {wait.count} events, tried {wait.tries} times{why}")


@app.command()
def ack(
    name: Annotated[str, typer.Argument(help="The alert, as `tidewatt alerts ls` names it.")],
    config: ConfigFile = DEFAULT_CONFIG,
    by: Annotated[str, typer.Option(help="Who; default: your user name.")] = "",
    note: Annotated[str, typer.Option(help="What others should know.")] = "",
) -> None:
    """Say that somebody knows of it. Once it is over and comes again, that is a new episode."""
    with desk(config) as at:
        who = by or getpass.getuser()
        real_ms = real_time_ms()
        found = at.book.acknowledge(name, who, note, at.config.alerts.targets, at.now_ms, real_ms)
    print(f"{found.name}: acknowledged by {found.acked_by}")
