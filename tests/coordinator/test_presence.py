"""A coordinator is there, stopped or lost; of two, the one that lives has the last word."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import aiomqtt
import pytest
from tests.world import HandClock, Mosquitto, until

from tidewatt_agent.coordinators import Coordinators
from tidewatt_coordinator.presence import Presence, answers
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import CoordinatorState
from tidewatt_wire.topics import FleetTopic

TOPIC = str(FleetTopic("f", "state"))


def state(said: str, session: str = "theirs", fleet: str = "f") -> bytes:
    return encode(CoordinatorState(fleet=fleet, session=session, at_ms=0, state=said))  # type: ignore[arg-type]


def test_only_anothers_end_and_nonsense_are_answered() -> None:
    assert answers("ours", state("lost"))
    assert answers("ours", state("stopped"))
    assert not answers("ours", state("online"))
    assert not answers("ours", state("online", "ours"))
    assert not answers("ours", state("stopped", "ours"))
    assert answers("ours", b"nonsense")


@contextlib.asynccontextmanager
async def device(address: tuple[str, int]) -> AsyncIterator[Coordinators]:
    """What a device keeps of the state topic."""
    known = Coordinators("f")
    async with aiomqtt.Client(*address, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe(TOPIC, qos=1)

        async def listen() -> None:
            async for message in client.messages:
                known.take(bytes(message.payload))

        task = asyncio.create_task(listen())
        try:
            yield known
        finally:
            await ended(task)


async def stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task], timeout=20)
    assert task.cancelled()


async def test_online_then_stopped_by_its_own_word(mosquitto: Mosquitto, clock: Clock) -> None:
    async with device(mosquitto.address) as known:
        assert known.online is None
        presence = Presence(Connection(mosquitto.url), "f", clock)
        task = asyncio.create_task(presence.run())
        await until(lambda: known.online)
        assert presence.connected
        await stop(task)
        await until(lambda: known.online is False)
        assert known.state
        assert known.state.state == "stopped"
    async with device(mosquitto.address) as late:
        await until(lambda: late.online is False)  # it is retained


async def test_of_two_the_one_that_lives_has_the_last_word(mosquitto: Mosquitto, clock: Clock) -> None:
    one, other = (
        Presence(Connection(mosquitto.url), "f", clock),
        Presence(Connection(mosquitto.url), "f", clock),
    )
    first = asyncio.create_task(one.run())
    await until(lambda: one.connected)
    second = asyncio.create_task(other.run())
    await until(lambda: other.connected)
    await stop(first)
    await until(lambda: other.answered == 1)
    async with device(mosquitto.address) as known:
        await until(lambda: known.online)
        # A will that comes late, of a connection long gone, and one more.
        async with aiomqtt.Client(*mosquitto.address, protocol=aiomqtt.ProtocolVersion.V5) as ghost:
            await ghost.publish(TOPIC, state("lost"), qos=1, retain=True)
        await until(lambda: other.answered == 2)
        await until(lambda: known.online)
        await stop(second)
        await until(lambda: known.online is False)


#: A coordinator's presence in a process of its own, which can be killed.
PROCESS = """
import asyncio, sys, time
from tidewatt_link.connection import Connection
from tidewatt_coordinator.presence import Presence
from tidewatt_wire.clock import Clock
broker = Connection(f"mqtt://127.0.0.1:{sys.argv[1]}")
asyncio.run(Presence(broker, "f", Clock(time.monotonic, time.time)).run())
"""


async def test_killed_it_is_lost_by_the_brokers_word(mosquitto: Mosquitto) -> None:
    async with device(mosquitto.address) as known:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS, str(mosquitto.port))
        try:
            await until(lambda: known.online)
        finally:
            process.kill()
            await process.wait()
        await until(lambda: known.online is False)
        assert known.state
        assert known.state.state == "lost"


async def test_a_broker_that_comes_back_with_nothing_is_told_again(mosquitto: Mosquitto) -> None:
    presence = Presence(Connection(mosquitto.url), "f", HandClock(0))
    task = asyncio.create_task(presence.run())
    await until(lambda: presence.connected)
    mosquitto.kill()
    await until(lambda: not presence.connected)
    mosquitto.start()
    await until(lambda: presence.connected)
    async with device(mosquitto.address) as known:
        await until(lambda: known.online)
    mosquitto.kill()
    await stop(task)


def test_a_device_keeps_its_own_fleets_word_and_forgets_it_with_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = Coordinators("f")
    known.take(state("online"))
    known.take(state("lost", fleet="g"))
    known.take(b"nonsense")
    assert known.online
    assert len(caplog.records) == 2
    known.forget()
    assert known.online is None
