"""The engine on a real database: killed at every statement, two at once, its lease taken from it."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, create_engine, event
from tests.world import until

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions.changes import Changes
from tidewatt_coordinator.rollout import engine as engines
from tidewatt_coordinator.rollout import orders
from tidewatt_coordinator.rollout.documents import parse
from tidewatt_coordinator.rollout.engine import Engine
from tidewatt_coordinator.rollout.gates import Tally
from tidewatt_coordinator.rollout.journal import Changed, Event, Journal
from tidewatt_coordinator.rollout.lease import Lease, LeaseLost
from tidewatt_coordinator.rollout.outcomes import Interval, tallies
from tidewatt_coordinator.rollout.plan import Content, State
from tidewatt_coordinator.rollout.report import lines, status
from tidewatt_coordinator.rollout.roster import Known, Roster, known_of
from tidewatt_coordinator.rollout.standing import begin, first, moved, put
from tidewatt_coordinator.rollout.terms import Gates, Plan, PlannedWave
from tidewatt_link.ending import ended
from tidewatt_wire.messages import Ack, Birth, Counters, Gauges, Policy, PolicySet, Report, Rule

T0 = 1_800_000_000_000
LASTS = 10_000
OLD, NEW = [Rule()], [Rule(policy=Policy(slo_p95_ms=40.0))]
DEVICES = [f"d{number}" for number in range(12)]
PLAN = Plan(
    waves=[PlannedWave(percent=percent) for percent in (40.0, 100.0)],
    soak_s=3.0,
    gates=Gates(joules_per_request=None, violating_share=None, settle_s=0.0),
)


class World:
    """One database, one clock, and the fleet that every coordinator would hear."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'l.db'}"
        self.now_ms = T0
        self.published: list[PolicySet] = []
        self.fleet = Fleet(10**15)
        for name in DEVICES:
            self.fleet.born(
                Birth(
                    device=name, session="s", epoch="e", at_ms=1, version="1", board="b", control="enforce"
                ),
                T0,
            )
            self.fleet.acknowledged(Ack(device=name, revision=2**50, status="applied", at_ms=1))

    def ledger(self) -> Ledger:
        return Ledger(self.url, 60_000)

    def engine(self, ledger: Ledger, holder: str) -> Engine:
        lease = Lease(ledger.engine, "policy:f", holder, LASTS, lambda: self.now_ms)
        return Engine(ledger, self.fleet, "f", OLD, lambda: self.now_ms, lease)

    def tick(self, engine: Engine) -> None:
        """One second passes, the engine ticks, and what it may publish is published."""
        self.now_ms += 1000
        engine.tick()
        if engine.may_publish():
            self.published.append(engine.current())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def ledger(world: World) -> Iterator[Ledger]:
    ledger = world.ledger()
    yield ledger
    ledger.close()


def told(what: str = "planned", at_ms: int = T0) -> Event:
    return Event(at_ms=at_ms, what=what, author="me", reason="")


def roll_out(journal: Journal, now_ms: int) -> None:
    journal.change(lambda standing: begin(standing, Content(rules=NEW, document="n"), PLAN, now_ms), told())


def until_ended(world: World, engine: Engine) -> State:
    for _ in range(300):
        world.tick(engine)
        state = engine.standing.rollout
        if state and state.stage in ("complete", "aborted"):
            return state
    raise AssertionError(engine.standing.rollout)


def test_who_has_not_listened_for_long_judges_nothing(world: World, ledger: Ledger) -> None:
    heard = False
    lease = Lease(ledger.engine, "policy:f", "a", LASTS, lambda: world.now_ms)
    engine = Engine(
        ledger, world.fleet, "f", OLD, lambda: world.now_ms, lease, sees=lambda: heard
    )  # fmt: skip
    world.tick(engine)
    roll_out(Journal(ledger.engine, "f"), world.now_ms)
    for wave in (0, 1, 2):
        for _ in range(30):
            world.tick(engine)
        state = engine.standing.rollout
        assert state
        assert (state.stage, state.wave) == ("soaking" if wave else "planned", wave)
        heard = True
        while engine.standing.rollout and engine.standing.rollout.wave == wave and engine.standing.live:
            world.tick(engine)
        heard = False
    assert engine.standing.rollout
    assert engine.standing.rollout.stage == "complete"
    (change,) = Changes(ledger.engine).all()
    assert (change.id, change.kind) == (engine.standing.rollout.id, "policy")
    assert change.begun_ms == engine.standing.rollout.reached_ms[0] < change.at_ms
    assert change.predicted_share is None, "nobody measured a joule"


