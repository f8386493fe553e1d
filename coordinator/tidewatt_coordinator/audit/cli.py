"""`tidewatt audit`: who changed what. Works whether a coordinator runs or not.

Exit code 1: the chain is broken.
"""

import asyncio
import contextlib
import csv
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
import typer

from tidewatt_coordinator.alerts.desk import AsJson, as_json
from tidewatt_coordinator.audit.chain import Entry, Head, head_of
from tidewatt_coordinator.audit.store import FIRST, Trail
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.ledger.store import Ledger

BROKEN = 1
Format = Literal["jsonl", "csv"]

app = typer.Typer(
    help="Who changed what, when and why: a chain that shows if it was bent.", no_args_is_help=True
)


@app.command()
def tail(
    config: ConfigFile = DEFAULT_CONFIG,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="So many at the most.")] = 20,
    who: Annotated[str, typer.Option(help="Only what this user, key or device did.")] = "",
    what: Annotated[str, typer.Option(help="Only what begins so: policy, proposal, dispatch, enrol.")] = "",
    json: AsJson = False,
) -> None:
    """Show the last changes, the newest last."""
    with _trail(config) as (trail, _):
        found = trail.newest(most, who=who, what=what)[::-1]
    if json:
        print(as_json(found))
        return
    for one in found:
        by = f" (says: {one.by})" if one.by else ""
        why = f": {one.why}" if one.why else ""
        print(f"{_moment(one.at_ms)}  {one.actor} ({one.kind}){by}  {one.what} {one.subject}{why}")
    if not found:
        print("nothing was changed yet")


@app.command()
def verify(
    config: ConfigFile = DEFAULT_CONFIG,
    anchor: Annotated[
        list[str] | None, typer.Option(help="NUMBER:SHA256 of an earlier head, from the log, say.")
    ] = None,
    broker: Annotated[bool, typer.Option(help="Compare with the head that the broker keeps, too.")] = False,
    json: AsJson = False,
) -> None:
    """Check the whole chain; exit code 1, and the first broken entry, if it doesn't hold."""
    with _trail(config) as (trail, settings):
        anchors = [head_of(one) for one in anchor or []]
        if broker:
            anchors += _told(settings)
        head, broken = trail.verify(anchors)
    if json:
        print(as_json({"intact": broken is None, "head": str(head), "broken": broken}))
    elif broken is None:
        print(f"{head.sequence} entries, each follows the one before it; the head is\n{head}")
    else:
        print(f"tidewatt: the audit is broken at entry {broken.sequence}: {broken.why}", file=sys.stderr)
    if broken:
        raise typer.Exit(BROKEN)


@app.command()
def export(
    config: ConfigFile = DEFAULT_CONFIG,
    format_: Annotated[str, typer.Option("--format", help="jsonl (a line each) or csv.")] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
    since: Annotated[int, typer.Option(help="Those after this number only.", show_default=False)] = FIRST,
) -> None:
    """Write all entries as they were sealed, in order."""
    if format_ not in get_args(Format):
        raise ValueError(f"--format {format_!r} is neither jsonl nor csv")
    with _trail(config) as (trail, _), contextlib.ExitStack() as stack:
        file = stack.enter_context(out.open("w", encoding="utf-8", newline="")) if out else sys.stdout
        if format_ == "jsonl":
            for one in trail.entries(since):
                file.write(msgspec.json.encode(one).decode() + "\n")
            return
        writer = csv.writer(file)
        writer.writerow(Entry.__struct_fields__)
        for one in trail.entries(since):
            writer.writerow([_cell(value) for value in msgspec.structs.astuple(one)])


def _cell(value: object) -> object:
    """A text that a spreadsheet would take for a formula, made one that it doesn't."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def _told(settings: Config) -> list[Head]:
    """What the broker keeps; nothing is said if it keeps nothing."""
    from tidewatt_coordinator.audit.guard import retained  # noqa: PLC0415 - MQTT is slow to import
    from tidewatt_link.connection import Connection  # noqa: PLC0415

    if not settings.broker.url:
        raise ValueError("broker.url is empty: the embedded broker keeps nothing")
    connection = Connection(settings.broker.url, settings.broker, setting="broker.url")
    found = asyncio.run(retained(connection, settings.coordinator.fleet))
    return [found] if found else []


@contextlib.contextmanager
def _trail(config: Path) -> Iterator[tuple[Trail, Config]]:
    settings = read_config(config)
    with contextlib.closing(Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)) as ledger:
        yield Trail(ledger.engine), settings


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
