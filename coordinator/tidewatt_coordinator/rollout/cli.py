"""The `tidewatt policy` commands: they write what the operator wants to the coordinator's database.

They need no running coordinator; one that runs notices within a second. Exit codes: 0 done,
1 the document or the order is refused, 2 the command line or the configuration is wrong,
3 there was nothing to do.
"""

import contextlib
import getpass
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.ledger.store import Ledger, LedgerError
from tidewatt_coordinator.rollout import differences, orders, report
from tidewatt_coordinator.rollout.documents import Read, parse
from tidewatt_coordinator.rollout.journal import Changed, Event, Journal
from tidewatt_coordinator.rollout.orders import NothingToDo
from tidewatt_coordinator.rollout.plan import Content, State, clock_time
from tidewatt_coordinator.rollout.roster import Roster
from tidewatt_coordinator.rollout.standing import (
    Standing,
    begin,
    first,
    moved,
    policy_set_of,
    put,
    rolled_back,
)
from tidewatt_coordinator.rollout.terms import unix_ms
from tidewatt_wire.clock import Clock
from tidewatt_wire.documents import DocumentError, decode_text

REFUSED, NOTHING = 1, 3

app = typer.Typer(help="Write, roll out and watch the fleet's policy.", no_args_is_help=True)

DocumentFile = Annotated[str, typer.Argument(metavar="FILE", help="TOML or YAML; -: standard input.")]
Author = Annotated[str, typer.Option(help="Who asks; default: the login name.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the history.")]


class _Desk:
    """What every command works on."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self.now_ms = Clock(time.monotonic, time.time, config.clock).now_ms()
        self.journal = Journal(ledger.engine, config.coordinator.fleet)
        self.roster = Roster(ledger.engine, config.coordinator.fleet)
        self._planned = first(config.coordinator.fleet, Content(rules=config.policy), 0, self.now_ms)

    def standing(self) -> Standing:
        """What stands; where nothing was ever written, what the coordinator will begin with."""
        kept = self.journal.read()
        return kept.standing if kept else self._planned

    def order(
        self,
        what: str,
        author: str,
        following: Callable[[Standing], Standing],
        read: Read | None = None,
        reason: str = "",
    ) -> Standing:
        """Carry out an order, and keep who gave it and why."""
        if self.journal.read() is None:
            self._begin()
        return self.journal.change(following, self._event(what, author, read, reason), read)

    def _begin(self) -> None:
        event = self._event("configured", "configuration", None, "the configuration's rules")
        with contextlib.suppress(Changed):  # the coordinator was faster
            self.journal.write(None, self._planned, event)

    def _event(self, what: str, author: str, read: Read | None, reason: str) -> Event:
        return Event(
            at_ms=self.now_ms,
            what=what,
            author=author or _login(),
            reason=reason,
            document=read.sha256 if read else "",
        )


@contextlib.contextmanager
def _desk(config: Path) -> Iterator[_Desk]:
    """The database of this configuration; what is refused becomes a sentence and an exit code."""
    settings = read_config(config)
    ledger = Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)
    try:
        yield _Desk(settings, ledger)
    except NothingToDo as error:
        _end(error, NOTHING)
    except (DocumentError, LedgerError):
        raise
    except (ValueError, Changed) as error:
        _end(error, REFUSED)
    finally:
        ledger.close()


@app.command()
def validate(file: DocumentFile) -> None:
    """Say what is wrong with a policy document, line by line."""
    read = _read(file)
    waves = len(read.document.rollout.waves)
    print(f"{_shown(file)}: good: {len(read.document.rules)} rules, {waves} waves")


@app.command()
def diff(file: DocumentFile, config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Say which of the known devices a document would change, key by key, against what is in force."""
    read = _read(file)
    with _desk(config) as desk:
        known = desk.roster.read()
        now = policy_set_of(desk.standing())
        found = differences.changes(now, read.document.rules, [(one.device, one.labels) for one in known])
        _print(found, differences.lines(found, len(known)), json=json)
        if now.rules == read.document.rules:
            raise NothingToDo("these rules are in force already")


@app.command()
def apply(
    file: DocumentFile,
    config: ConfigFile = DEFAULT_CONFIG,
    now: Annotated[bool, typer.Option("--now", help="At once, whatever the document's waves.")] = False,
    author: Author = "",
) -> None:
    """Put a document in force for the whole fleet at once."""
    read = _read(file)
    if read.document.rollout.mode == "waves" and not now:
        sentence = f"{_shown(file)} goes out in waves: use `tidewatt policy rollout`, or apply --now"
        _end(ValueError(sentence), REFUSED)
    with _desk(config) as desk:
        standing = desk.order(
            "applied", author, lambda before: put(before, _content(read), desk.now_ms), read
        )
        print(f"{read.document.name} is in force from revision {standing.revision} on")