def test_a_database_restored_from_a_copy_goes_on_above_what_devices_hold(
    world: World, ledger: Ledger
) -> None:
    found = 0
    lease = Lease(ledger.engine, "policy:f", "a", LASTS, lambda: world.now_ms)
    engine = Engine(ledger, world.fleet, "f", OLD, lambda: world.now_ms, lease, found=lambda: found)
    world.tick(engine)
    before = engine.current()
    found = before.revision
    world.tick(engine)
    assert engine.current() == before, "its own word is nothing to overtake"
    found = before.revision + 10**6
    world.tick(engine)
    after = engine.current()
    assert after.revision == found + 1
    assert after.rules == before.rules
    world.tick(engine)
    assert engine.current() == after
    assert Journal(ledger.engine, "f").history(1)[0].what == "overtaken"


class Killed(BaseException):
    """The process dies here."""


@contextlib.contextmanager
def killed_at(ledger: Ledger, moment: int) -> Iterator[Callable[[], int]]:
    """Die at the `moment`th boundary: before and after every statement, and before every commit."""
    passed = 0

    def boundary(connection: Connection, *_: object) -> None:
        nonlocal passed
        passed += 1
        if passed == moment:
            # With its process a connection dies, and the database takes back what it hadn't committed.
            raw = connection.connection.dbapi_connection
            assert raw is not None
            raw.rollback()
            raise Killed

    names = ("before_cursor_execute", "after_cursor_execute", "commit")
    for name in names:
        event.listen(ledger.engine, name, boundary)
    try:
        yield lambda: passed
    finally:
        for name in names:
            event.remove(ledger.engine, name, boundary)


def story(world: World, engine: Engine) -> None:
    """From nothing to a completed rollout, then another one taken back."""
    if engine.standing.content.document != "n":
        world.tick(engine)
        journal = engine._journal
        kept = journal.read()
        if kept and not kept.standing.rollout:
            roll_out(journal, world.now_ms)
        until_ended(world, engine)


def test_killed_at_every_statement_it_goes_on_to_the_same_end(tmp_path: Path) -> None:
    World(tmp_path).ledger().close()
    moment = kills = 0
    while True:
        moment += 1 if moment < 80 else 3  # every boundary of the beginning, then every third: ticks repeat
        folder = tmp_path / str(moment)
        folder.mkdir()
        shutil.copy(tmp_path / "l.db", folder)  # its tables made already
        world = World(folder)
        ledger = world.ledger()
        with killed_at(ledger, moment) as passed:
            try:
                story(world, world.engine(ledger, "first"))
            except Killed:
                kills += 1
            done = passed() < moment
        ledger.close()
        world.now_ms += LASTS + 1  # the lease of the dead ends
        ledger = world.ledger()
        engine = world.engine(ledger, "second")
        world.tick(engine)
        story(world, engine)
        world.tick(engine)
        assert engine.standing.content.rules == NEW
        assert engine.standing.rollout is not None
        assert engine.standing.rollout.stage == "complete"
        revisions = [one.revision for one in world.published]
        assert revisions == sorted(revisions)
        said = {(one.revision, msgspec.json.encode(one)) for one in world.published}
        assert len(said) == len(set(revisions)), "a revision always says the same"
        reached = [len(one.rollout.waves) if one.rollout else None for one in world.published]
        assert {1, 2} <= set(reached), "no wave is left out"
        what = [one.what for one in engine._journal.history(100)]
        assert what == ["complete", "wave 2", "wave 1", "planned", "configured"], "each once"
        ledger.close()
        if done:
            break
    assert kills > 60


def test_of_two_engines_one_publishes_and_the_other_takes_over(world: World, ledger: Ledger) -> None:
    other = world.ledger()
    one, two = world.engine(ledger, "one"), world.engine(other, "two")
    world.tick(one)
    world.tick(two)
    roll_out(one._journal, world.now_ms)
    for _ in range(30):
        world.tick(one)
        world.tick(two)
        assert one.may_publish()
        assert not two.may_publish()
        assert two.current() == one.current(), "the other sees the same"
    # The first one sleeps through its lease; the second takes it and goes on.
    asleep = one.lease.fencing
    world.now_ms += LASTS + 1
    assert not one.may_publish()
    world.tick(two)
    assert two.may_publish()
    assert two.lease.fencing == asleep + 1
    assert until_ended(world, two).stage == "complete"
    world.tick(one)
    assert not one.may_publish(), "awake again, it is the other"
    assert one.current() == two.current()
    fences = [one.fencing for one in reversed(two._journal.history(100))]
    assert fences == sorted(fences, key=lambda number: number or asleep)
    two.lease.release()
    world.tick(one)
    assert one.may_publish(), "a clean end lets the other take it at once"
    revisions = [one.revision for one in world.published]
    assert revisions == sorted(revisions)
    other.close()


