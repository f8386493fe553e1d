"""The publisher over a real broker: signed sets, models in chunks, and a refusal without a key."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest
from tests.sealing import sealed_rules
from tests.steered import steering_of
from tests.world import HandClock, Mosquitto, until

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.models.folder import ModelFolder
from tidewatt_coordinator.publisher import Publisher
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import decode, encode
from tidewatt_wire.messages import MODEL_CHUNK_BYTES, Policy, PolicySet, Rule
from tidewatt_wire.signing import Signer, open_envelope, seal


class World:
    """What the publisher takes from, and what a device would hear."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.models = KeyFolder(folder / "keys"), ModelFolder(folder / "models")
        self.policies = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[])
        self.may_publish = True
        self.heard: dict[str, bytes] = {}

    @property
    def envelope(self) -> bytes:
        return self.heard.get("tidewatt/v1/f/policy", b"")

    @property
    def chunks(self) -> list[bytes]:
        """Those retained, in the order of their topics."""
        return [self.heard[topic] for topic in sorted(self.heard) if "/model/" in topic and self.heard[topic]]


@contextlib.asynccontextmanager
async def publishing(world: World, broker: tuple[str, int], clock: HandClock) -> AsyncIterator[Publisher]:
    publisher = Publisher(
        Connection("mqtt://{}:{}".format(*broker)),
        lambda: world.policies,
        steering_of(Fleet(1000), clock, Dispatch(), lambda: world.policies),
        clock,
        lambda: world.may_publish,
        world.keys.signers,
        world.models,
    )

    async def listen() -> None:
        async with aiomqtt.Client(*broker, protocol=aiomqtt.ProtocolVersion.V5) as client:
            await client.subscribe("tidewatt/#", qos=1)
            async for message in client.messages:
                world.heard[str(message.topic)] = bytes(message.payload)

    tasks = [asyncio.create_task(listen()), asyncio.create_task(publisher.run())]
    try:
        yield publisher
    finally:
        await ended(*tasks)


async def test_without_a_key_nothing_is_published_and_one_sentence_says_so(
    mosquitto: Mosquitto, clock: HandClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    async with publishing(world, mosquitto.address, clock):
        await until(lambda: "`tidewatt keys new` makes one" in caplog.text)
        await until(lambda: "no new dispatch table: no key" in caplog.text)
        assert not world.envelope
        made = world.keys.new()
        await until(lambda: world.envelope)
    assert decode(PolicySet, open_envelope(world.envelope, [made.trusted])) == world.policies
    said = [record for record in caplog.records if "tidewatt keys new" in record.message]
    assert len(said) == 1, "once, however often it looks"


async def test_a_higher_revision_and_another_key_are_each_one_publish(
    mosquitto: Mosquitto, clock: HandClock, tmp_path: Path
) -> None:
    world = World(tmp_path)
    old = world.keys.new()
    async with publishing(world, mosquitto.address, clock):
        await until(lambda: world.envelope)
        rules = [Rule(policy=Policy(slo_p95_ms=5.0))]
        world.policies = PolicySet(fleet="f", revision=2, issued_at_ms=0, rules=rules)
        await until(lambda: b'"keyid"' in world.envelope and _revision(world, old) == 2)
        new = world.keys.rotate()
        await until(lambda: world.envelope.count(b'"keyid"') == 2)
        for key in (old, new):
            assert _revision(world, key) == 2


async def test_one_that_may_not_publish_is_silent_until_it_may(
    mosquitto: Mosquitto, clock: HandClock, tmp_path: Path
) -> None:
    world = World(tmp_path)
    world.keys.new()
    world.may_publish = False
    async with publishing(world, mosquitto.address, clock):
        await asyncio.sleep(0.6)
        assert world.heard == {}
        world.may_publish = True
        await until(lambda: world.envelope)


async def test_a_set_that_no_device_would_read_is_not_published(
    mosquitto: Mosquitto, clock: HandClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path)
    world.keys.new()
    rules = [Rule(match={"site": "x" * 1000}, policy=Policy())] * 300
    world.policies = PolicySet(fleet="f", revision=2, issued_at_ms=0, rules=rules)
    async with publishing(world, mosquitto.address, clock):
        await until(lambda: "policy revision 2 is not published: a payload of" in caplog.text)
    assert not world.envelope


@pytest.mark.parametrize(
    ("foreign", "what"),
    [(b"", "cleared"), (b"nonsense", "foreign"), (sealed_rules(1), "foreign")],
)
async def test_what_others_put_on_the_topic_is_replaced(
    mosquitto: Mosquitto, clock: HandClock, tmp_path: Path, foreign: bytes, what: str
) -> None:
    world = World(tmp_path)
    world.keys.new()
    async with publishing(world, mosquitto.address, clock) as publisher:
        await until(lambda: world.envelope)
        good = world.envelope
        async with aiomqtt.Client(*mosquitto.address, protocol=aiomqtt.ProtocolVersion.V5) as other:
            await other.publish("tidewatt/v1/f/policy", foreign, qos=1, retain=True)
        await until(lambda: publisher.policy.displaced == {what: 1} and world.envelope == good)


async def test_a_late_word_of_another_coordinator_is_replaced_only_by_the_one_that_may(
    mosquitto: Mosquitto, clock: HandClock, tmp_path: Path
) -> None:
    world = World(tmp_path)
    key = world.keys.new()
    world.policies = PolicySet(fleet="f", revision=7, issued_at_ms=0, rules=[])
    late = seal(encode(PolicySet(fleet="f", revision=6, issued_at_ms=0, rules=[])), [key])
    world.may_publish = False
    async with (
        publishing(world, mosquitto.address, clock) as publisher,
        aiomqtt.Client(*mosquitto.address, protocol=aiomqtt.ProtocolVersion.V5) as other,
    ):
        await other.publish("tidewatt/v1/f/policy", late, qos=1, retain=True)
        await until(lambda: world.envelope == late)
        world.may_publish = True
        await until(lambda: _revision(world, key) == 7)
        assert not publisher.policy.displaced, "it had said nothing yet"
        await other.publish("tidewatt/v1/f/policy", late, qos=1, retain=True)
        await until(lambda: publisher.policy.displaced == {"older_revision": 1})
        await until(lambda: _revision(world, key) == 7)


async def test_models_are_retained_in_chunks_and_cleared_away(
    mosquitto: Mosquitto, clock: HandClock, tmp_path: Path
) -> None:
    world, content = World(tmp_path), b"m" * (2 * MODEL_CHUNK_BYTES + 5)
    (tmp_path / "some.onnx").write_bytes(content)
    world.models.add(tmp_path / "some.onnx", "spring")
    async with publishing(world, mosquitto.address, clock):
        await until(lambda: b"".join(world.chunks) == content)
        world.models.remove("spring")
        await until(lambda: not world.chunks)
        world.models.add(tmp_path / "some.onnx", "spring")
        await until(lambda: b"".join(world.chunks) == content)


def _revision(world: World, key: Signer) -> int:
    return decode(PolicySet, open_envelope(world.envelope, [key.trusted])).revision