@app.command()
def rollout(file: DocumentFile, config: ConfigFile = DEFAULT_CONFIG, author: Author = "") -> None:
    """Bring a document to the fleet in its waves."""
    read = _read(file)
    plan = read.document.rollout
    if plan.mode == "at_once":
        _end(ValueError(f"{_shown(file)} has mode = at_once: use `tidewatt policy apply`"), REFUSED)
    with _desk(config) as desk:
        standing = desk.order(
            "planned", author, lambda before: begin(before, _content(read), plan, desk.now_ms), read
        )
        print(
            f"rollout {standing.rollout.id if standing.rollout else ''} is planned: {len(plan.waves)} waves"
        )


@app.command()
def approve(config: ConfigFile = DEFAULT_CONFIG, author: Author = "") -> None:
    """Let the next wave begin once this one has soaked, even if there is too little evidence."""
    _turn("approved", config, author, lambda state, _now_ms: orders.approve(state))


@app.command()
def pause(config: ConfigFile = DEFAULT_CONFIG, author: Author = "", reason: Reason = "") -> None:
    """Stop a rollout where it is: nobody joins, nobody leaves."""
    _turn("paused", config, author, lambda state, _now_ms: orders.pause(state, reason), reason)


@app.command()
def resume(config: ConfigFile = DEFAULT_CONFIG, author: Author = "") -> None:
    """Go on with a paused rollout; the present wave is watched anew."""
    _turn("resumed", config, author, orders.resume)


@app.command()
def abort(config: ConfigFile = DEFAULT_CONFIG, author: Author = "", reason: Reason = "") -> None:
    """End a rollout: the old rules hold for everybody."""
    _turn("aborted", config, author, lambda state, _now_ms: orders.abort(state, reason), reason)


@app.command()
def rollback(config: ConfigFile = DEFAULT_CONFIG, author: Author = "", reason: Reason = "") -> None:
    """Abort the rollout on its way; without one put in force what was before."""
    with _desk(config) as desk:
        standing = desk.order(
            "rolled back", author, lambda before: rolled_back(before, reason, desk.now_ms), reason=reason
        )
        print(f"{standing.content.name} is in force from revision {standing.revision} on")


@app.command()
def status(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Show what is in force, the rollout's waves, and how the devices have answered."""
    with _desk(config) as desk:
        told = report.status(desk.standing(), desk.roster.read())
        _print(told, report.lines(told), json=json)


@app.command()
def history(
    config: ConfigFile = DEFAULT_CONFIG,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="Events, the newest first.")] = 20,
    show: Annotated[str, typer.Option(help="Print the document of this sha256, or of its beginning.")] = "",
    json: AsJson = False,
) -> None:
    """Show who did what to the policy, and when; or a document as it was."""
    with _desk(config) as desk:
        if show:
            text = desk.journal.document(show)
            if text is None:
                raise ValueError(f"no document has a sha256 that begins with {show!r}")
            print(text, end="")
            return
        events = desk.journal.history(most)
        told = [
            f"{clock_time(one.at_ms)}  {one.revision:>10}  {one.what:<16} {one.author}"
            f"{'  ' + one.document[:12] if one.document else ''}{'  ' + one.reason if one.reason else ''}"
            for one in events
        ]
        _print(events, told, json=json)


def _turn(
    what: str, config: Path, author: str, turn: Callable[[State, int], State], reason: str = ""
) -> None:
    with _desk(config) as desk:

        def following(before: Standing) -> Standing:
            if before.rollout is None:
                raise NothingToDo("there is no rollout")
            return moved(before, turn(before.rollout, desk.now_ms), desk.now_ms)

        after = desk.order(what, author, following, reason=reason)
        print(f"rollout {after.rollout.id}: {after.rollout.reason}" if after.rollout else "")


def _read(file: str) -> Read:
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return parse(decode_text(content, _shown(file)), name=_shown(file))
    except DocumentError as error:
        _end(error, REFUSED)


def _shown(file: str) -> str:
    return "standard input" if file == "-" else file


def _content(read: Read) -> Content:
    document = read.document
    return Content(
        rules=document.rules,
        not_before_ms=unix_ms(document.not_before) or 0,
        not_after_ms=unix_ms(document.not_after),
        document=read.sha256,
        name=document.name,
    )


def _print(value: object, told: list[str], *, json: bool) -> None:
    print(as_json(value) if json else "\n".join(told))


def _end(error: Exception, code: int) -> NoReturn:
    for line in str(error).splitlines():
        print(f"tidewatt: {line}", file=sys.stderr)
    raise typer.Exit(code)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