def test_a_write_is_bound_to_the_lease(world: World, ledger: Ledger) -> None:
    one = Lease(ledger.engine, "l", "one", LASTS, lambda: world.now_ms)
    two = Lease(ledger.engine, "l", "two", LASTS, lambda: world.now_ms)
    journal = Journal(ledger.engine, "f")
    standing = first("f", Content(rules=OLD), 0, T0)
    with pytest.raises(LeaseLost):
        journal.write(None, standing, told(), lease=one)
    assert one.keep()
    assert not two.keep()
    kept = journal.write(None, standing, told(), lease=one)
    world.now_ms += LASTS + 1
    assert two.keep()
    with pytest.raises(LeaseLost, match="another coordinator holds the lease 'l'"):
        journal.write(kept, standing, told(), lease=one)
    assert journal.read() == kept, "nothing was written"
    assert not one.held()
    one.release()
    assert two.held(), "nobody gives back another's"
    assert two.keep()


def test_a_lease_is_not_believed_to_its_last_moment(world: World, ledger: Ledger) -> None:
    lease = Lease(ledger.engine, "l", "one", LASTS, lambda: world.now_ms)
    assert lease.keep()
    world.now_ms += round(LASTS * 0.9)
    assert not lease.held()
    assert lease.keep(), "it is still there to be renewed"


def test_who_writes_second_looks_again(ledger: Ledger) -> None:
    journal = Journal(ledger.engine, "f")
    standing = first("f", Content(rules=OLD), 0, T0)
    kept = journal.write(None, standing, told())
    journal.write(kept, standing, None)
    for stale in (kept, None):
        with pytest.raises(Changed):
            journal.write(stale, standing, told())
    assert journal.version() == 2
    journal.change(lambda now: put(now, Content(rules=NEW), T0), told("applied"))
    assert [one.what for one in journal.history(5)] == ["applied", "planned"]
    with pytest.raises(ValueError, match="fleet 'g' has no policy"):
        Journal(ledger.engine, "g").change(lambda now: now, told())


def test_an_order_given_between_two_ticks_is_noticed(world: World, ledger: Ledger) -> None:
    engine = world.engine(ledger, "one")
    world.tick(engine)
    journal = Journal(ledger.engine, "f")
    roll_out(journal, world.now_ms)
    world.tick(engine)
    assert engine.standing.rollout is not None
    assert engine.standing.rollout.wave == 1

    def abort(standing: Any) -> Any:
        return moved(standing, orders.abort(standing.rollout, "no"), world.now_ms)

    journal.change(abort, told("aborted"))
    world.tick(engine)
    assert engine.current().rollout is None
    assert engine.current().rules == OLD
    assert world.published[-1].revision > world.published[-2].revision


def test_the_configuration_holds_until_a_document_does(world: World, ledger: Ledger) -> None:
    world.tick(world.engine(ledger, "one"))
    world.now_ms += LASTS + 1
    lease = Lease(ledger.engine, "policy:f", "two", LASTS, lambda: world.now_ms)
    changed = Engine(ledger, world.fleet, "f", NEW, lambda: world.now_ms, lease)
    world.tick(changed)
    assert changed.current().rules == NEW
    assert world.published[-1].revision > world.published[0].revision
    journal = Journal(ledger.engine, "f")
    journal.change(lambda now: put(now, Content(rules=OLD, document="d"), world.now_ms), told("applied"))
    world.now_ms += LASTS + 1
    third = world.engine(ledger, "three")
    third._initial = Content(rules=NEW)
    world.tick(third)
    assert third.current().rules == OLD


def test_a_revision_rises_above_an_older_ledgers(world: World, ledger: Ledger) -> None:
    ledger.keep_fact("policy_revision", str(2 * T0))
    engine = world.engine(ledger, "one")
    world.tick(engine)
    assert engine.current().revision == 2 * T0 + 1


