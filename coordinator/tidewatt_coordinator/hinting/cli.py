"""The `tidewatt plan` commands: they read the database, so they work with the coordinator down, too."""

from typing import Annotated

import typer
from rich.table import Table

from tidewatt_coordinator.alerts.desk import desk
from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile
from tidewatt_coordinator.hinting.book import PlanBook
from tidewatt_coordinator.hinting.explaining import explain
from tidewatt_coordinator.hinting.rounds import MINUTE_MS, STANDS_MIN
from tidewatt_coordinator.hinting.shown import Shown
from tidewatt_coordinator.steering.orders import clock

app = typer.Typer(help="The fleet's plan: who stands where, who serves how much.", no_args_is_help=True)


@app.command()
def show(
    config: ConfigFile = DEFAULT_CONFIG,
    most: Annotated[int, typer.Option(min=1, help="Devices to list.")] = 50,
    json: AsJson = False,
) -> None:
    """Show the last plan: groups, devices, and the cloud nodes to hold."""
    shown, now_ms = _last(config)
    if json:
        print(as_json(shown))
        return
    old = now_ms // MINUTE_MS - shown.minute
    age = f", {old} minutes ago: nobody goes by it any more" if old >= STANDS_MIN else ""
    told = "boards are hinted" if shown.mode == "hint" else "shown only, nobody is told"
    print(f"plan of {clock(shown.at_ms)}{age}; {told}")
    for group in shown.groups:
        print(f"{group.name}: {group.reason}")
    table = Table("device", "group", "point", "seen at", "share", "counted on")
    for one in shown.devices[:most]:
        point = f"{one.point} until {clock(one.serve_ms)}" if one.serve_ms else one.point
        cells = (point, one.at or "-", f"{one.share:.1%}", f"{one.counted_rps:.0f} rps")
        table.add_row(one.device, one.group, *cells)
    console().print(table)
    if len(shown.devices) > most:
        print(f"and {len(shown.devices) - most} more: --most {len(shown.devices)} lists all")
    if shown.nodes:
        nodes = Table("pool", "nodes now", "to hold", "a node an hour")
        for pool in shown.nodes:
            nodes.add_row(pool.pool, str(pool.now), str(pool.hold), f"{pool.per_hour:.4f} {shown.currency}")
        console().print(nodes)


@app.command("explain")
def explain_plan(
    device: Annotated[str, typer.Argument(help="Only what concerns this device.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    most: Annotated[int, typer.Option(min=1, help="Devices of each group to tell of.")] = 20,
    json: AsJson = False,
) -> None:
    """Say why the plan is as it is."""
    shown, _ = _last(config)
    if device and device not in {one.device for one in shown.devices}:
        raise ValueError(f"device {device!r} is not in the plan; `tidewatt plan show` lists who is")
    sentences = list(explain(shown, device, most))
    print(as_json(sentences) if json else "\n".join(sentences))


def _last(config: ConfigFile) -> tuple[Shown, int]:
    with desk(config) as at:
        shown, mode = PlanBook(at.ledger.engine, at.config.coordinator.fleet).last(), at.config.planning.mode
        now_ms = at.now_ms
    if shown is None:
        why = 'planning.mode is "off"' if mode == "off" else "a running coordinator makes the first"
        raise ValueError(f"no plan has been made yet: {why}")
    return shown, now_ms
