"""The forecast model that the fleet's policy names: fetched in chunks, checked, kept, and put to use.

A model that is missing, incomplete, broken, harmful or not the one that was named leaves the present
one in use.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from tidewatt_agent.foresight import Foresight
from tidewatt_agent.modeltrial import why_not
from tidewatt_agent.policies import Policies
from tidewatt_link.durable import replace_file
from tidewatt_wire.messages import MODEL_CHUNK_BYTES, Model
from tidewatt_wire.topics import ModelTopic, every_chunk

log = logging.getLogger(__name__)

#: Real seconds between two looks at what the policy names.
LOOK_EVERY_S = 5.0


class Models:
    """What the policy wants for a model, how much of it is here, and which is in use."""

    def __init__(
        self,
        fleet: str,
        folder: Path | None,
        policies: Policies,
        foresight: Foresight,
        tried: Callable[[bytes, str], str] = why_not,
    ) -> None:
        """`folder`: where models are kept; None: one that is fetched doesn't outlive a restart.

        `tried` says why one that came isn't to be used, if so.
        """
        self._tried = tried
        self._fleet, self._folder, self._policies, self._foresight = fleet, folder, policies, foresight
        self._wanted: Model | str | None = None
        """What was last settled: a fetched model, a name that needs no fetching, or the configured one."""
        self._missing: Model | None = None
        self._chunks: dict[int, bytes] = {}
        self.refused = 0
        """Models that were fetched, or found, and not used."""

    @property
    def topics(self) -> list[str]:
        """What to subscribe to now: the chunks of the model that is missing."""
        return [every_chunk(self._fleet, self._missing.sha256)] if self._missing else []

    async def run(self, follow: Callable[[Sequence[str]], None]) -> None:
        """Bring the policy's model into use, for ever; `follow` is told which topics it takes."""
        while True:
            await self.look()
            follow(self.topics)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """See what the policy names now, and use it if it is here."""
        wanted = self._named()
        if wanted == self._wanted:
            return
        self._wanted, self._missing, self._chunks = wanted, None, {}
        if not isinstance(wanted, Model):
            await asyncio.to_thread(self._foresight.use_configured, wanted)
            return
        content = await asyncio.to_thread(self._kept, wanted)
        if content is None:
            self._missing = wanted
        else:
            await self._use(wanted, content)

    async def take(self, topic: ModelTopic, chunk: bytes) -> None:
        """Take a chunk from the fleet's model topics; the last missing one completes the model."""
        model = self._missing
        if model is None or topic.sha256 != model.sha256 or topic.index >= model.chunks:
            return
        if not chunk:  # a retained chunk that is being cleared away
            self._chunks.pop(topic.index, None)
            return
        self._chunks[topic.index] = chunk[: MODEL_CHUNK_BYTES + 1]
        if len(self._chunks) < model.chunks:
            return
        content = b"".join(self._chunks[index] for index in range(model.chunks))
        self._chunks = {}
        if why := _not_the_one(model, content):
            self._refuse(model, why)
            return
        self._missing = None
        if why := await asyncio.to_thread(self._tried, content, model.name):
            self._refuse(model, why)
            return
        await asyncio.to_thread(self._keep, model, content)
        await self._use(model, content)

    def _named(self) -> Model | str | None:
        name, held = self._policies.policy.model, self._policies.accepted
        if name is None or held is None:
            return None
        return next((model for model in held.models if model.name == name), name)

    async def _use(self, model: Model, content: bytes) -> None:
        if why := await asyncio.to_thread(self._foresight.use, content, model.name):
            self._refuse(model, why)
            return
        log.info("forecasts are by the model %s (%s) now", model.name, model.sha256[:12])
        await asyncio.to_thread(self._forget_others, model)

    def _refuse(self, model: Model, why: str) -> None:
        self.refused += 1
        log.warning("model %s is not used, the present one stays: %s", model.name, why)

    def _kept(self, model: Model) -> bytes | None:
        path = self._path(model)
        try:
            content = path.read_bytes() if path else None
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("model %s can't be read from %s: %s", model.name, path, error.strerror)
            return None
        return content if content and not _not_the_one(model, content) else None

    def _keep(self, model: Model, content: bytes) -> None:
        path = self._path(model)
        try:
            if path:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                replace_file(path, content)
        except OSError as error:
            log.warning("model %s can't be kept: %s; it is used all the same", model.name, error.strerror)

    def _forget_others(self, model: Model) -> None:
        path = self._path(model)
        try:
            for other in path.parent.glob("*.onnx") if path else ():
                if other != path:
                    other.unlink()
        except OSError as error:
            log.warning("an old model can't be removed: %s", error)

    def _path(self, model: Model) -> Path | None:
        return self._folder / f"{model.sha256}.onnx" if self._folder else None


def _not_the_one(model: Model, content: bytes) -> str:
    """Why these bytes are not the model that was named; "" if they are."""
    if len(content) != model.size:
        return f"{len(content)} bytes came, it has {model.size}"
    found = hashlib.sha256(content).hexdigest()
    return "" if found == model.sha256 else f"its sha256 begins with {found[:12]}, not {model.sha256[:12]}"