def test_a_database_that_fails_is_said_once_and_recovers(
    world: World, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    engine = world.engine(ledger, "one")
    world.tick(engine)
    blocker = create_engine(world.url)
    with blocker.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE lease RENAME TO gone")
    world.tick(engine)
    world.tick(engine)
    assert [engine.failing] == [True]
    assert len([one for one in caplog.records if "trying again" in one.message]) == 1
    with blocker.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO lease")
    blocker.dispose()
    world.tick(engine)
    assert [engine.failing] == [False]
    assert "policy: recovered" in caplog.text


async def test_a_clean_end_gives_the_lease_back(
    world: World, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "TICK_S", 0.0)
    engine = world.engine(ledger, "one")
    running = asyncio.create_task(engine.run())
    await until(engine.may_publish)
    await ended(running)
    assert not engine.may_publish()
    other = world.engine(ledger, "two")
    world.tick(other)
    assert other.may_publish()


# Outcomes.


def report(device: str, second: int, epoch: str = "e", **counters: Any) -> Report:
    return Report(
        device=device,
        session="s",
        epoch=epoch,
        seq=second,
        at_ms=T0 + second * 1000,
        counters=Counters(**counters),
        gauges=Gauges(),
    )


def test_outcomes_are_what_was_counted_in_the_interval(ledger: Ledger) -> None:
    for second in range(0, 3601, 10):
        ledger.take(
            [
                report("a", second, energy_mj=second * 5000, requests=second * 20, violating_ms=second * 10),
                report(
                    "b",
                    second,
                    energy_mj=second * 5000,
                    unmeasured_ms=second * 500,
                    unjudged_ms=second * 1000,
                ),
            ]
        )
    ledger.take([report("late", 3500, energy_mj=10**9)])
    found = tallies(ledger.engine, ledger.bucket_ms, Interval(T0 + 615_000, T0 + 1_215_000))
    assert found["a"] == Tally(joules=3000.0, requests=12_000, violating_ms=6000, judged_ms=600_000)
    assert found["b"] == Tally(joules=None, requests=0, violating_ms=0, judged_ms=0)
    assert set(found) == {"a", "b"}, "who wasn't there is left out"
    assert tallies(ledger.engine, ledger.bucket_ms, Interval(T0 - 10**7, T0 - 10**6)) == {}


def test_a_silence_and_a_restart_are_not_guessed_at(ledger: Ledger) -> None:
    ledger.take([report("a", second, requests=second) for second in range(0, 301, 10)])
    ledger.take([report("a", second, requests=second) for second in range(1200, 1501, 10)])
    ledger.take([report("a", second, epoch="f", requests=second - 1500) for second in range(1500, 1801, 10)])
    found = tallies(ledger.engine, ledger.bucket_ms, Interval(T0, T0 + 1_800_000))
    assert found["a"].judged_ms == 900_000
    assert found["a"].requests == 900


# The roster and what is said of it.


def test_the_roster_writes_only_news_and_is_read_without_a_coordinator(world: World, ledger: Ledger) -> None:
    roster = Roster(ledger.engine, "f")
    known = known_of(world.fleet, T0)
    assert roster.write(known, T0) == len(DEVICES)
    assert roster.write(known, T0) == 0
    world.fleet.acknowledged(
        Ack(device="d1", revision=2**50, status="refused", at_ms=2, reason="no such mode", code="unusable")
    )
    assert roster.write(known_of(world.fleet, T0), T0) == 1
    again = Roster(ledger.engine, "f")
    assert again.read() == sorted(known_of(world.fleet, T0), key=lambda one: one.device)
    assert again.write(known_of(world.fleet, T0), T0) == 0
    assert Roster(ledger.engine, "g").read() == []


def test_status_counts_answers_stragglers_reasons_and_clocks() -> None:
    standing = begin(first("f", Content(rules=OLD), 0, T0), Content(rules=NEW, name="winter"), PLAN, T0)
    now = standing.revision
    known = [
        Known(device="a", ack="applied", revision=now),
        Known(device="b", ack="refused", revision=now, code="unusable", reason="no such mode"),
        Known(device="c", ack="applied", revision=now - 1),
        Known(device="d", skew_ms=-90_000),
        Known(device="e", ack="pending_reboot", revision=now, reason="a reboot waits for its window"),
    ]
    said = status(standing, known)
    assert said.answers == {"applied": 1, "refused": 1, "behind": 1, "no answer": 1, "pending_reboot": 1}
    assert said.stragglers == ["c", "d"]
    assert said.skewed == {"d": -90_000}
    assert sum(wave.devices for wave in said.waves) == 5
    text = "\n".join(lines(said))
    assert "1 x refused (unusable): no such mode" in text
    assert "1 x pending_reboot: a reboot waits for its window" in text
    assert "clock of d: 90.0 s behind" in text
    assert "planned: planned" in text


def test_documents_are_kept_with_who_and_when(ledger: Ledger) -> None:
    journal = Journal(ledger.engine, "f")
    kept = journal.write(None, first("f", Content(rules=OLD), 0, T0), told())
    read = parse("[[rules]]\n", name="p.toml")
    journal.write(kept, kept.standing, told("applied"), read=read)
    journal.change(lambda now: now, told("applied"), read)
    assert journal.document(read.sha256[:8]) == "[[rules]]\n"
    assert journal.document("%") is None
