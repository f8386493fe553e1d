"""A forecast model by way of the policy: chunks in any order, checked, kept; a bad one changes nothing."""

import asyncio
import hashlib
import random
from pathlib import Path

import pytest
from tests.sealing import FLEETS_KEY, sealed_rules

from tidewatt_agent.foresight import Foresight
from tidewatt_agent.models import Models
from tidewatt_agent.policies import Policies
from tidewatt_governor.forecast.shipped import shipped_model
from tidewatt_wire.messages import MODEL_CHUNK_BYTES, Model, Policy, Rule
from tidewatt_wire.topics import ModelTopic, every_chunk

CONTENT = shipped_model()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def described(content: bytes, name: str = "spring") -> Model:
    return Model(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        chunks=-(-len(content) // MODEL_CHUNK_BYTES),
    )


MODEL = described(CONTENT)


class Device:
    """Policies, forecaster and models of one device, as the daemon puts them together."""

    def __init__(self, folder: Path | None, configured: str = "") -> None:
        self.policies = Policies("f", "d", {}, [FLEETS_KEY.trusted])
        self.foresight = Foresight(configured, "UTC", "")
        self.foresight.start()
        self.models = Models("f", folder, self.policies, self.foresight, lambda *_: "")
        self.revision = 0

    def used(self) -> str | None:
        return self.foresight.model_id

    async def told(self, name: str | None, *models: Model) -> None:
        self.revision += 1
        rules = [Rule(policy=Policy(model=name))]
        await self.policies.offer(sealed_rules(self.revision, rules, models=list(models)), 0)
        await self.models.look()

    async def sent(self, content: bytes, model: Model = MODEL, seed: int = 1) -> None:
        indices = list(range(model.chunks))
        random.Random(seed).shuffle(indices)
        for index in indices:
            chunk = content[index * MODEL_CHUNK_BYTES : (index + 1) * MODEL_CHUNK_BYTES]
            await self.models.take(ModelTopic("f", model.sha256, index), chunk)


async def test_fetched_checked_kept_and_used(tmp_path: Path) -> None:
    device = Device(tmp_path / "models")
    assert device.models.topics == []
    await device.told("spring", MODEL)
    assert device.models.topics == [every_chunk("f", SHA256)]
    assert device.used() is None
    await device.sent(CONTENT)
    assert device.used() == SHA256[:12]
    assert device.models.topics == [], "what is here is not asked for again"
    assert (tmp_path / "models" / f"{SHA256}.onnx").read_bytes() == CONTENT

    again = Device(tmp_path / "models")
    await again.told("spring", MODEL)
    assert (again.used(), again.models.topics) == (SHA256[:12], [])
    await again.told(None)
    assert again.used() is None, "no model is named, and none is configured"


async def test_chunks_of_others_or_beyond_the_end_are_nothing() -> None:
    device = Device(None)
    await device.models.take(ModelTopic("f", SHA256, 0), b"before anything was named")
    await device.told("spring", MODEL)
    await device.models.take(ModelTopic("f", "0" * 64, 0), b"another model's")
    await device.models.take(ModelTopic("f", SHA256, MODEL.chunks), b"too many")
    await device.sent(CONTENT)
    assert device.used() == SHA256[:12]


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [(CONTENT[:-1], "bytes came, it has"), (b"\0" + CONTENT[1:], "its sha256 begins with")],
)
async def test_what_is_not_the_one_that_was_named_is_not_used(
    sent: bytes, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(None, configured="shipped")
    await device.told("spring", MODEL)
    await device.sent(sent)
    assert device.models.refused == 1
    assert device.used() == SHA256[:12], "the present one stays"
    assert [record.message for record in caplog.records if sentence in record.message]
    assert device.models.topics, "a good one may still come"


async def test_what_is_no_model_leaves_the_present_one(caplog: pytest.LogCaptureFixture) -> None:
    device, junk = Device(None, configured="shipped"), b"no model" * 100
    await device.told("junk", described(junk, "junk"))
    await device.sent(junk, described(junk, "junk"))
    assert (device.models.refused, device.models.topics) == (1, [])
    assert device.used() == SHA256[:12]
    assert "not an ONNX model that can be run" in caplog.text
    await device.models.look()
    assert device.models.refused == 1, "it is not tried again and again"


async def test_a_name_that_the_set_does_not_bring(caplog: pytest.LogCaptureFixture) -> None:
    device = Device(None)
    await device.told("shipped")
    assert device.used() == SHA256[:12]
    await device.told("nobodys")
    assert "the policy names the model 'nobodys', which its policy set doesn't bring" in caplog.text
    assert device.used() == SHA256[:12]


async def test_a_kept_file_that_was_spoiled_is_fetched_again(tmp_path: Path) -> None:
    (tmp_path / f"{SHA256}.onnx").write_bytes(b"spoiled")
    (tmp_path / f"{'0' * 64}.onnx").write_bytes(b"of a year ago")
    device = Device(tmp_path)
    await device.told("spring", MODEL)
    assert device.models.topics
    await device.sent(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == [f"{SHA256}.onnx"]


async def test_a_disk_that_fails_costs_the_file_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    device = Device(tmp_path / "file")
    await device.told("spring", MODEL)
    await device.sent(CONTENT)
    assert device.used() == SHA256[:12]


async def test_the_history_goes_on_when_the_model_changes() -> None:
    from tests.agent.test_foresight import live  # noqa: PLC0415

    device = Device(None, configured="shipped")
    live(device.foresight, range(46))
    assert device.foresight.forecast
    await device.told("spring", MODEL)
    await device.sent(CONTENT)
    live(device.foresight, range(46, 48))
    assert device.foresight.forecast
    assert device.foresight.forecast.minute == 46


async def test_topics_are_followed_as_they_are_wanted() -> None:
    device, followed = Device(None), asyncio.Queue[list[str]]()
    await device.told("spring", MODEL)
    task = asyncio.create_task(device.models.run(lambda topics: followed.put_nowait(list(topics))))
    assert await followed.get() == [every_chunk("f", SHA256)]
    task.cancel()
