"""Reports by the thousand: acknowledged when the ledger has them, held back by it, counted exactly."""

import asyncio
import contextlib
import gc
import itertools
import re
import sqlite3
import sys
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import aiomqtt
import pytest
from benchmarks.ingest.load import REPORT_BYTES, publish_all, report_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.secured import SHIPPED, SecuredMosquitto
from tests.websocket import websockets_before
from tests.world import Mosquitto, until

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_governor.boards import BoardProfile
from tidewatt_link.connection import CannotConnect, Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Birth
from tidewatt_wire.topics import DeviceTopic

NOW_MS = 1_790_000_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "l.db"


@pytest.fixture
def ledger(file: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{file}", 60_000)
    yield ledger
    ledger.close()


def ingest_of(url: str, ledger: Ledger, name: str = "one", group: str = "") -> Ingest:
    return Ingest(Connection(url), "f", Fleet(60_000), ledger, lambda: NOW_MS, name, group)


@contextlib.asynccontextmanager
async def running(ingest: Ingest) -> AsyncIterator[Ingest]:
    task = asyncio.create_task(ingest.run())
    try:
        await until(lambda: ingest.connected)
        yield ingest
    finally:
        await ended(task)


@contextlib.contextmanager
def stalled(file: Path) -> Iterator[None]:
    """Another writer holds the ledger meanwhile."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def topic(device: str = "a", kind: str = "report") -> str:
    return str(DeviceTopic("f", device, kind))  # type: ignore[arg-type]


def with_shipped_limits(broker: Mosquitto) -> None:
    shipped = (SHIPPED / "tidewatt.conf").read_text()
    broker.kill()
    broker.settings = "\n".join(re.findall(r"^max_.*$", shipped, re.MULTILINE))
    broker.start()


async def say(broker: Mosquitto, seqs: range, device: str = "a") -> None:
    async with aiomqtt.Client(*broker.address, protocol=aiomqtt.ProtocolVersion.V5) as client:
        for seq in seqs:
            await client.publish(topic(device), report_bytes(device, seq, NOW_MS), qos=1)


async def test_what_the_ledger_does_not_have_the_broker_still_has(
    mosquitto: Mosquitto, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_reports: object) -> None:
        raise OSError("disk full")

    broken = Ledger(f"sqlite:///{tmp_path / 'broken.db'}", 60_000)
    monkeypatch.setattr(broken, "take", full)
    async with running(ingest_of(mosquitto.url, broken)) as first:
        await say(mosquitto, range(1, 21))
        await until(lambda: first.messages["report"] == 20 and first.failing)
    broken.close()
    # It died with them in its memory; who comes after it under its name is told them again.
    async with running(ingest_of(mosquitto.url, ledger)) as second:
        # Not the ledger's word: a moment later they are acknowledged, too.
        await until(lambda: second.messages["report"] == 20 and not second.unacknowledged)
    async with running(ingest_of(mosquitto.url, ledger)) as third:
        await say(mosquitto, range(21, 22))
        await until(lambda: third.messages["report"])
    assert third.messages["report"] == 1, "what the ledger has is not told again"
    assert ledger.totals()[0].values[0] == 21_000


async def test_what_comes_while_it_subscribes_is_acknowledged_too(
    mosquitto: Mosquitto, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What waits for it comes before the broker's answer to its subscription; batches end all the time.
    async with running(ingest_of(mosquitto.url, ledger)):
        pass
    await say(mosquitto, range(1, 201))
    monkeypatch.setattr("tidewatt_coordinator.ingest.BATCH_S", 0.0)
    async with running(ingest_of(mosquitto.url, ledger)) as second:
        await until(lambda: second.messages["report"] == 200 and not second.unacknowledged)
    async with running(ingest_of(mosquitto.url, ledger)) as third:
        await say(mosquitto, range(201, 202))
        await until(lambda: third.messages["report"])
    assert third.messages["report"] == 1


async def test_it_ends_when_the_broker_has_read_what_it_acknowledged(
    mosquitto: Mosquitto, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewatt_link.subscribing.FAREWELL_S", 30.0)
    first = ingest_of(mosquitto.url, ledger)
    ending = asyncio.create_task(first.run())
    await until(lambda: first.connected)
    await say(mosquitto, range(1, 101))
    await until(lambda: first.messages["report"] == 100)
    mosquitto.freeze()
    try:
        ending.cancel()
        await until(lambda: not first.unacknowledged)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not ending.done()
    finally:
        mosquitto.thaw()
    await asyncio.wait([ending], timeout=20)
    assert ending.cancelled()
    async with running(ingest_of(mosquitto.url, ledger)) as second:
        await say(mosquitto, range(101, 102))
        await until(lambda: second.messages["report"])
    assert second.messages["report"] == 1


async def test_a_slow_ledger_slows_the_session_and_not_for_ever(
    mosquitto: Mosquitto, file: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewatt_coordinator.ingest.WINDOW", 50)
    async with running(ingest_of(mosquitto.url, ledger)) as ingest:
        with stalled(file):
            await say(mosquitto, range(1, 301))
            await until(lambda: ingest.messages["report"] == 50)
            ingest.relieve()
            await say(mosquitto, range(301, 331))  # the broker takes them, and keeps them
            assert ingest.messages["report"] == 50
            monkeypatch.setattr("tidewatt_coordinator.ingest.PATIENCE_S", 0.0)
            ingest.relieve()  # deaf for too long: more is heard, and held in memory
            await until(lambda: relieved(ingest) >= 100)
            monkeypatch.setattr("tidewatt_coordinator.ingest.PATIENCE_S", 1e9)
            assert ledger.totals() == []
        await until(lambda: ingest.messages["report"] == 330)
    assert ingest.relieved >= 1
    assert ledger.totals()[0].values[0] == 330_000
    assert ingest._fleet.devices["a"].missed == 0


async def test_a_broker_that_sends_more_than_the_window_is_not_read(
    mosquitto: Mosquitto, file: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mosquitto 2.0 does, once something was acknowledged."""
    with_shipped_limits(mosquitto)
    ingest = ingest_of(mosquitto.url, ledger)  # it asks for the whole window, and so the broker sends
    monkeypatch.setattr("tidewatt_coordinator.ingest.WINDOW", 50)
    load = [(topic(), report_bytes("a", seq, NOW_MS)) for seq in range(101, 3101)]
    async with running(ingest):
        await say(mosquitto, range(1, 101))
        await until(lambda: ingest.messages["report"] == 100 and ingest.oldest_s is None)
        with stalled(file):
            await asyncio.to_thread(publish_all, mosquitto.address, load)
            await until(lambda: ingest.unacknowledged >= 50)
            # What one look at the socket brings, a quarter of a megabyte, comes beside it.
            assert ingest.unacknowledged < 1000
        await until(lambda: ingest.messages["report"] == 3100)
    assert ledger.totals()[0].values[0] == 3_100_000


async def test_coordinators_that_share_reports_make_one_ledger(
    guarded: SecuredMosquitto, ledger: Ledger, profile: BoardProfile
) -> None:
    shown = guarded.pki.shown("coordinator")
    both = [
        Ingest(Connection(guarded.url, shown), "f", Fleet(60_000), ledger, lambda: NOW_MS, name, "all")
        for name in ("east", "west")
    ]
    birth = Birth(device="a", session="s", epoch="e", at_ms=NOW_MS, version="0", board="b", control="observe")
    async with running(both[0]), running(both[1]):
        async with Connection(guarded.url, guarded.pki.shown("a")).client() as device:
            await device.publish(topic(kind="birth"), encode(birth), qos=1, retain=True)
            for seq in range(1, 101):
                await device.publish(topic(), report_bytes("a", seq, NOW_MS), qos=1)
        await until(lambda: sum(one.messages["report"] for one in both) == 100)
        await until(lambda: all(one.messages["birth"] for one in both))
    assert all(one.messages["report"] for one in both)
    assert ledger.totals()[0].values[0] == 100_000
    stranger = Ingest(Connection(guarded.url), "f", Fleet(60_000), ledger, lambda: NOW_MS)
    with pytest.raises(CannotConnect, match="is not from the CA in"):
        await stranger._listen()


async def test_no_broker_there_is_one_sentence(ledger: Ledger) -> None:
    with pytest.raises(CannotConnect, match=r"broker mqtt://127.0.0.1:1: Connection refused"):
        await ingest_of("mqtt://127.0.0.1:1", ledger)._listen()


async def test_websockets_carry_it_too(
    mosquitto: Mosquitto, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewatt_coordinator.ingest.WINDOW", 10)
    async with (
        websockets_before(mosquitto.address) as port,
        running(ingest_of(f"ws://127.0.0.1:{port}", ledger)) as ingest,
    ):
        await say(mosquitto, range(1, 41))
        await until(lambda: ingest.messages["report"] == 40)
    assert ledger.totals()[0].values[0] == 40_000


async def test_the_shipped_limits_drop_nothing(mosquitto: Mosquitto, file: Path, ledger: Ledger) -> None:
    """A burst while the ledger stands still: the broker holds it all."""
    with_shipped_limits(mosquitto)
    names, each = [f"jetson-{number}" for number in range(50)], 600
    async with running(ingest_of(mosquitto.url, ledger)) as ingest:
        with stalled(file):
            load = [(topic(name), report_bytes(name, seq, NOW_MS)) for seq in range(each) for name in names]
            await asyncio.to_thread(publish_all, mosquitto.address, load)
        await until(lambda: ingest.messages["report"] == each * len(names))
        await ingest.merge()
    assert [total.values[0] for total in ledger.totals()] == [(each - 1) * 1000] * len(names)
    assert sum(device.missed for device in ingest._fleet.devices.values()) == 0


async def test_what_default_limits_drop_is_counted_of_each_device_and_no_joule_is_lost(
    mosquitto: Mosquitto, file: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mosquitto as it comes holds 1,000 messages for a client, and acknowledges what it drops beyond."""
    monkeypatch.setattr("tidewatt_coordinator.ingest.WINDOW", 50)
    names, each = [f"jetson-{number}" for number in range(50)], 60
    heard = Counter[str]()
    async with running(ingest_of(mosquitto.url, ledger)) as ingest:
        ingest.intake.told = heard.update
        with stalled(file):
            load = [(topic(name), report_bytes(name, seq, NOW_MS)) for seq in range(each) for name in names]
            await asyncio.to_thread(publish_all, mosquitto.address, load)
        # What waits at the broker comes in order, so the last of each device comes last.
        last = [(topic(name), report_bytes(name, each, NOW_MS)) for name in names]
        await until(lambda: ingest.messages["report"] >= 1000)
        await asyncio.to_thread(publish_all, mosquitto.address, last)
        devices = ingest._fleet.devices
        await until(lambda: all(devices[name].seq == each for name in names))
        await ingest.merge()
    lost = (each + 1) * len(names) - ingest.messages["report"]
    assert lost > 1000
    assert {name: devices[name].missed for name in names} == {name: each + 1 - heard[name] for name in names}
    assert sum(each + 1 - heard[name] for name in names) == lost
    assert [total.values[0] for total in ledger.totals()] == [each * 1000] * len(names)


_numbers = itertools.count()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('kept') / 'l.db'}", 60_000)
    yield ledger
    ledger.close()


def relieved(ingest: Ingest) -> int:
    """The reports heard, after it was told that the ledger takes long."""
    ingest.relieve()
    return ingest.messages["report"]


@settings(max_examples=40)
@given(
    lost=st.lists(st.booleans(), min_size=1, max_size=40),
    batches=st.integers(1, 5),
    twice=st.booleans(),
    shuffle=st.randoms(use_true_random=False),
)
def test_whatever_is_lost_on_the_way_the_ledger_is_exact(
    kept: Ledger, lost: list[bool], batches: int, twice: bool, shuffle: Random
) -> None:
    device = f"d{next(_numbers)}"
    ingest = ingest_of("mqtt://127.0.0.1:1", kept)
    came = [seq for seq, gone in enumerate(lost) if not gone]
    for batch in range(batches):
        some = came[batch::batches] * (1 + twice)
        if batches > 1:
            shuffle.shuffle(some)
        for seq in some:
            ingest.take(topic(device), report_bytes(device, seq, NOW_MS))
        taken, ingest._waiting = ingest._waiting, []
        ingest.intake.take(taken)
    totals = {total.device: total.values[0] for total in kept.totals()}
    assert totals.get(device, 0) == (max(came) * 1000 if came else 0)
    assert not ingest.intake.quarantined
    if came and batches == 1:
        known = ingest._fleet.devices[device]
        gaps = max(came) - min(came) + 1 - len(came)
        assert (known.missed, known.late) == (gaps, len(came) - 1 if twice and len(came) > 1 else 0)


def test_a_known_device_takes_less_than_a_kilobyte(ledger: Ledger, profile: BoardProfile) -> None:
    number, first, count = 0, 300, 1000  # tables that hold them are as full as those of a million
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", Fleet(60_000), ledger, lambda: NOW_MS + number)
    born = encode(
        Birth(
            device="jetson-0000", session="0123456789abcdef", epoch="fedcba9876543210", at_ms=NOW_MS,
            version="0.1.0", board="orin-nano-super", control="enforce", labels={"site": "x"},
            points=profile.points, vendor_default="25W",
        )
    )  # fmt: skip

    def size_with(numbers: range) -> int:
        nonlocal number  # a device every millisecond: who spoke just now is forgotten meanwhile
        for number in numbers:
            name = f"jetson-{number:04d}"
            ingest.take(topic(name, "birth"), born.replace(b"jetson-0000", name.encode()))
            for seq in range(3):
                ingest.take(topic(name), report_bytes(name, seq, NOW_MS))
        taken, ingest._waiting = ingest._waiting, []
        ingest.intake.take(taken)
        del taken
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        # What the first of them bring in, modules and statements, is there for any fleet.
        begun = size_with(range(first))
        grown = size_with(range(first, first + count)) - begun
    finally:
        tracemalloc.stop()
    assert len(report_bytes("jetson-0000", 1, NOW_MS)) == REPORT_BYTES
    most = 1024 if sys.version_info >= (3, 11) else 1100  # whose tables take eight bytes more for each name
    assert grown / count <= most, grown / count
