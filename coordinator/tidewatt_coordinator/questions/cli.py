"""The `tidewatt cost` commands: what a request costs, what changed and why, what was wasted and saved.

They need no running coordinator.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.costs import days as calendar
from tidewatt_coordinator.costs.attribution import rounded
from tidewatt_coordinator.costs.charge import total
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions.answers import UNITS, Answers
from tidewatt_coordinator.questions.change_cli import app as change_app
from tidewatt_coordinator.questions.tag_cli import tags
from tidewatt_coordinator.questions.trend import Trend
from tidewatt_coordinator.questions.unitcost import UnitCost
from tidewatt_coordinator.questions.waste import summed
from tidewatt_wire.clock import Clock

app = typer.Typer(help="What a request costs, and why; what was wasted and what saved.", no_args_is_help=True)
app.add_typer(change_app, name="change")
app.command()(tags)

Days = Annotated[int, typer.Option(min=1, max=400, help="Whole days (UTC) back from the last one told.")]
Month = Annotated[str, typer.Option(help="A month of UTC such as 2026-10, instead of --days.")]
Most = Annotated[int, typer.Option(min=1, help="Rows to show; what is not shown is summed up.")]
#: A request's cost in people's terms.
MILLION = 1_000_000


@contextlib.contextmanager
def _answers(config: Path) -> Iterator[Answers]:
    settings = read_config(config)
    ledger = Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)
    clock = Clock(time.monotonic, time.time, settings.clock)
    try:
        yield Answers(ledger, settings.coordinator.fleet, settings.costs.bill, clock.now_ms)
    finally:
        ledger.close()


def _window(answers: Answers, days: int, month: str) -> Window:
    return calendar.month(month, "--month") if month else answers.last(days)


@app.command()
def requests(
    config: ConfigFile = DEFAULT_CONFIG,
    by: Annotated[str, typer.Option(help=f"{', '.join(UNITS)}, or label:NAME.")] = "site",
    days: Days = 7,
    month: Month = "",
    most: Most = 50,
    json: AsJson = False,
) -> None:
    """Show what a request costs and how much energy it takes. The parts sum to the total, to the cent."""
    with _answers(config) as answers:
        window = _window(answers, days, month)
        found = answers.requests(window, by)
    if json:
        print(as_json(found))
        return
    if not found.rows:
        _print_nothing(window)
        return
    table = _table([by], ["effective", "billed", "marginal", "requests", "J/request", "per million"])
    for currency in dict.fromkeys(one.currency for one in found.rows):
        mine = [one for one in found.rows if one.currency == currency]
        effective = rounded([one.effective or Decimal(0) for one in mine])
        billed = rounded([one.billed or Decimal(0) for one in mine])
        marginal = rounded([one.marginal or Decimal(0) for one in mine])
        for one, *money, more in list(zip(mine, effective, billed, marginal, strict=True))[:most]:
            shown = [_money(value) if one.currency else "-" for value in money]
            shown.append("-" if one.marginal is None else _money(more))
            table.add_row(*(one.key or ("fleet",)), *shown, *_use(one))
        if len(mine) > most:
            rest = [_money(total(parts[most:])) for parts in (effective, billed, marginal)]
            table.add_row(f"{len(mine) - most} more", *rest, "", "", "")
    for one in found.totals:
        sums = [f"{_money(value)} {one.currency}" for value in (one.effective, one.billed)]
        table.add_row("total", *sums, _money(one.marginal), *_use(one))
    _print(table, window)


@app.command("by")
def breakdown(
    by: Annotated[list[str], typer.Argument(help="service, site, device, day, namespace, tag:team...")],
    config: ConfigFile = DEFAULT_CONFIG,
    days: Days = 7,
    month: Month = "",
    most: Most = 50,
    json: AsJson = False,
) -> None:
    """Show what was spent by service, tag or whatever is named. The parts sum to the total, to the cent."""
    by = list(dict.fromkeys(by))
    with _answers(config) as answers:
        window = _window(answers, days, month)
        found = answers.breakdown(window, by)
    if json:
        print(as_json(found))
        return
    if not found:
        _print_nothing(window)
        return
    table = _table(by, ["effective", "billed"])
    for currency in dict.fromkeys(one.currency for one in found):
        mine = [one for one in found if one.currency == currency]
        effective = rounded([one.effective for one in mine])
        billed = rounded([one.billed for one in mine])
        for one, *money in list(zip(mine, effective, billed, strict=True))[:most]:
            table.add_row(*one.key, *map(_money, money))
        blank = [""] * (len(by) - 1)
        if len(mine) > most:
            rest = (_money(total(effective[most:])), _money(total(billed[most:])))
            table.add_row(f"{len(mine) - most} more", *blank, *rest)
        table.add_row("total", *blank, *(f"{_money(total(some))} {currency}" for some in (effective, billed)))
    _print(table, window)


@app.command()
def trend(
    config: ConfigFile = DEFAULT_CONFIG,
    by: Annotated[list[str] | None, typer.Option("--by", help="As in `tidewatt cost by`.")] = None,
    most: Most = 50,
    json: AsJson = False,
) -> None:
    """Compare the last 7 days with the 7 before: up or down by more than 10 %, or flat."""
    by = list(dict.fromkeys(by or ["service"]))
    with _answers(config) as answers:
        found = answers.trend(by)
    if json:
        print(as_json(found))
        return
    if not found.rows:
        print(f"the ledger has no costs from {found.since} to {found.until}: that is missing, not free")
        return
    table = _table(by, ["before", "now", "change", "trend"])
    for one in found.rows[:most]:
        table.add_row(*one.key, *_moved(one))
    for one in found.totals:
        table.add_row("total", *[""] * (len(by) - 1), *_moved(one))
    console().print(table)
    print(f"{found.middle} to {found.until} against {found.since} to {found.middle}, last days excluded")


@app.command()
def why(config: ConfigFile = DEFAULT_CONFIG, days: Days = 7, most: Most = 20, json: AsJson = False) -> None:
    """Say what made the last days cost something else than those before, in parts that sum to it."""
    with _answers(config) as answers:
        found = answers.why(days)
    if json:
        print(as_json(found))
        return
    print(f"{found.middle} to {found.until} against {found.since} to {found.middle}, last days excluded")
    for one in [*found.totals, *found.rows[:most]]:
        print(one.sentence)


@app.command()
def waste(
    config: ConfigFile = DEFAULT_CONFIG,
    days: Days = 7,
    month: Month = "",
    most: Most = 20,
    json: AsJson = False,
) -> None:
    """Show what was paid for and not needed: unused and idle devices, inefficient ones, an idle cluster."""
    with _answers(config) as answers:
        window = _window(answers, days, month)
        found = answers.waste(window)
    if json:
        print(as_json(found))
        return
    for (kind, currency), money in sorted(summed(found).items()):
        print(f"{kind.replace('_', ' ')}: {_money(money)} {currency}")
    for one in found[:most]:
        print(one.sentence)
    if not found:
        print("nothing was wasted, as far as the ledger shows")


@app.command("month")
def month_end(config: ConfigFile = DEFAULT_CONFIG, month: Month = "", json: AsJson = False) -> None:
    """Forecast what a month, by default the present one, will have cost; 80 of 100 lie in the interval."""
    with _answers(config) as answers:
        first = calendar.day_of(calendar.month(month, "--month").start_ms) if month else None
        found = answers.month(first)
    if json:
        print(as_json(found))
        return
    for one in found:
        low, middle, high = (_money(value) for value in (one.end.low, one.end.middle, one.end.high))
        print(
            f"{one.month}: {_money(one.so_far)} {one.currency} before {one.known_until}; "
            f"{middle} at its end ({low} to {high})"
        )
    if not found:
        print("there are no costs to forecast from")


@app.command()
def savings(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Show what each change was to save and what it saved, against which counterfactual."""
    with _answers(config) as answers:
        found = answers.savings()
    if json:
        print(as_json(found))
        return
    for one in found:
        print(f"{one.day}  {one.id}  {one.what}: {one.sentence}")
    if not found:
        print("no change is known; `tidewatt cost change add` tells of one made elsewhere")


def _use(one: UnitCost) -> tuple[str, str, str]:
    joules = "-" if one.joules_per_request is None else f"{one.joules_per_request:,.3g}"
    cost = one.effective_per_request
    return (
        "-" if one.requests is None else f"{one.requests:,}",
        joules,
        "-" if cost is None else f"{cost * MILLION:,.4f}",
    )


def _moved(one: Trend) -> tuple[str, str, str, str]:
    change = "-" if one.change is None else f"{one.change * 100:+.1f} %"
    return _money(one.before), f"{_money(one.after)} {one.currency}", change, one.direction


def _money(value: Decimal | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def _table(names: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(*names)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _print(table: Table, window: Window) -> None:
    console().print(table)
    print(f"{calendar.day_of(window.start_ms)} to {calendar.day_of(window.end_ms)}, the last day excluded")


def _print_nothing(window: Window) -> None:
    first, end = calendar.day_of(window.start_ms), calendar.day_of(window.end_ms)
    print(f"the ledger has no costs from {first} to {end}: that is missing, not free")
