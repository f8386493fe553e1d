"""The `tidewatt costs` commands: bring costs in, look at them, compare them with the invoice, export them.

They need no running coordinator.
"""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.command.printing import AsJson, as_json, console, working
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.costs import days
from tidewatt_coordinator.costs.attribution import Share, attribute, rounded, scaled, within
from tidewatt_coordinator.costs.awsbudgets import SOURCE as AWS_BUDGETS
from tidewatt_coordinator.costs.charge import Charge, CostError, total
from tidewatt_coordinator.costs.collect import SOURCES, Collector, configured
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.costs.files import names, rows, write_csv
from tidewatt_coordinator.costs.focus_check import check as check_focus
from tidewatt_coordinator.costs.focus_columns import Version
from tidewatt_coordinator.costs.imports import standings
from tidewatt_coordinator.costs.reconcile import Line, reconcile
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.clock import Clock

FAILED = 1

app = typer.Typer(
    help="What the cloud and the edge cost, and whether that is the bill.", no_args_is_help=True
)

Month = Annotated[str, typer.Option(help="A month of UTC such as 2026-10; default: the present one.")]
From = Annotated[str, typer.Option("--from", help="First day (UTC) such as 2026-10-01; instead of --month.")]
Until = Annotated[str, typer.Option("--until", help="The day (UTC) after the last one.")]
Sources = Annotated[list[str] | None, typer.Option("--source", help="Default: edge and the bill's source.")]
FocusVersion = Annotated[str, typer.Option(help="1.2 or 1.4.")]


class _Desk:
    """What every command works on."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self.settings, self.ledger = config.costs, ledger
        self.now_ms = Clock(time.monotonic, time.time, config.clock).now_ms()
        self.store = Charges(ledger.engine)
        self.trail, self.fleet = Trail(ledger.engine), config.coordinator.fleet

    def window(self, month: str, begin: str, end: str) -> Window:
        """The window that the options ask for."""
        if begin or end:
            if month:
                raise CostError("--month and --from exclude one another")
            today = days.day_of(self.now_ms)
            return days.window(begin or str(today - timedelta(days=30)), end or str(today), "--from, --until")
        return days.month(month or str(days.day_of(self.now_ms))[:7], "--month")

    def charges(self, window: Window, sources: Sequence[str] | None) -> Iterator[Charge]:
        """What counts within a window: the edge's charges and the bill's, or those of `sources`."""
        for charge in self.store.read(window.start_ms, window.end_ms, sources or self.counted()):
            if part := within(charge, window):
                yield part

    def counted(self) -> list[str]:
        """Sources whose sum is what was spent."""
        return ["edge", self.settings.bill]


@contextlib.contextmanager
def _desk(config: Path) -> Iterator[_Desk]:
    settings = read_config(config)
    ledger = Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)
    try:
        yield _Desk(settings, ledger)
    finally:
        ledger.close()


@app.command("import")
def import_costs(
    source: Annotated[
        str, typer.Argument(help=f"{', '.join(SOURCES)}; default: all that are configured.")
    ] = "",
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="FOCUS files, folders or s3:// places; all of a period at once."),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    begin: From = "",
    end: Until = "",
    fewer: Annotated[
        bool, typer.Option("--fewer", help="Let files replace a period that had twice as many charges.")
    ] = False,
) -> None:
    """Bring costs in: what is new, or all of the days that are named. Importing again changes nothing."""
    if source and source not in SOURCES:
        raise CostError(f"{source!r} is no source; there are {', '.join(SOURCES)}")
    with _desk(config) as desk:
        wanted = [source] if source else configured(desk.settings)
        if not wanted:
            raise CostError("no source is configured: see [costs] in the configuration")
        window = desk.window("", begin, end) if begin or end else None
        collector = Collector(desk.settings, desk.store, desk.now_ms)
        failed = False
        for one in wanted:
            try:
                with working(f"asking {one}"):
                    taken = collector.take(one, window, paths or [], fewer=fewer)
            except CostError as error:
                # The others are asked all the same.
                print(f"tidewatt: {one}: {error}", file=sys.stderr)
                failed = True
                continue
            told = {"charges": taken.charges, "batches": taken.batches, "files": paths or []}
            desk.trail.record("costs import", one, fleet=desk.fleet, after=told)
            print(f"{one}: {taken.charges} {taken.things} (days or billing periods: {taken.batches})")
    if failed:
        raise typer.Exit(FAILED)


@app.command("list")
def list_costs(
    config: ConfigFile = DEFAULT_CONFIG,
    month: Month = "",
    begin: From = "",
    end: Until = "",
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="service, provider, region, day, namespace, tag:team...; may be repeated."),
    ] = None,
    source: Sources = None,
    of_bill: Annotated[
        bool, typer.Option("--of-bill", help="OpenCost's shares, stretched to what the bill says.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show costs by service, or by whatever is asked. Parts sum to the total, to the cent."""
    with _desk(config) as desk:
        window = desk.window(month, begin, end)
        by = list(dict.fromkeys(by or ["service"]))
        shares = _of_bill(desk, window, by) if of_bill else attribute(desk.charges(window, source), by)
    if json:
        print(as_json(shares))
    elif shares:
        _print_shares(shares, by)
    else:
        _print_nothing(window)


