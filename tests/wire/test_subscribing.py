"""Leaving a broker that is busy: it has read what was acknowledged before whoever comes next is let in."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from benchmarks.fleet.packets import publish
from tests.serving import serving
from tests.world import until

from tidewatt_link import packets, subscribing
from tidewatt_link.connection import CannotConnect, Connection
from tidewatt_link.ending import within
from tidewatt_link.packets import Said
from tidewatt_link.subscribing import Asked, subscribed

ASKED = Asked(identifier="me", topics=("t",), session_s=60, window=10)
LETS_IN, SUBSCRIBED = b"\x20\x03\0\0\0", b"\x90\x04\0\1\0\1"


class BusyBroker:
    """Lets one in, tells it something, and reads nothing more until it may; then it hangs up, or doesn't."""

    def __init__(self, *, polite: bool = True) -> None:
        self.polite, self.may_read, self.url = polite, asyncio.Event(), ""
        self.read = b""
        """What it read after it let somebody in."""
        self.writer: asyncio.StreamWriter | None = None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        await reader.readexactly(1)
        writer.write(LETS_IN + SUBSCRIBED + publish("t", b"one", 7, retain=False))
        await self.may_read.wait()
        while not self.read.endswith(packets.GOODBYE) and (more := await reader.read(4096)):
            self.read += more
        if not self.polite:
            await asyncio.Event().wait()


@asynccontextmanager
async def busy_broker(*, polite: bool = True) -> AsyncIterator[BusyBroker]:
    broker = BusyBroker(polite=polite)
    async with serving(broker.answer) as port:
        broker.url = f"mqtt://127.0.0.1:{port}"
        yield broker


async def visit(broker: BusyBroker, came: list[Said], leaving: asyncio.Event, *, paused: bool) -> None:
    """Come, hear one message, acknowledge it, and leave."""

    def take(said: Sequence[Said]) -> None:
        came.extend(said)

    async with subscribed(Connection(broker.url), ASKED, take) as line:
        await until(lambda: came)
        line.acknowledge([7])
        line.pause(paused=paused)
        leaving.set()


@pytest.mark.parametrize("paused", [False, True])
async def test_who_leaves_stays_till_the_broker_has_read_all(paused: bool) -> None:
    async with busy_broker() as broker:
        came, leaving = list[Said](), asyncio.Event()
        visiting = asyncio.create_task(visit(broker, came, leaving, paused=paused))
        await leaving.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not visiting.done()
        # What is said to who has said goodbye is for the next of the session.
        assert broker.writer
        broker.writer.write(publish("t", b"two", 8, retain=False))
        broker.may_read.set()
        await visiting
        assert [payload for _topic, payload, *_more in came] == [b"one"]
        assert broker.read.endswith(packets.acknowledgements([7]) + packets.GOODBYE)


async def test_a_broker_that_never_hangs_up_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribing, "FAREWELL_S", 0.01)
    async with busy_broker(polite=False) as broker:
        broker.may_read.set()
        await within(visit(broker, [], asyncio.Event(), paused=False), 20.0)


async def test_one_that_never_lets_anybody_in_is_left_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribing, "TIMEOUT_S", 0.01)
    monkeypatch.setattr(subscribing, "FAREWELL_S", 1e9)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CannotConnect, match="nothing there answers"):
            async with subscribed(Connection(url), ASKED, lambda _said: None):
                pass
