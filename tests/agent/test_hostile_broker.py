"""A device at a broker that is nobody's friend: whatever it says, the link lives and believes nothing."""

import asyncio

import pytest
from tests.hostile import hostile_broker, publish
from tests.sealing import FLEETS_KEY, FOREIGN_KEY, sealed_rules
from tests.world import until

from tidewatt_agent.link import Link
from tidewatt_agent.linkmetrics import link_families
from tidewatt_agent.policies import Policies
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Birth, CoordinatorState, Policy, Rule

ROOT = b"tidewatt/v1/f/"
RULES = [Rule(policy=Policy(max_watts=1.0))]
WORDS = {
    "topics of others": publish(b"elsewhere", b"x") + publish(ROOT + b"device/other/report", b"{}"),
    "no topic": publish(b"", b"x"),
    "a wildcard": publish(ROOT + b"#", b"x"),
    "no UTF-8": publish(b"tidewatt/v1/\xff\xfe", b"x"),
    "NUL": publish(ROOT + b"pol\0icy", b"x"),
    "up and away": publish(ROOT + b"device/../../etc/passwd/report", b"x"),
    "garbage on every topic": b"".join(
        publish(ROOT + name, b"\xff{[" * 99)
        for name in (
            b"policy",
            b"state",
            b"dispatch",
            b"hint/d",
            b"plan/d",
            b"wake/d",
            b"energy/z",
            b"model/0/0",
        )
    ),
    "a huge set": publish(ROOT + b"policy", b"x" * 3_000_000),
    "deep JSON": publish(ROOT + b"policy", b"[" * 300_000) + publish(ROOT + b"state", b'{"a":' * 50_000),
    "somebody else's set": publish(ROOT + b"policy", sealed_rules(9, RULES, [FOREIGN_KEY])),
    "another fleet's set": publish(ROOT + b"policy", sealed_rules(9, RULES, fleet="g")),
    "a flood": publish(ROOT + b"policy", b"no") * 1000,
    "a packet that never ends": b"\x30\xff\xff\xff\x7f" + b"x" * 1000,
    "no packet of MQTT": b"\xf0\x00" * 5,
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x7f",
    "properties without end": b"\x30\x05\0\x01a\xff\xff",
    "an answer to nothing": b"\x40\x02\x7f\xff\x90\x04\x7f\xff\0\0",
}


class Device:
    """A link with what takes policy sets."""

    def __init__(self, url: str) -> None:
        self.policies = Policies("f", "d", {}, [FLEETS_KEY.trusted])
        born = Birth(device="d", session="s", epoch="e", at_ms=0, version="0", board="b", control="observe")
        self.link = Link(Connection(url), "f", lambda: born, self._offered, spread_s=0.01)

    async def _offered(self, envelope: bytes) -> None:
        await self.policies.offer(envelope, 0)


@pytest.mark.parametrize("what", WORDS)
async def test_whatever_it_says_the_link_lives_and_believes_nothing(what: str) -> None:
    async with hostile_broker() as broker:
        broker.words = WORDS[what]
        device = Device(broker.url)
        running = asyncio.create_task(device.link.run())
        try:
            await until(lambda: broker.said or running.done())
            for _ in range(50):
                await asyncio.sleep(0)
            assert (device.policies.revision, device.policies.policy) == (0, Policy())
            state = encode(CoordinatorState(fleet="f", session="c", at_ms=0, state="online"))
            broker.words = publish(ROOT + b"state", state) + publish(ROOT + b"policy", sealed_rules(1))
            broker.hang_up()
            await until(lambda: device.policies.revision == 1 or running.done())
            assert device.link.coordinators.online
        finally:
            await ended(running)


async def test_what_nobody_asked_for_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    device = Device("mqtt://127.0.0.1:1")
    for number in range(100):
        await device.link.take(f"tidewatt/v1/f/device/{number}/report", b"x")
        await device.link.take(f"else/{number}\x1b[2J", b"x")
    assert device.link.unasked == 200
    assert len(caplog.records) == 1
    shown = {family.name: family.samples[0].value for family in link_families(device.link) if family.samples}
    assert shown["tidewatt_link_unasked"] == 200
