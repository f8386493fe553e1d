"""The `tidewatt cost change` commands: changes that are to save money, made here or elsewhere."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from tidewatt_coordinator.audit.noting import note
from tidewatt_coordinator.command.printing import as_json
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.costs import days as calendar
from tidewatt_coordinator.costs.charge import CostError, amount, currency_code
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions.changes import Change, Changes, Selector

app = typer.Typer(help="Changes that are to save money, made here or elsewhere.", no_args_is_help=True)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Its id, once for each change.")],
    what: Annotated[str, typer.Option(help="What was changed, in a few words.")],
    day: Annotated[str, typer.Option(help="The day (UTC) on which it came into force.")],
    config: ConfigFile = DEFAULT_CONFIG,
    service: Annotated[list[str] | None, typer.Option(help="Service it touches; may be repeated.")] = None,
    device: Annotated[list[str] | None, typer.Option(help="Device it touches; may be repeated.")] = None,
    match: Annotated[
        list[str] | None, typer.Option(help="Label of devices that it touches, such as site=oakland.")
    ] = None,
    predicted: Annotated[str, typer.Option(help="Saving per month that was promised.")] = "",
    currency: Annotated[str, typer.Option(help="Of the promise.")] = "USD",
    evidence: Annotated[str, typer.Option(help="What the promise came from.")] = "",
) -> None:
    """Tell of a change made elsewhere, so that its saving is watched."""
    at_ms = calendar.day_ms(calendar.parse_day(day, "--day"))
    change = Change(
        id=name,
        kind="told",
        what=what,
        begun_ms=at_ms,
        at_ms=at_ms,
        selector=Selector(
            match=_labels(match or []), devices=sorted(device or []), services=sorted(service or [])
        ),
        predicted_per_month=amount(predicted, "--predicted") if predicted else None,
        currency=currency_code(currency, "--currency"),
        evidence=evidence,
    )
    with _changes(config) as changes:
        changes.put(change)
    note(config, "saving told", name, after=change)
    print(f"{name}: watched from {calendar.day_of(at_ms) + timedelta(days=1)} on")


@app.command("ls")
def list_changes(
    config: ConfigFile = DEFAULT_CONFIG,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the changes, the latest first."""
    with _changes(config) as changes:
        found = changes.all()
    if json:
        print(as_json(found))
        return
    for one in found:
        undone = "" if one.undone_ms is None else f", taken back {calendar.day_of(one.undone_ms)}"
        print(f"{calendar.day_of(one.at_ms)}  {one.id}  {one.kind}: {one.what}{undone}")


@app.command("undo")
def undo(
    name: Annotated[str, typer.Argument(help="Its id.")],
    day: Annotated[str, typer.Option(help="The day (UTC) on which it was taken back.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Say that a change was taken back: what came after is not its saving."""
    at_ms = calendar.day_ms(calendar.parse_day(day, "--day"))
    with _changes(config) as changes:
        changes.undo(name, at_ms)
    note(config, "saving taken back", name, after={"undone_ms": at_ms})
    print(f"{name}: taken back {calendar.day_of(at_ms)}")


@contextlib.contextmanager
def _changes(config: Path) -> Iterator[Changes]:
    settings = read_config(config)
    ledger = Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)
    try:
        yield Changes(ledger.engine)
    finally:
        ledger.close()


def _labels(texts: Sequence[str]) -> list[dict[str, str]]:
    labels: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise CostError(f"--match {text!r}: write it as label=value")
        labels[key] = value
    return [labels] if labels else []
