"""What is to be told is kept, and told until it is heard: in order, whatever fails, with the same event."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from tidewatt_coordinator.alerts.episodes import Change, Standing
from tidewatt_coordinator.alerts.store import AlertBook, AlertError
from tidewatt_coordinator.alerts.telling import GIVE_UP_MS, LONGEST_MS, Telling, back_off_ms
from tidewatt_coordinator.alerts.undelivered import Undelivered
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_link.ending import ended
from tidewatt_wire.messages import Alert

quick = settings(max_examples=25)


def a_standing(name: str = "a", episode: int = 1, ended_ms: int | None = None) -> Standing:
    return Standing(
        name=name,
        episode=episode,
        kind="budget",
        severity="warning",
        summary="s",
        since_ms=episode * 10,
        ended_ms=ended_ms,
    )


def told(*alerts: Standing) -> list[Change]:
    return [Change(one, told=True) for one in alerts]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield ledger
    ledger.close()


@pytest.fixture
def book(ledger: Ledger) -> AlertBook:
    return AlertBook(ledger.engine, "f")


# The book


def test_the_book_on_both_databases(new_ledger_url: Callable[[], str]) -> None:
    ledger = Ledger(new_ledger_url(), 300_000)
    book, other = AlertBook(ledger.engine, "f"), AlertBook(ledger.engine, "another")
    book.apply(told(a_standing("a"), a_standing("b")), ["x", "y"], 11, 1000)
    assert set(book.last()) == {"a", "b"}
    assert not other.last()
    acked = book.acknowledge("a", "ada", "on it", ["x"], 12, 1001)
    assert acked.state == "acknowledged"
    # A look that began before knows nothing of it, and takes nothing away.
    book.apply([Change(a_standing("a"), told=False)], ["x"], 13, 1002)
    assert book.last()["a"] == acked
    assert book.acknowledge("a", "bob", "", ["x"], 14, 1003) == acked
    book.apply(told(a_standing("a", ended_ms=15)), ["x", "y"], 15, 1004)
    assert book.last()["a"].state == "recovered"
    assert book.last()["a"].acked_by == "ada"
    with pytest.raises(AlertError, match="is over"):
        book.acknowledge("a", "bob", "", ["x"], 16, 1005)
    with pytest.raises(AlertError, match="there is no alert 'z'"):
        book.acknowledge("z", "bob", "", ["x"], 16, 1005)
    book.apply(told(a_standing("a", episode=2)), [], 20, 1006)
    assert book.last()["a"].episode == 2
    assert [(one.name, one.episode) for one in book.history(15)] == [("a", 2), ("a", 1), ("b", 1)]
    assert [(one.target, one.count, one.oldest_ms) for one in book.waiting()] == [
        ("x", 4, 1000),
        ("y", 3, 1000),
    ]
    ledger.close()


def test_two_that_raise_at_once_raise_once(book: AlertBook) -> None:
    book.apply(told(a_standing()), ["x"], 11, 1000)
    late = Standing(name="a", episode=1, kind="budget", severity="warning", summary="late", since_ms=11)
    with pytest.raises(IntegrityError):
        book.apply(told(a_standing("b"), late), ["x"], 11, 1000)
    assert [one.alert.summary for one in book.due(2000)] == ["s"]  # nothing of the second's look is left
    assert set(book.last()) == {"a"}


def test_a_targets_queue_is_in_order(book: AlertBook) -> None:
    book.apply(told(a_standing()), ["x"], 11, 1000)
    book.apply(told(a_standing(ended_ms=12)), ["x"], 12, 900)  # the clock stepped back
    book.apply(told(a_standing(episode=2)), ["x"], 13, 1000)
    (first,) = book.due(2000)
    assert (first.alert.state, first.alert.episode) == ("firing", 1)
    book.later(first, "busy", 3000)
    assert not book.due(2999)  # what comes later waits for what came before
    (again,) = book.due(3000)
    assert again.tries == 1
    assert again.alert == first.alert
    book.done(again, 3000)
    assert [one.alert.state for one in book.due(3000)] == ["recovered"]


# Telling


class Ear:
    """A target that fails on command, and a real time in our hands."""

    def __init__(self) -> None:
        self.heard: list[Alert] = []
        self.down: Undelivered | None = None
        self.real_ms = 1_000_000
        self.tried = 0

    async def tell(self, alert: Alert) -> None:
        self.tried += 1
        if self.down:
            raise self.down
        self.heard.append(alert)

    def now(self) -> int:
        return self.real_ms


def telling(book: AlertBook, ear: Ear) -> Telling:
    return Telling(book, {"x": ear.tell}, real_ms=ear.now)


async def test_what_was_told_is_not_told_again_whoever_comes(book: AlertBook) -> None:
    ear = Ear()
    book.apply(told(a_standing(), a_standing("b")), ["x"], 11, ear.real_ms)
    await telling(book, ear).round()
    await telling(book, ear).round()  # a process that was started again
    assert [one.name for one in ear.heard] == ["a", "b"]


async def test_what_a_crash_took_is_told_again_with_the_same_event(book: AlertBook) -> None:
    class Crashing(Ear):
        async def tell(self, alert: Alert) -> None:
            await super().tell(alert)
            raise KeyboardInterrupt  # it was heard, and the process died before it could note so

    ear, book_again = Crashing(), Ear()
    book.apply(told(a_standing()), ["x"], 11, ear.real_ms)
    with pytest.raises(KeyboardInterrupt):
        await Telling(book, {"x": ear.tell}, real_ms=ear.now)._one(ear.tell, book.due(ear.real_ms)[0])
    await telling(book, book_again).round()
    assert ear.heard == book_again.heard


async def test_a_target_that_is_down_is_one_line_and_tried_ever_more_seldom(
    book: AlertBook, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear()
    ear.down = Undelivered("no route", unreachable=True)
    book.apply(told(*(a_standing(name) for name in "abcde")), ["x"], 11, ear.real_ms)
    teller, start = telling(book, ear), ear.real_ms
    tries = []
    while ear.real_ms < start + 3_600_000:
        before = ear.tried
        await teller.round()
        assert ear.tried - before <= 1  # five wait, and one knocks
        tries += [ear.real_ms] * (ear.tried - before)
        ear.real_ms += 10_000
    assert 8 <= len(tries) <= 40
    assert [record.message for record in caplog.records] == ["alerts: x: no route; trying again"]
    assert teller.failing == {"x"}
    assert "no route" in [one.error for one in book.waiting()]
    ear.down = None
    ear.real_ms += LONGEST_MS
    await teller.round()
    assert sorted(one.name for one in ear.heard) == list("abcde")
    assert caplog.records[-1].message == "alerts: x: recovered"
    assert not teller.failing


async def test_one_event_that_is_refused_holds_up_no_other(book: AlertBook) -> None:
    ear = Ear()

    async def picky(alert: Alert) -> None:
        if alert.name == "a":
            raise Undelivered("answers 400", unreachable=False)
        await ear.tell(alert)

    book.apply(told(a_standing(), a_standing("b")), ["x"], 11, ear.real_ms)
    teller = Telling(book, {"x": picky}, real_ms=ear.now)
    await teller.round()
    assert [one.name for one in ear.heard] == ["b"]
    ear.real_ms += GIVE_UP_MS
    await teller.round()
    assert not book.waiting()
    assert teller.given_up["x"] == 1


async def test_a_target_that_is_gone_from_the_configuration_waits_for_nothing(book: AlertBook) -> None:
    book.apply(told(a_standing()), ["old"], 11, 1000)
    await telling(book, Ear()).round()
    assert not book.waiting()


async def test_who_may_not_tell_does_not(book: AlertBook) -> None:
    ear = Ear()
    book.apply(told(a_standing()), ["x"], 11, ear.real_ms)
    task = asyncio.create_task(Telling(book, {"x": ear.tell}, lambda: False, ear.now).run())
    await asyncio.sleep(0)
    await ended(task)
    assert not ear.heard


@quick
@given(st.lists(st.sampled_from(["up", "down", "refusing", "restart"]), max_size=12))
def test_everything_arrives_in_order_whatever_fails(weather: list[str]) -> None:
    with TemporaryDirectory() as folder:
        ledger = Ledger(f"sqlite:///{folder}/l.db", 300_000)
        try:
            heard = weathered(AlertBook(ledger.engine, "f"), weather)
        finally:
            ledger.close()
    assert [(one.episode, one.state) for one in heard if one.name == "a"] == [
        (1, "firing"),
        (1, "recovered"),
        (2, "firing"),
    ]
    assert [one.state for one in heard if one.name == "b"] == ["firing"]


def weathered(book: AlertBook, weather: list[str]) -> list[Alert]:
    """What is heard when the target is as the weather says, and then up."""
    ear = Ear()
    book.apply(told(a_standing(), a_standing("b")), ["x"], 11, ear.real_ms)
    book.apply(told(a_standing(ended_ms=12)), ["x"], 12, ear.real_ms)
    book.apply(told(a_standing(episode=2)), ["x"], 13, ear.real_ms)

    async def story() -> None:
        teller = telling(book, ear)
        for now in [*weather, *["up"] * 4]:
            if now == "restart":
                teller = telling(book, ear)
            ear.down = None if now == "up" else Undelivered(now, unreachable=now == "down")
            ear.real_ms += LONGEST_MS
            await teller.round()

    asyncio.run(story())
    return ear.heard


def test_back_off_grows_to_an_hour() -> None:
    assert [back_off_ms(tries) for tries in (0, 1, 2, 8, 9, 500)] == [
        10_000, 20_000, 40_000, 2_560_000, 3_600_000, 3_600_000,
    ]  # fmt: skip
