"""The `tidewatt recommend` commands, and the global stop. They work on the database: a running coordinator
follows within seconds, and where none runs the next one does. Exit code 3: there was nothing to do.
"""

import contextlib
import getpass
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tidewatt_coordinator.alerts.desk import desk
from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile
from tidewatt_coordinator.proposals.desk import Desk
from tidewatt_coordinator.proposals.state import LIVE
from tidewatt_coordinator.proposals.store import Event, Kept, Proposals
from tidewatt_coordinator.rollout.orders import NothingToDo

NOTHING = 3

app = typer.Typer(help="What could be cheaper: look, approve, apply, take back.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Its id, or the id's beginning.")]
By = Annotated[str, typer.Option(help="Who; default: your user name.")]
Why = Annotated[str, typer.Option(help="What others should know.")]
Final = Annotated[bool, typer.Option("--final", help="Though it can't be taken back.")]


@app.command("ls")
def list_proposals(
    config: ConfigFile = DEFAULT_CONFIG,
    service: Annotated[str, typer.Option(help="Only this service's.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    json: AsJson = False,
) -> None:
    """List proposals, the largest saving first."""
    with _desk(config) as at:
        found = at.store.page(service, 100_000, "", () if every else ("open", *LIVE))
        shown = [at.shown(kept) for kept in found]
        stop = at.store.stop()
    shown.sort(key=lambda one: (-one.saving_middle, one.id))
    if json:
        print(as_json(shown))
        return
    if stop:
        print(f"everything is frozen by {stop.author} since {_clock(stop.since_ms)}: {stop.reason}")
    if not shown:
        print("nothing is proposed")
        return
    table = Table("id", "saving a month", "score", "risk", "promise", "stage", "what")
    for one in shown:
        score = "unknown" if one.score is None else f"{one.score:.3g}"
        saving = f"{one.saving_middle:.2f} ({one.saving_low:.2f} to {one.saving_high:.2f}) {one.currency}"
        table.add_row(one.id, saving, score, one.risk, one.verdict, one.stage, one.what)
    console().print(table)


@app.command()
def show(name: Name, config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Show one: its saving, its risk, the verdict, the evidence, what would be changed."""
    with _desk(config) as at:
        one = at.shown(at.store.get(name))
    if json:
        print(as_json(one))
        return
    print(f"{one.id}  {one.driver}  {one.target}\n{one.what}")
    print(f"{one.stage} since {_clock(one.since_ms)}: {one.reason}")
    print(f"saves {one.saving_middle:.2f} {one.currency} a month (", end="")
    print(f"{one.saving_low:.2f} to {one.saving_high:.2f}); risk {one.risk}; disturbs {one.disruption:.1%}")
    print(f"promise: {one.verdict}: {one.why}")
    for sentence in one.evidence:
        print(f"evidence: {sentence}")
    if one.final:
        print(f"final, there is no rollback: {one.final}")
    print(f"before: {as_json(one.before)}\nafter: {as_json(one.after)}")


@app.command()
def approve(
    name: Name,
    config: ConfigFile = DEFAULT_CONFIG,
    by: By = "",
    without_verdict: Annotated[
        bool, typer.Option("--without-verdict", help="Though nobody knows whether the promise holds.")
    ] = False,
    final: Final = False,
) -> None:
    """Let a proposal be applied, as soon as limits and the promise allow."""
    with _desk(config) as at:
        who = by or getpass.getuser()
        _say(at, at.approve(name, who, without_verdict=without_verdict, final=final))


@app.command()
def apply(name: Name, config: ConfigFile = DEFAULT_CONFIG, by: By = "", final: Final = False) -> None:
    """Approve a proposal whose promise is known to hold: the same as approve."""
    with _desk(config) as at:
        _say(at, at.approve(name, by or getpass.getuser(), final=final))


@app.command()
def reject(name: Name, config: ConfigFile = DEFAULT_CONFIG, by: By = "", why: Why = "") -> None:
    """Don't do it, and don't propose it again for a while."""
    with _desk(config) as at:
        _say(at, at.reject(name, by or getpass.getuser(), why))


@app.command()
def rollback(name: Name, config: ConfigFile = DEFAULT_CONFIG, by: By = "", why: Why = "") -> None:
    """Take a change back, or an approval."""
    with _desk(config) as at:
        _say(at, at.roll_back(name, by or getpass.getuser(), why))


@app.command()
def history(
    name: Annotated[str, typer.Argument(help="Of this one only.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="Events, the newest first.")] = 50,
    json: AsJson = False,
) -> None:
    """Show what became of proposals, the newest first: who, when, why."""
    with _desk(config) as at:
        found: list[Event] = at.store.history(at.store.get(name).proposal.id if name else "", most=most)
    if json:
        print(as_json(found))
        return
    for event in found:
        print(f"{_clock(event.at_ms)}  {event.id}  {event.stage}  {event.author}: {event.reason}")
    if not found:
        print("nothing was ever proposed")


def freeze(config: ConfigFile = DEFAULT_CONFIG, why: Why = "", by: By = "") -> None:
    """Stop all changes of settings at once, but for those that are being taken back."""
    with _desk(config) as at:
        at.freeze(by or getpass.getuser(), why or "no reason given")
        begun = at.store.of(("applying", "guarding", "undoing"))
    print("frozen: nothing is applied until `tidewatt unfreeze`")
    for kept in begun:
        print(f"{kept.proposal.id} is {kept.proposal.stage}: {kept.proposal.recommendation.what}")


def unfreeze(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Let changes go on."""
    with _desk(config) as at:
        if not at.store.unfreeze():
            raise NothingToDo("nothing is frozen")
    print("changes go on")


@contextlib.contextmanager
def _desk(config: Path) -> Iterator[Desk]:
    with desk(config) as at:
        store = Proposals(at.ledger.engine, at.config.coordinator.fleet)
        try:
            yield Desk(store, at.config.levers, None, None, lambda: at.now_ms)
        except NothingToDo as error:
            print(f"tidewatt: {error}", file=sys.stderr)
            raise typer.Exit(NOTHING) from error


def _say(at: Desk, kept: Kept) -> None:
    one = at.shown(kept)
    print(f"{one.id}  {one.stage}: {one.reason}")
    if one.stage == "approved" and one.dry_run:
        print(f"dry run: it will not be applied until levers.{one.driver}.dry_run is false")


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
