"""`tidewatt cost tags`: who answers for what is spent, and for what nobody does."""

import contextlib
import time
from typing import Annotated

import typer
from rich.table import Table

from tidewatt_coordinator.command.printing import as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.costs.days import day_of
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.questions.untagged import Tagged, tagged
from tidewatt_wire.clock import Clock


def tags(
    config: ConfigFile = DEFAULT_CONFIG,
    days: Annotated[int, typer.Option(min=1, max=400, help="Whole days back from the last one told.")] = 30,
    most: Annotated[int, typer.Option(min=1, help="Rows for each tag.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: exact amounts.")] = False,
) -> None:
    """Show what is spent by each tag that the tag policy requires, and what has none, by service."""
    settings = read_config(config)
    policy = settings.levers.tags.require
    names = [one.tag for one in policy]
    with contextlib.closing(Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)) as ledger:
        clock = Clock(time.monotonic, time.time, settings.clock)
        answers = Answers(ledger, settings.coordinator.fleet, settings.costs.bill, clock.now_ms)
        window = answers.last(days)
        costs = answers.breakdown(window, ["service", *(f"tag:{name}" for name in names)])
    found = tagged(costs, names, [one.values for one in policy])
    first, end = day_of(window.start_ms), day_of(window.end_ms)
    if json:
        print(as_json(found))
    elif not found:
        print(f"the ledger has no costs from {first} to {end}: that is missing, not free")
    else:
        for one in found:
            _show(one, most)
        print(f"{first} to {end}, the last day excluded")


def _show(one: Tagged, most: int) -> None:
    table = Table(one.tag, "service")
    for column in ("effective", "share"):
        table.add_column(column, justify="right")
    rows = [
        (name + (" (not in the policy)" if name in one.wrong else ""), "", amount)
        for name, amount in one.by_value.items()
    ]
    rows += [("(none)", service, amount) for service, amount in one.untagged.items()]
    for name, service, amount in rows[:most]:
        share = f"{amount / one.whole:.1%}" if one.whole else "-"
        table.add_row(name, service, f"{amount:,.2f}", share)
    if len(rows) > most:
        rest = sum(amount for *_, amount in rows[most:])
        table.add_row(f"{len(rows) - most} more", "", f"{rest:,.2f}", "")
    table.add_row("total", "", f"{one.whole:,.2f} {one.currency}", "")
    console().print(table)
    print(f"without {one.tag}: {one.missing:,.2f} {one.currency}")