@app.command()
def sources(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Show each source: whether it is configured, and what there is of it."""
    with _desk(config) as desk:
        held = desk.store.held()
        on = configured(desk.settings)
        today = days.day_of(desk.now_ms)
        calls = desk.store.calls("cost_explorer", today)
        imports = standings(desk.ledger)
    if json:
        told = {"bill": desk.settings.bill, "configured": on, "held": held, "cost_explorer_calls": calls}
        print(as_json({**told, "imports": list(imports.values())}))
        return
    table = Table("source", "counts", "configured", "charges", "from", "until", "last asked", "currency")
    for name in dict.fromkeys([*SOURCES, *(one.source for one in held)]):
        mine = [one for one in held if one.source == name]
        counts = "yes" if name in desk.counted() else "no"
        state = "yes" if name in on else "-" if name == "edge" else "no"
        for one in mine:
            times = (days.iso(at)[:16] for at in (one.start_ms, one.end_ms, one.taken_ms))
            table.add_row(name, counts, state, str(one.charges), *times, one.currency)
        if not mine:
            charges = "-" if name == AWS_BUDGETS else "0"  # it tells of budgets: see `tidewatt budget status`
            table.add_row(name, counts, state, charges, "", "", "", "")
    console().print(table)
    most = desk.settings.cost_explorer.calls_a_day
    for stands in imports.values():
        when = f"last succeeded {days.iso(stands.succeeded_ms)}" if stands.succeeded_ms else "never succeeded"
        why = f"; it failed {stands.failures} times in a row: {stands.error}" if stands.failures else ""
        print(f"the scheduled import of {stands.source} {when}{why}")
    print(f"Cost Explorer was asked {calls} times today, of at most {most}, at $0.01 each")


@app.command("reconcile")
def reconcile_costs(config: ConfigFile = DEFAULT_CONFIG, month: Month = "", json: AsJson = False) -> None:
    """Show how far each source is from the invoice."""
    with _desk(config) as desk:
        window = desk.window(month, "", "")
        settings = desk.settings
        lines = reconcile(
            window,
            desk.store.read(window.start_ms, window.end_ms),
            bill=settings.bill,
            invoices=settings.invoices,
            covers={"opencost": settings.opencost.covers, "prometheus": settings.prometheus.covers},
        )
    if json:
        print(as_json(lines))
    elif lines:
        _print_lines(lines)
    else:
        _print_nothing(window)


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="The CSV file to write.", dir_okay=False)],
    config: ConfigFile = DEFAULT_CONFIG,
    month: Month = "",
    begin: From = "",
    end: Until = "",
    source: Sources = None,
    focus_version: FocusVersion = "1.2",
) -> None:
    """Write charges as a FOCUS file, the edge's energy as a service of its own."""
    version = _version(focus_version)
    with _desk(config) as desk:
        window = desk.window(month, begin, end)
        with out.open("w", encoding="utf-8", newline="") as opened:
            count = write_csv(opened, desk.charges(window, source), version)
    print(f"{out}: {count} charges, FOCUS {version}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet.", dir_okay=False)],
    focus_version: FocusVersion = "1.2",
) -> None:
    """Say what in a file is not FOCUS."""
    version = _version(focus_version)
    wrong = check_focus(names(file), rows(file), version)
    for sentence in wrong:
        print(f"{file}: {sentence}")
    if wrong:
        raise typer.Exit(FAILED)
    print(f"{file}: FOCUS {version}")


def _version(text: str) -> Version:
    try:
        return msgspec.convert(text, Version)  # type: ignore[no-any-return] # Literal is no type to mypy
    except msgspec.ValidationError as error:
        raise CostError(f"--focus-version {text!r} is neither 1.2 nor 1.4") from error


def _of_bill(desk: _Desk, window: Window, by: Sequence[str]) -> list[Share]:
    """OpenCost's shares of what the bill says for the services that it covers, by currency."""
    covers = desk.settings.opencost.covers
    paid = [
        charge
        for charge in desk.charges(window, [desk.settings.bill])
        if not covers or charge.service in covers
    ]
    found: list[Share] = []
    estimated = attribute(desk.charges(window, ["opencost"]), by)
    for currency in dict.fromkeys(share.currency for share in estimated):
        shares = [share for share in estimated if share.currency == currency]
        bill = [charge for charge in paid if charge.currency == currency]
        if not bill:
            raise CostError(
                f"the bill has nothing in {currency} that OpenCost covers: see costs.opencost.covers"
            )
        billed, effective = total(one.billed for one in bill), total(one.effective for one in bill)
        found += scaled(shares, billed, effective)
    return found


def _print_shares(shares: Sequence[Share], by: Sequence[str]) -> None:
    table = Table(*by)
    for name in ("billed", "effective", "charges"):
        table.add_column(name, justify="right")
    for currency in dict.fromkeys(share.currency for share in shares):
        mine = [share for share in shares if share.currency == currency]
        billed = rounded([share.billed for share in mine])
        effective = rounded([share.effective for share in mine])
        for share, one, other in zip(mine, billed, effective, strict=True):
            table.add_row(*share.key, f"{one:,}", f"{other:,}", str(share.charges))
        sums = (f"{total(billed):,} {currency}", f"{total(effective):,} {currency}")
        table.add_row("total", *("" for _ in by[1:]), *sums, str(sum(share.charges for share in mine)))
    console().print(table)


def _print_lines(lines: Sequence[Line]) -> None:
    table = Table("source", "against", "days", "missing")
    for name in ("source says", "invoice", "error", "%"):
        table.add_column(name, justify="right")
    for one in lines:
        money = (
            "-" if value is None else f"{value:,.2f}" for value in (one.amount, one.invoice, one.difference)
        )
        percent = "-" if one.percent is None else f"{one.percent:+}"
        table.add_row(
            f"{one.source} ({one.currency})",
            one.against or "nothing",
            str(one.days),
            str(one.missing_days),
            *money,
            percent,
        )
    console().print(table)


def _print_nothing(window: Window) -> None:
    first, end = days.day_of(window.start_ms), days.day_of(window.end_ms)
    print(f"the ledger has no charges from {first} to {end}: `tidewatt costs sources` shows what there is")
