"""The audit: every change has its entry, in its own transaction, and nothing is bent without being seen."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import Engine, delete, text, update
from sqlalchemy.exc import DatabaseError
from tests.world import Mosquitto
from typer.testing import CliRunner

from tidewatt_coordinator.alerts.episodes import Change as AlertChange
from tidewatt_coordinator.alerts.episodes import Standing as AlertStanding
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.audit.actor import Actor, Call, acting, actor, called, login
from tidewatt_coordinator.audit.chain import EMPTY, Broken, Entry, Head, digest, first_broken, head_of, sealed
from tidewatt_coordinator.audit.guard import Guard, retained
from tidewatt_coordinator.audit.store import Trail, record
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import audit_entry, audit_head
from tidewatt_coordinator.pki.register import Register
from tidewatt_coordinator.proposals.store import Proposals, Stop
from tidewatt_coordinator.rollout.journal import Event, Journal
from tidewatt_coordinator.rollout.plan import Content
from tidewatt_coordinator.rollout.standing import first
from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.orders import Order
from tidewatt_link.connection import Connection
from tidewatt_wire.messages import Rule

TEXTS = [name for name in Entry.__struct_fields__ if name not in ("sequence", "at_ms")]
SEEDLING = Entry(sequence=0, at_ms=0, **dict.fromkeys(TEXTS, ""))

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
made = st.builds(
    replace, st.just(SEEDLING), at_ms=st.integers(0, 2**53), actor=words, what=words, after=words, why=words
)


def chained(seeds: list[Entry]) -> tuple[list[Entry], Head]:
    entries, head = [], EMPTY
    for seed in seeds:
        entries.append(sealed(seed, head))
        head = Head(entries[-1].sequence, entries[-1].sha256)
    return entries, head


@settings(max_examples=150)
@given(st.lists(made, min_size=2, max_size=8), st.data())
def test_whatever_is_bent_is_found_where_it_was_bent(seeds: list[Entry], data: st.DataObject) -> None:
    entries, head = chained(seeds)
    assert first_broken(entries, head, [Head(one.sequence, one.sha256) for one in entries]) is None
    at = data.draw(st.integers(0, len(entries) - 1))
    bent = list(entries)
    match data.draw(st.sampled_from(["edit", "edit and seal", "delete", "insert", "swap"])):
        case "edit":
            name = data.draw(st.sampled_from(TEXTS))
            bent[at] = replace(bent[at], **{name: getattr(bent[at], name) + "x"})
        case "edit and seal":
            other = replace(bent[at], why=bent[at].why + "x")
            bent[at] = replace(other, sha256=digest(other))
        case "delete":
            del bent[at]
        case "insert":
            before = Head(at, entries[at - 1].sha256) if at else EMPTY
            bent.insert(at, sealed(replace(SEEDLING, what="forged"), before))
        case _:
            other_at = data.draw(st.integers(0, len(entries) - 1).filter(lambda number: number != at))
            bent[at], bent[other_at] = bent[other_at], bent[at]
            at = min(at, other_at)
    broken = first_broken(bent, head)
    assert broken is not None
    assert at + 1 <= broken.sequence <= at + 2


@settings(max_examples=60)
@given(st.lists(made, min_size=1, max_size=6), st.data())
def test_a_cut_end_or_a_chain_written_anew_shows_by_a_head_told_before(
    seeds: list[Entry], data: st.DataObject
) -> None:
    entries, head = chained(seeds)
    left = data.draw(st.integers(0, len(entries) - 1))
    cut, cut_head = chained(seeds[:left])
    assert first_broken(cut, head), "the head that the database keeps says it"
    assert first_broken(cut, cut_head) is None, "who bends that, too, is not seen from inside"
    assert first_broken(cut, cut_head, [head])
    anew, anew_head = chained([replace(seeds[0], why="it was somebody else"), *seeds[1:]])
    assert first_broken(anew, anew_head) is None
    assert (first_broken(anew, anew_head, [head]) is None) == (seeds[0].why == "it was somebody else")
    assert head_of(str(head)) == head


@pytest.fixture
def ledger(new_ledger_url: Callable[[], str]) -> Iterator[Ledger]:
    ledger = Ledger(new_ledger_url(), 60_000)
    yield ledger
    ledger.close()


def test_many_writers_make_one_chain_and_a_change_that_failed_leaves_none(
    new_ledger_url: Callable[[], str],
) -> None:
    url = new_ledger_url()
    ledgers = [Ledger(url, 60_000) for _ in range(3)]

    def _noted(number: int, connection: DatabaseConnection) -> None:
        record(connection, "test", str(number), after={"n": number})

    def write(one: Ledger) -> None:
        for number in range(10):
            one.transact(partial(_noted, number))

    threads = [threading.Thread(target=write, args=(one,)) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    trail = Trail(ledgers[0].engine)

    def fail(connection: DatabaseConnection) -> None:
        record(connection, "never", "happened")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ledgers[0].transact(fail)
    head, broken = trail.verify()
    assert (head.sequence, broken) == (30, None)
    assert [one.sequence for one in trail.entries()] == list(range(1, 31))
    assert [one.sequence for one in trail.newest(2, 5)] == [4, 3]
    for one in ledgers:
        one.close()


def _broken(trail: Trail, anchors: Sequence[Head] = ()) -> Broken:
    found = trail.verify(anchors)[1]
    assert found
    return found


def _bend(database: Engine, *statements: object) -> None:
    """As somebody does who may do all with the database."""
    with database.begin() as connection:
        if database.dialect.name == "sqlite":
            for action in ("UPDATE", "DELETE"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS audit_entry_{action}"))
        else:
            connection.execute(text("DROP TRIGGER IF EXISTS audit_entry_stays ON audit_entry"))
        for statement in statements:
            connection.execute(statement)  # type: ignore[call-overload]


def test_entries_stay_as_they_are_and_who_gets_around_that_is_found(ledger: Ledger) -> None:
    trail = Trail(ledger.engine)
    for number in range(4):
        trail.record("test", str(number), why="\0\x1b[2J\ud800 ok")
    assert next(trail.entries()).why == "??[2J? ok", "no terminal obeys it, any database holds it"
    third = audit_entry.c.sequence == 3
    for statement in (update(audit_entry).values(why="x").where(third), delete(audit_entry).where(third)):
        with pytest.raises(DatabaseError, match="only ever added to"), ledger.engine.begin() as connection:
            connection.execute(statement)
    assert trail.verify()[1] is None
    head = trail.head()
    _bend(ledger.engine, delete(audit_entry).where(audit_entry.c.sequence == 4))
    assert _broken(trail).sequence == 4
    previous = next(trail.entries(2)).sha256
    _bend(ledger.engine, update(audit_head).values(sequence=3, sha256=previous))
    assert trail.verify() == (Head(3, previous), None)
    assert _broken(trail, [head]).sequence == 4
    _bend(ledger.engine, update(audit_entry).values(actor="x").where(audit_entry.c.sequence == 2))
    assert _broken(trail).why == "its content is not what was sealed"
    _bend(ledger.engine, update(audit_entry).values(sequence=-1).where(audit_entry.c.sequence == 1))
    assert _broken(trail).why == "after 0 comes -1"
    _bend(ledger.engine, delete(audit_head))
    assert _broken(trail).why == "after 0 comes -1"


def test_who_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert actor() == Actor(login(), "user")
    assert login() != "somebody-else"
    state: dict[str, object] = {}
    token = called.set(Call("request-1", state))
    try:
        assert actor().id == "anonymous"
        state["actor"] = SimpleNamespace(id="k1", kind="key", role="approver")
        assert actor() == Actor("k1", "key", "approver")
        with acting(Actor("roof-1", "device")):
            assert actor().id == "roof-1"
        assert actor().id == "k1"
    finally:
        called.reset(token)


def test_every_change_has_its_entry(ledger: Ledger) -> None:
    database = ledger.engine
    journal, standing = Journal(database, "f"), first("f", Content(rules=[Rule()], name="a"), 0, 1)
    kept = journal.write(None, standing, Event(at_ms=1, what="configured", author="c", reason="it says so"))
    after = replace(standing, revision=standing.revision + 1, content=Content(rules=[], name="b"))
    with acting(Actor("ana", "user")):
        journal.write(kept, after, Event(at_ms=2, what="applied", author="boss", reason=""))
    book = Book(database, "f")
    order = Order(id="o1", kind="freeze", by="ana", why="test", made_ms=0, until_ms=1000)
    assert book.order(order)
    assert not book.order(order), "which is no second change"
    book.end("o1", "ben", 5)
    proposals = Proposals(database, "f")
    proposals.freeze(Stop(since_ms=1, author="ana", reason="storm"))
    assert proposals.unfreeze()
    assert not proposals.unfreeze()
    Register(database).promise("secret", "roof-1", 1, 2)
    alerts = AlertBook(database, "f")
    alert = AlertStanding(name="a", episode=1, kind="budget", severity="warning", summary="s", since_ms=1)
    alerts.apply([AlertChange(alert, told=True)], [], 1, 1)
    alerts.acknowledge("a", "ana", "seen", [], 2, 2)
    trail = Trail(database)
    told = [(one.what, one.subject) for one in trail.entries()]
    assert [what for what, _ in told] == [
        "policy configured", "policy applied", "dispatch freeze", "dispatch thaw", "freeze", "unfreeze",
        "enrol token", "alert acknowledged",
    ]  # fmt: skip
    applied = next(trail.entries(1))
    assert (applied.actor, applied.by, applied.fleet) == ("ana", "boss", "f")
    assert msgspec.json.decode(applied.before)["name"] == "a"
    assert msgspec.json.decode(applied.after)["name"] == "b"
    assert "secret" not in "".join(one.after + one.subject for one in trail.entries())
    assert trail.verify()[1] is None
    assert [one.what for one in trail.newest(9, what="policy", who="ana")] == ["policy applied"]


async def test_the_head_is_told_outside_and_a_cut_shows(ledger: Ledger, mosquitto: Mosquitto) -> None:
    trail, broker = Trail(ledger.engine), Connection(mosquitto.url)
    guard = Guard(trail, broker, Config())
    guard.note_configuration()
    guard.note_configuration()
    assert [one.what for one in trail.entries()] == ["configuration"], "said once"
    trail.record("test", "x")
    seen = await guard.look()
    assert (seen.head.sequence, seen.broken) == (2, None)
    assert await retained(broker, "default") == seen.head
    previous = next(trail.entries()).sha256
    _bend(
        ledger.engine,
        delete(audit_entry).where(audit_entry.c.sequence == 2),
        update(audit_head).values(sequence=1, sha256=previous),
    )
    # Another coordinator, which has nothing but what the broker keeps.
    after = await Guard(trail, broker, Config()).look()
    assert after.broken
    assert after.broken.sequence == 2
    assert await retained(broker, "default") == seen.head, "what was told stays, as evidence"


def test_the_commands(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    url = f"sqlite:///{tmp_path / 'l.db'}"
    config.write_text(f'[ledger]\nurl = "{url}"\n[policy_keys]\nfolder = "{tmp_path}/k"\n')

    def run(*arguments: str, code: int = 0) -> str:
        found = CliRunner().invoke(app, [*arguments, "--config", str(config)])
        assert found.exit_code == code, found.output
        return found.stdout

    run("keys", "new")
    run("freeze", "--why", "=storm", "--by", "ana")
    assert "ana" in run("audit", "tail")
    (head,) = [line for line in run("audit", "verify").splitlines() if ":" in line]
    run("audit", "verify", "--anchor", head)
    lines = [msgspec.json.decode(line, type=Entry) for line in run("audit", "export").splitlines()]
    assert [one.what for one in lines] == ["policy key made", "freeze"]
    assert first_broken(lines, head_of(head)) is None, "what is exported can be checked without us"
    assert "'=storm" in run("audit", "export", "--format", "csv"), "no formula for a spreadsheet"
    ledger = Ledger(url, 300_000)
    _bend(ledger.engine, update(audit_entry).values(actor="x").where(audit_entry.c.sequence == 1))
    ledger.close()
    assert msgspec.json.decode(run("audit", "verify", "--json", code=1))["broken"]["sequence"] == 1
