"""The link to the coordinator: MQTT 5, birth and last will, QoS 1, reconnecting for ever.

Reports wait in a bounded queue while the broker is away. Counters are cumulative, so when
the queue is full the oldest report goes: totals stay exact, only detail in time is lost.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import aiomqtt

from tidewatt_agent.answers import Answers
from tidewatt_agent.connection import Connection
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Birth, Report, Will
from tidewatt_wire.topics import DeviceKind, DeviceTopic, FleetTopic, ModelTopic, parse

log = logging.getLogger(__name__)

KEEPALIVE_S = 15
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0
#: Real seconds that the goodbye may wait for a broker that may be gone.
GOODBYE_S = 2.0
#: An hour of reports at the default 10 s.
MOST_WAITING = 360


class Link:
    """The device's half of the conversation. `send` never blocks; `run` never ends by itself."""

    def __init__(
        self,
        broker: Connection,
        fleet: str,
        birth: Callable[[], Birth],
        on_policy: Callable[[bytes], Awaitable[None]],
        acks: Answers | None = None,
        on_chunk: Callable[[ModelTopic, bytes], Awaitable[None]] | None = None,
    ) -> None:
        """`on_policy` takes a policy set's bytes, `on_chunk` a part of a model; `acks`: the answers."""
        self._broker, self._fleet = broker, fleet
        self._birth, self._on_policy = birth, on_policy
        self._acks = acks or Answers()
        self._on_chunk = on_chunk
        self._wanted: frozenset[str] = frozenset()
        self._wants_others = asyncio.Event()
        self._device = birth().device
        self._waiting: deque[Report] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._leaving = False
        self.connected = False
        self.connections = 0
        self.dropped = 0
        self.told_ms = 0
        """When the newest report was made that the broker has acknowledged."""

    def send(self, report: Report) -> None:
        """Queue a report; it leaves as soon as there is a connection."""
        self.dropped += len(self._waiting) == MOST_WAITING
        self._waiting.append(report)
        self._empty.clear()
        self._news.set()

    def follow(self, topics: Sequence[str]) -> None:
        """Subscribe to these topics, beside the policy's, and to no others any more."""
        if self._wanted != frozenset(topics):
            self._wanted = frozenset(topics)
            self._wants_others.set()

    async def flushed(self) -> None:
        """Return when the broker has acknowledged every report queued so far."""
        await self._empty.wait()

    async def run(self) -> None:
        """Stay connected for ever; ends only by cancellation, and then says goodbye."""
        backoff_s = FIRST_BACKOFF_S
        while True:
            connections = self.connections
            try:
                await self._one_connection()
            except aiomqtt.MqttError as error:
                if self._leaving:  # the goodbye failed, but gone we are
                    raise asyncio.CancelledError from error
                log.warning("link: %s; trying again in %.1f s", error, backoff_s)
            finally:
                self.connected = False
            if self.connections > connections:
                backoff_s = FIRST_BACKOFF_S
            # Jitter, so that a fleet does not come back all at once.
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            backoff_s = min(LONGEST_BACKOFF_S, backoff_s * 2.0)

    async def _one_connection(self) -> None:
        birth = self._birth()
        async with self._broker.client(
            identifier=f"tidewatt-{self._fleet}-{self._device}",
            keepalive=KEEPALIVE_S,
            clean_start=True,
            will=aiomqtt.Will(self._topic("will"), encode(_will(birth, lost=True)), qos=1, retain=True),
        ) as client:
            halves: set[asyncio.Task[None]] = set()
            try:
                await client.subscribe(str(FleetTopic(self._fleet, "policy")), qos=1)
                await client.publish(self._topic("birth"), encode(birth), qos=1, retain=True)
                self.connected = True
                self.connections += 1
                log.info("link: connected to %s", self._broker.url)
                halves = {
                    asyncio.create_task(self._send_all(client)),
                    asyncio.create_task(self._answer_all(client)),
                    asyncio.create_task(self._follow_all(client)),
                    asyncio.create_task(self._listen(client)),
                }
                done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
                for half in done:
                    half.result()
            except asyncio.CancelledError:
                self._leaving = True
                goodbye = encode(_will(birth, lost=False))
                await client.publish(self._topic("will"), goodbye, qos=1, retain=True, timeout=GOODBYE_S)
                raise
            finally:
                for half in halves:
                    half.cancel()
                await asyncio.gather(*halves, return_exceptions=True)

    async def _send_all(self, client: aiomqtt.Client) -> None:
        while True:
            # What an earlier connection left comes first, without waiting for news.
            self._news.clear()
            while self._waiting:
                report = self._waiting[0]
                await client.publish(self._topic("report"), encode(report), qos=1)
                self.told_ms = max(self.told_ms, report.at_ms)
                # Only an acknowledged report leaves the queue; a full queue may have dropped it itself.
                if self._waiting and self._waiting[0] is report:
                    self._waiting.popleft()
            self._empty.set()
            await self._news.wait()

    async def _answer_all(self, client: aiomqtt.Client) -> None:
        self._acks.reconnected()
        while True:
            ack = await self._acks.next()
            await client.publish(self._topic("ack"), encode(ack), qos=1, retain=True)
            self._acks.sent(ack)

    async def _follow_all(self, client: aiomqtt.Client) -> None:
        followed: frozenset[str] = frozenset()
        while True:
            self._wants_others.clear()
            wanted = self._wanted
            for topic in sorted(wanted - followed):
                await client.subscribe(topic, qos=1)
            for topic in sorted(followed - wanted):
                await client.unsubscribe(topic)
            followed = wanted
            await self._wants_others.wait()

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic, payload = parse(str(message.topic)), bytes(message.payload)
            if isinstance(topic, ModelTopic):
                if self._on_chunk:
                    await self._on_chunk(topic, payload)
            elif payload:  # an empty one is a retained set being taken away
                await self._on_policy(payload)

    def _topic(self, kind: DeviceKind) -> str:
        return str(DeviceTopic(self._fleet, self._device, kind))


def _will(birth: Birth, *, lost: bool) -> Will:
    return Will(
        device=birth.device,
        session=birth.session,
        epoch=birth.epoch,
        cause="lost" if lost else "stopped",
    )
