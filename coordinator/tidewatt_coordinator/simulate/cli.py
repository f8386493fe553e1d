"""`tidewatt simulate`: what a change would cost and keep, on demand as it was."""

import time
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.table import Table

from tidewatt_coordinator.command.printing import AsJson, as_json, console, working
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.prices.cli import On, day_of
from tidewatt_coordinator.simulate.asked import One, Recorded, Refused, answer
from tidewatt_coordinator.simulate.bundled import reference as shipped
from tidewatt_coordinator.simulate.bundled import templates
from tidewatt_coordinator.simulate.drawing import drawn_up
from tidewatt_coordinator.simulate.outcome import Interval, Outcome, Side
from tidewatt_coordinator.simulate.page import dollars, page, span
from tidewatt_coordinator.simulate.reference import told
from tidewatt_coordinator.simulate.scenario import Means
from tidewatt_coordinator.simulate.setup import doors, equipped
from tidewatt_coordinator.simulate.sources import demand_of, from_files
from tidewatt_coordinator.simulate.world import Change, World
from tidewatt_wire.documents import decode_text, parse_toml, to_toml

S = TypeVar("S", bound=msgspec.Struct)

app = typer.Typer(help="What a change would cost and keep, on demand as it was.", no_args_is_help=True)

Settings = Annotated[
    Path | None,
    typer.Option("--config", help="The coordinator's TOML file: its prices, Prometheus and ledger."),
]
Seed = Annotated[int, typer.Option(help="Of what is left to chance.")]


@app.command("templates")
def list_templates(json: AsJson = False) -> None:
    """List the scenarios that come with the product."""
    known = templates()
    if json:
        print(as_json(list(known.values())))
        return
    for one in known.values():
        print(f"{one.name:16}  {one.title}")


@app.command()
def run(
    template: Annotated[str, typer.Argument(help="A template's name; else --change.")] = "",
    change: Annotated[Path | None, typer.Option(help="A TOML file of what changes.", dir_okay=False)] = None,
    world: Annotated[
        Path | None, typer.Option(help="A world's TOML file; default: the reference service.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(help="timestamp,requests_per_minute CSV, or a folder of them to sum.")
    ] = None,
    query: Annotated[str, typer.Option(help="PromQL for requests/s, asked of dispatch.prometheus.")] = "",
    ledger: Annotated[bool, typer.Option("--ledger", help="What the fleet was asked for.")] = False,
    days: Annotated[int, typer.Option(min=1, max=60, help="Of the query or the ledger.")] = 14,
    peak: Annotated[
        float | None, typer.Option(help="Scale recorded demand to this peak, requests/s.")
    ] = None,
    config: Settings = None,
    seed: Seed = 1,
    json: AsJson = False,
) -> None:
    """Live the demand again with and without a change: cost and promise before and after."""
    asked = One(
        template=template,
        name=change.stem if change else "",
        change=_read(change, Change) if change else None,
        world=_read(world, World) if world else None,
        demand=Recorded(query=query, ledger=ledger, days=days, peak_rps=peak),
        seed=seed,
    )
    settings = read_config(config) if config else Config()
    demand = from_files(trace, peak) if trace else demand_of(asked.demand, doors(settings, _now_ms), seed)
    with working("living the demand again"):
        found = answer(asked, demand, equipped(settings, _now_ms))[0]
    if isinstance(found, Refused):
        raise ValueError(found.error)  # noqa: TRY004 - what was asked for is wrong, not its type
    if json:
        print(as_json(found))
    else:
        _show(found)


@app.command("world")
def draw_up(
    config: ConfigFile = DEFAULT_CONFIG,
    boards: Annotated[int, typer.Option(min=0, help="How many boards there are.")] = 0,
) -> None:
    """Print a world drawn up from the dispatch section; what is missing stands in its comments."""
    settings = read_config(config)
    drawn, missing = drawn_up(settings.coordinator.fleet, settings.dispatch, boards)
    for sentence in missing:
        print(f"# {sentence}")
    print(to_toml(drawn), end="")


@app.command()
def reference(config: Settings = None, on: On = "", seed: Seed = 13, json: AsJson = False) -> None:
    """The reference service from week 13 to week 14, beside the design notes' own table, as Markdown."""
    means, asked = equipped(read_config(config) if config else Config(), _now_ms), shipped()
    day = day_of(on) if on else asked.date
    with working("living both weeks"):
        story = told(asked, Means(means.book, day, means.profiles), seed=seed)
    print(as_json(story) if json else page(story))


def _show(found: Outcome) -> None:
    print(f"{found.scenario}, in {found.world}, on {found.demand}. Everything is simulated.")
    table = Table("a month", "before", "after")
    for name in dict.fromkeys([*found.before.lines, *found.after.lines]):
        amounts = (side.lines.get(name) for side in (found.before, found.after))
        table.add_row(name, *("-" if amount is None else f"{amount:,.2f}" for amount in amounts))
    table.add_row("cost", span(found.before.cost), span(found.after.cost))
    table.add_row("a million requests", dollars(found.before.per_million), dollars(found.after.per_million))
    for name in ("availability", "error_rate", "in_time", "bad_minutes"):
        table.add_row(name, *(_share(getattr(side, name)) for side in (found.before, found.after)))
    table.add_row("p95, ms", *(f"{side.p95_ms.middle:.1f}" for side in (found.before, found.after)))
    table.add_row("promise", *(_promise(side) for side in (found.before, found.after)))
    console().print(table)
    more = "saves" if found.saving.middle >= 0 else "costs more:"
    print(f"it {more} {span(found.saving)} a month ({found.currency})")
    for note in found.notes:
        print(note)


def _share(interval: Interval) -> str:
    same = f"{interval.low:.3%}" == f"{interval.high:.3%}"
    return f"{interval.middle:.3%}" + ("" if same else f" ({interval.low:.3%} to {interval.high:.3%})")


def _promise(side: Side) -> str:
    return f"{side.promise}: {side.told}"


def _read(path: Path, kind: type[S]) -> S:
    return parse_toml(decode_text(path.read_bytes(), str(path)), kind, name=str(path))


def _now_ms() -> int:
    return round(time.time() * 1000)
