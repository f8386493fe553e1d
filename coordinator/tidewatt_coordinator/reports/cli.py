"""The `tidewatt report` command. It needs no running coordinator."""

from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tidewatt_coordinator.alerts.desk import desk
from tidewatt_coordinator.command.printing import working
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile
from tidewatt_coordinator.costs import days as calendar
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.reports.settings import Format


def report(
    config: ConfigFile = DEFAULT_CONFIG,
    month: Annotated[
        str, typer.Option(help="A month of UTC such as 2026-10; default: the last whole one.")
    ] = "",
    format: Annotated[str, typer.Option("--format", help="html, pdf, csv or focus.")] = "html",  # noqa: A002
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; default: named after fleet and month.", dir_okay=False),
    ] = None,
) -> None:
    """Write a month's report: totals, trend, movers, savings, carbon, budgets and anomalies."""
    from tidewatt_coordinator.reports.gather import gather, previous  # noqa: PLC0415 - other commands start fast
    from tidewatt_coordinator.reports.writing import file_name, write  # noqa: PLC0415

    kind = _format(format)
    if out is not None and not out.resolve().parent.is_dir():
        raise FileNotFoundError(2, "No such directory", str(out.parent))
    with desk(config) as at:
        first: date = previous(calendar.day_of(at.now_ms).replace(day=1))
        if month:
            first = calendar.day_of(calendar.month(month, "--month").start_ms)
        facts = gather(at.ledger, at.config, first, at.now_ms)
        file = out or Path(file_name(facts, kind))
        with working(f"writing {file}"):
            write(facts, at.ledger, kind, file)
    said = "there is no data" if facts.empty else "the whole month" if facts.over else "the month so far"
    print(f"{file}: {facts.month}, {said}")


def _format(text: str) -> Format:
    try:
        return msgspec.convert(text, Format)  # type: ignore[no-any-return] # Literal is no type to mypy
    except msgspec.ValidationError as error:
        raise CostError(f"--format {text!r} is none of html, pdf, csv, focus") from error
