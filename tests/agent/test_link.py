"""The link over a real broker: birth, reports, policy, goodbye; nothing lost while it is away."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import aiomqtt
from tests.serving import serving
from tests.world import Mosquitto, ignore, until

from tidewatt_agent.answers import Answers
from tidewatt_agent.link import LONGEST_BACKOFF_S, Link, pause_s
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended, within
from tidewatt_wire.codec import decode, encode
from tidewatt_wire.messages import Ack, Birth, Counters, Gauges, PolicySet, Report, Will
from tidewatt_wire.topics import DeviceTopic, FleetTopic, ModelTopic, every_chunk, parse

BIRTH = Birth(device="d1", session="s1", epoch="e1", at_ms=1, version="0", board="b", control="observe")


def report(seq: int) -> Report:
    return Report(
        device="d1", session="s1", epoch="e1", seq=seq, at_ms=seq, counters=Counters(), gauges=Gauges()
    )


class Ear:
    """Hears everything the device says."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def of(self, kind: str) -> list[bytes]:
        return [payload for topic, payload in self.heard if topic.endswith("/" + kind)]


@contextlib.asynccontextmanager
async def listening(address: tuple[str, int]) -> AsyncIterator[tuple[Ear, aiomqtt.Client]]:
    ear = Ear()
    async with aiomqtt.Client(*address, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("#", qos=1)

        async def listen() -> None:
            async for message in client.messages:
                ear.heard.append((str(message.topic), bytes(message.payload)))

        task = asyncio.create_task(listen())
        try:
            yield ear, client
        finally:
            await ended(task)


@contextlib.asynccontextmanager
async def linked(address: tuple[str, int], acks: list[bytes] | None = None) -> AsyncIterator[Link]:
    answers = Answers()

    async def on_policy(payload: bytes) -> None:
        if acks is not None:
            acks.append(payload)
        for status in ("accepted", "applied"):
            answers.put(Ack(device="d1", revision=1, status=status, at_ms=1))

    link = Link(Connection("mqtt://{}:{}".format(*address)), "f", lambda: BIRTH, on_policy, acks=answers)
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        await ended(task)


async def test_a_session_from_birth_to_goodbye(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto.address) as (ear, client):
        offered: list[bytes] = []
        async with linked(mosquitto.address, offered) as link:
            link.send(report(1))
            link.send(report(2))
            await within(link.flushed(), 10)
            policy = encode(PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[]))
            await client.publish(str(FleetTopic("f", "policy")), policy, qos=1, retain=True)
            await until(lambda: len(ear.of("ack")) == 2)
            assert [decode(Ack, payload).status for payload in ear.of("ack")] == ["accepted", "applied"]
            assert offered == [policy]
            assert link.connected
        await until(lambda: ear.of("will"))
        assert [decode(Report, payload).seq for payload in ear.of("report")] == [1, 2]
        assert decode(Birth, ear.of("birth")[0]) == BIRTH
        will = decode(Will, ear.of("will")[0])
        assert (will.cause, will.session) == ("stopped", "s1")
        assert all(isinstance(parse(topic), DeviceTopic | FleetTopic) for topic, _ in ear.heard)
        assert not link.connected


async def test_a_host_that_refuses_is_told_from_one_that_hangs_up(mosquitto: Mosquitto) -> None:
    async with linked(mosquitto.address) as link:
        await until(lambda: link.connected)
        assert not link.refused
        mosquitto.kill()
        await until(lambda: link.refused)
        mosquitto.start()
        await until(lambda: link.connected)
        assert not link.refused
    hung_up: list[asyncio.StreamWriter] = []

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung_up.append(writer)

    async with serving(hang_up) as port, linked(("127.0.0.1", port)) as link:
        await until(lambda: len(hung_up) >= 2)
        assert not link.refused


async def test_what_could_not_be_sent_waits_for_the_broker(mosquitto: Mosquitto) -> None:
    async with linked(mosquitto.address) as link:
        await until(lambda: link.connected)
        mosquitto.kill()
        await until(lambda: not link.connected)
        for seq in range(5):
            link.send(report(seq))
        mosquitto.start()
        async with listening(mosquitto.address) as (ear, _):
            await within(link.flushed(), 20)
            assert (link.connections, link.outbox.thinned, link.outbox.fresh) == (2, 0, 0)
            await until(lambda: ear.of("birth"))
            link.send(report(5))
            await until(lambda: ear.of("report") and decode(Report, ear.of("report")[-1]).seq == 5)


def test_a_fleet_comes_back_evenly_and_ever_slower() -> None:
    chances = [number / 10_000 for number in range(10_000)]
    first = Counter(int(pause_s(10.0, 0, chance)) for chance in chances)
    assert first == dict.fromkeys(range(10), 1000), "as many in each of the ten seconds"
    assert [pause_s(10.0, failures, 1.0) for failures in range(4)] == [10, 20, 30, 30]
    assert pause_s(1.0, 10_000, 1.0) == LONGEST_BACKOFF_S
    assert pause_s(60.0, 5, 1.0) == 60.0, "who asks for more than the longest gets it"


async def test_the_newest_answer_is_told_again_to_a_broker_that_forgot(mosquitto: Mosquitto) -> None:
    async with linked(mosquitto.address) as link:
        await until(lambda: link.connected)
        async with listening(mosquitto.address) as (ear, client):
            await client.publish(str(FleetTopic("f", "policy")), b"any", qos=1)
            await until(lambda: len(ear.of("ack")) == 2)
        mosquitto.kill()
        await until(lambda: not link.connected)
        mosquitto.start()
        async with listening(mosquitto.address) as (ear, _):
            await until(lambda: ear.of("ack"))
            assert decode(Ack, ear.of("ack")[0]).status == "applied"


async def test_it_follows_other_topics_while_they_are_wanted(mosquitto: Mosquitto) -> None:
    chunks: list[tuple[int, bytes]] = []

    async def on_chunk(topic: ModelTopic, chunk: bytes) -> None:
        chunks.append((topic.index, chunk))

    link = Link(Connection(mosquitto.url), "f", lambda: BIRTH, ignore, on_chunk=on_chunk)
    task = asyncio.create_task(link.run())
    one, other = ("a" * 64, "b" * 64)
    async with listening(mosquitto.address) as (_, client):
        for sha256, chunk in ((one, b"1"), (other, b"2")):
            await client.publish(str(ModelTopic("f", sha256, 0)), chunk, qos=1, retain=True)
        link.follow([every_chunk("f", one)])
        await until(lambda: chunks == [(0, b"1")])
        link.follow([every_chunk("f", other)])
        await until(lambda: chunks == [(0, b"1"), (0, b"2")])
        link.follow([])
    await ended(task)


async def test_told_to_stop_while_the_broker_is_dying_it_stops(mosquitto: Mosquitto) -> None:
    link = Link(Connection(mosquitto.url), "f", lambda: BIRTH, ignore)
    task = asyncio.create_task(link.run())
    await until(lambda: link.connected)
    mosquitto.kill()
    task.cancel()
    await asyncio.wait([task], timeout=20)
    assert task.cancelled()
