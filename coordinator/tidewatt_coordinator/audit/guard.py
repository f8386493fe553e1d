"""Looks at the chain every hour, and tells its head outside: to the log, and retained to the broker.

Who can write to the database could write the whole chain anew, or cut its end. The head that was told
before is then no longer in it: that is seen at the next look, said, and the told head is left as it is.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiomqtt
import msgspec
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.audit.chain import Broken, Head
from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.config import Config
from tidewatt_link.connection import Connection
from tidewatt_link.ending import within
from tidewatt_wire.codec import Refused, decode, encode
from tidewatt_wire.messages import AuditAnchor
from tidewatt_wire.topics import FleetTopic

log = logging.getLogger(__name__)

#: Real seconds between two looks; the first waits until a broker that came up with us is there.
FIRST_S, EVERY_S = 10.0, 3600.0
LOGGED_EVERY_S = 86_400.0
#: A broker sends what it keeps at once; after this long it keeps nothing.
WAITS_S = 1.0
#: Sections that are told as they are; of the others, which name files and addresses, a digest is enough.
PLAIN = ("budgets", "sla", "policy")


class Seen(msgspec.Struct, frozen=True):
    """What a look saw."""

    head: Head
    broken: Broken | None
    at_s: float


class Guard:
    """`run` never ends by itself; `look` may be called from a test."""

    def __init__(
        self, trail: Trail, broker: Connection, config: Config, may: Callable[[], bool] = lambda: True
    ) -> None:
        self._trail, self._broker, self._may, self._config = trail, broker, may, config
        self._fleet = config.coordinator.fleet
        self._anchors: list[Head] = []
        self._logged_s = -LOGGED_EVERY_S
        self.seen: Seen | None = None

    async def run(self) -> None:
        """Look for ever; a look that fails is told, and the next one tries again."""
        await self._attempt(asyncio.to_thread(self.note_configuration))
        pause_s = FIRST_S
        while True:
            await asyncio.sleep(pause_s)
            await self._attempt(self.look())
            pause_s = EVERY_S

    async def look(self) -> Seen:
        """Check the whole chain against every head that was told, and tell the new one."""
        kept = await retained(self._broker, self._fleet)
        anchors = [*self._anchors, *([kept] if kept else [])]
        head, broken = await asyncio.to_thread(self._trail.verify, anchors)
        self.seen = seen = Seen(head, broken, time.time())
        if broken:
            log.error("audit: broken at entry %d: %s", broken.sequence, broken.why)
            return seen
        self._anchors = [head]
        if time.monotonic() - self._logged_s >= LOGGED_EVERY_S:
            self._logged_s = time.monotonic()
            log.info("audit: it holds; its head is %s", head)
        if head != kept and self._may():
            await tell(self._broker, self._fleet, head, int(seen.at_s * 1000))
        return seen

    def note_configuration(self) -> None:
        """An entry if this coordinator's configuration is another than at its last start."""
        name = self._config.coordinator.called
        now = shown(self._config)
        last = self._trail.newest(1, what="configuration", subject=name)
        before = msgspec.json.decode(last[0].after) if last else None
        if before != now:
            told = {"before": before, "after": now, "why": "the file's content at the start"}
            self._trail.record("configuration", name, fleet=self._fleet, **told)

    async def _attempt(self, work: Awaitable[object]) -> None:
        try:
            await work
        except (SQLAlchemyError, aiomqtt.MqttError, asyncio.TimeoutError, OSError) as error:
            log.warning("audit: %s; trying again", str(error).partition("\n")[0] or type(error).__name__)


def shown(config: Config) -> dict[str, Any]:
    """A configuration by sections: a digest each, and what people decide by as it is."""
    sections = msgspec.json.decode(msgspec.json.encode(config))
    return {
        name: section
        if name in PLAIN
        else hashlib.sha256(msgspec.json.encode(section, order="sorted")).hexdigest()[:16]
        for name, section in sections.items()
    }


async def retained(broker: Connection, fleet: str) -> Head | None:
    """The head that the broker keeps; None if it keeps none that can be read."""
    topic = str(FleetTopic(fleet, "audit"))
    async with broker.client(identifier=f"tidewatt-{fleet}-audit-{time.monotonic_ns():x}") as client:
        await client.subscribe(topic, qos=1)
        try:
            message = await within(client.messages.__anext__(), WAITS_S)
        except asyncio.TimeoutError:
            return None
    try:
        said = decode(AuditAnchor, bytes(message.payload))
    except Refused as error:
        log.warning("audit: what the broker keeps can't be read: %s", error)
        return None
    return Head(said.sequence, said.sha256)


async def tell(broker: Connection, fleet: str, head: Head, at_ms: int) -> None:
    """Have the broker keep a head."""
    said = AuditAnchor(fleet=fleet, sequence=head.sequence, sha256=head.sha256, at_ms=at_ms)
    async with broker.client(identifier=f"tidewatt-{fleet}-audit-{time.monotonic_ns():x}") as client:
        await client.publish(str(FleetTopic(fleet, "audit")), encode(said), qos=1, retain=True)
