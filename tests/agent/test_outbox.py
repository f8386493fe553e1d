"""Reports on their way: fresh ones first, the spool's behind at their pace; trouble costs memory alone."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.world import until

from tidewatt_agent import outbox as outboxes
from tidewatt_agent.outbox import MOST_IN_MEMORY, Outbox, Parcel
from tidewatt_agent.spool import Spool
from tidewatt_link.ending import ended, within
from tidewatt_wire.codec import decode
from tidewatt_wire.messages import Counters, Gauges, Report


def report(seq: int, epoch: str = "e") -> Report:
    return Report(
        device="d", session="s", epoch=epoch, seq=seq, at_ms=seq, counters=Counters(), gauges=Gauges()
    )


class Watch:
    """Real seconds, in our hands."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def make(tmp_path: Path, watch: Watch) -> AsyncIterator[Callable[[float], Outbox]]:
    made: list[Spool] = []

    def make_one(replay_per_s: float = 1e6) -> Outbox:
        made.append(Spool(tmp_path / "spool.db", "f", "d", 10**8))
        return Outbox(made[-1], replay_per_s, watch)

    yield make_one
    for spool in made:
        spool.close()


Make = Callable[..., Outbox]


async def soon(outbox: Outbox) -> Parcel:
    return await within(outbox.next(), 10)


async def leaves(outbox: Outbox) -> int:
    """Send the next report; its number."""
    parcel = await soon(outbox)
    outbox.sent(parcel)
    return seq(parcel)


def seq(parcel: Parcel) -> int:
    return decode(Report, parcel.payload).seq


async def test_only_what_waits_longer_than_a_moment_is_written(
    make: Make, watch: Watch, tmp_path: Path
) -> None:
    outbox = make()
    await outbox.settle()
    outbox.put(report(1))
    await outbox.settle()
    assert (outbox.fresh, outbox.stored) == (1, 0)
    watch.now_s += 6
    outbox.put(report(2))
    await outbox.settle()
    assert (outbox.fresh, outbox.stored) == (1, 1)
    await outbox.close()
    assert (outbox.fresh, outbox.stored) == (0, 2), "before it goes everything is written"


async def test_fresh_reports_leave_before_the_spools(make: Make, watch: Watch) -> None:
    outbox = make()
    for number in range(3):
        outbox.put(report(number))
    await outbox.settle(at_once=True)
    watch.now_s += 1
    outbox.put(report(10))
    assert await leaves(outbox) == 10
    assert await leaves(outbox) == 0
    watch.now_s += 1
    outbox.put(report(11))
    assert [await leaves(outbox), outbox.stored] == [11, 2]
    assert await leaves(outbox) == 1
    watch.now_s += 1
    assert await leaves(outbox) == 2
    assert (outbox.stored, outbox.replayed) == (0, 3)


async def test_the_spool_is_replayed_no_faster_than_told(make: Make, watch: Watch) -> None:
    outbox = make(0.5)
    for number in range(3):
        outbox.put(report(number))
    await outbox.settle(at_once=True)
    watch.now_s += 2
    assert await leaves(outbox) == 0
    following = asyncio.create_task(outbox.next())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not following.done(), "two seconds each"
    watch.now_s += 2
    outbox.put(report(9))  # wakes it, and is first
    assert seq(await following) == 9
    outbox.sent(following.result())
    assert await leaves(outbox) == 1


async def test_what_was_not_acknowledged_is_sent_again_and_after_a_restart_too(
    make: Make, watch: Watch
) -> None:
    outbox = make()
    for number in range(3):
        outbox.put(report(number))
    await outbox.settle(at_once=True)
    watch.now_s += 1
    assert await leaves(outbox) == 0
    watch.now_s += 1
    assert seq(await soon(outbox)) == 1  # and the connection is lost
    watch.now_s += 1
    assert seq(await soon(outbox)) == 1
    await outbox.close()
    again = make()
    await again.settle()
    assert (again.stored, again.fresh) == (2, 0)
    for number in (1, 2):
        watch.now_s += 1
        assert await leaves(again) == number


async def test_a_report_that_leaves_while_it_is_written_is_not_kept(make: Make, watch: Watch) -> None:
    outbox = make()
    await outbox.settle()
    outbox.put(report(1))
    parcel = await soon(outbox)
    settling = asyncio.create_task(outbox.settle(at_once=True))
    await asyncio.sleep(0)  # it is being written in its thread
    outbox.sent(parcel)
    await settling
    await outbox.settle()
    assert (outbox.fresh, outbox.stored) == (0, 0)


async def test_every_report_says_how_many_wait_before_it(make: Make) -> None:
    outbox = make()
    for number in range(3):
        outbox.put(report(number))
    gauges = decode(Report, (await soon(outbox)).payload).gauges
    assert (gauges.waiting, gauges.thinned) == (0, 0)
    await outbox.settle(at_once=True)
    outbox.put(report(9))
    assert decode(Report, (await soon(outbox)).payload).gauges.waiting == 3


async def test_without_a_spool_memory_is_thinned_and_keeps_ends(watch: Watch) -> None:
    outbox = Outbox(None, now_s=watch)
    outbox.put(report(-1 % 7, epoch="before"))
    for number in range(4 * MOST_IN_MEMORY):
        outbox.put(report(number))
    assert outbox.fresh <= MOST_IN_MEMORY
    assert outbox.thinned == 1 + 4 * MOST_IN_MEMORY - outbox.fresh
    left = [await leaves(outbox) for _ in range(outbox.fresh)]
    assert left[:2] == [6, 0], "the one end of its epoch, and the other's beginning"
    assert left[-90:] == list(range(4 * MOST_IN_MEMORY - 90, 4 * MOST_IN_MEMORY))


async def test_trouble_is_logged_once_with_its_reason_and_recovery_once(
    make: Make,
    watch: Watch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tidewatt_agent.spool.LOCK_S", 0.0)
    outbox = make()
    await outbox.settle()
    other = sqlite3.connect(tmp_path / "spool.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for number in range(3):
        outbox.put(report(number))
        watch.now_s += 10
        await outbox.settle()
    assert "locked" in (outbox.trouble or "")
    assert (outbox.fresh, outbox.stored) == (3, 0), "it goes on in memory"
    other.close()
    await outbox.settle()
    assert (outbox.fresh, outbox.stored, outbox.trouble) == (0, 3, None)
    assert [record.message.partition(" ")[2][-9:] for record in caplog.records][1:] == ["recovered"]
    assert len(caplog.records) == 2


async def test_a_file_begun_anew_is_replayed_from_its_beginning(
    make: Make, watch: Watch, tmp_path: Path
) -> None:
    outbox = make()
    for number in range(5):
        outbox.put(report(number))
    await outbox.settle(at_once=True)
    watch.now_s += 1
    parcel = await soon(outbox)
    await outbox.close()
    (tmp_path / "spool.db").write_bytes(b"broken" * 1000)
    outbox.put(report(7))
    await outbox.settle(at_once=True)
    outbox.sent(parcel)  # of the file that is no more: its id is another's now
    assert (outbox.stored, outbox.fresh) == (1, 0)
    watch.now_s += 1
    assert await leaves(outbox) == 7
    assert (tmp_path / "spool.db.broken").exists()


async def test_it_keeps_on_its_own(make: Make, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "KEEP_EVERY_S", 0.001)
    outbox = make()
    keeping = asyncio.create_task(outbox.keep())
    try:
        outbox.put(report(1))
        watch.now_s += 10
        await until(lambda: outbox.stored == 1)
    finally:
        await ended(keeping)
