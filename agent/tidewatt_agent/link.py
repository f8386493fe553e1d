"""The link to the coordinator: MQTT 5, birth and last will, QoS 1, reconnecting for ever.

Reports wait in the outbox while the broker is away. What comes from its spool, or is told again, carries
the MQTT user property `replayed`, so that nobody takes it for the present.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tidewatt_agent.answers import Answers
from tidewatt_agent.bed import Bed
from tidewatt_agent.coordinators import Coordinators
from tidewatt_agent.outbox import Outbox
from tidewatt_link.connection import CannotConnect, Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Birth, Report, Will
from tidewatt_wire.sleeping import SleepState
from tidewatt_wire.topics import (
    REPLAYED,
    DeviceKind,
    DeviceTopic,
    EnergyTopic,
    FleetTopic,
    HintTopic,
    ModelTopic,
    PlanTopic,
    Topic,
    WakeTopic,
    parse,
)

log = logging.getLogger(__name__)

KEEPALIVE_S = 15
FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
#: Messages that may wait to be read, twice a model's chunks; a broker that floods us fills no memory.
MOST_UNREAD = 256
#: Real seconds that the goodbye may wait for a broker that may be gone.
GOODBYE_S = 2.0


def pause_s(spread_s: float, failures: int, chance: float) -> float:
    """How long to wait before the next try, after so many failed ones; `chance` is from 0 to 1.

    Anywhere in the whole time, so that a fleet doesn't come back all at once: a handshake that is given up
    before the broker came to it was work for nothing, and the next try adds more of it.
    """
    doubled_s = spread_s * 2.0 ** min(failures, 16)
    return chance * max(spread_s, min(LONGEST_BACKOFF_S, doubled_s))


class Link:
    """The device's half of the conversation. `send` never blocks; `run` never ends by itself."""

    def __init__(
        self,
        broker: Connection,
        fleet: str,
        birth: Callable[[], Birth],
        on_policy: Callable[[bytes], Awaitable[None]],
        outbox: Outbox | None = None,
        acks: Answers | None = None,
        on_chunk: Callable[[ModelTopic, bytes], Awaitable[None]] | None = None,
        spread_s: float = FIRST_BACKOFF_S,
        on_signal: Callable[[EnergyTopic, bytes], None] = lambda _topic, _payload: None,
        on_hint: Callable[[bytes], None] = lambda _payload: None,
        on_plan: Callable[[bytes], None] = lambda _payload: None,
        on_wake: Callable[[bytes], None] = lambda _payload: None,
        sealed: Callable[[SleepState], bytes] = encode,
    ) -> None:
        """`on_policy` takes a policy set's bytes, `on_chunk` a part of a model; `acks`: the answers.

        `on_signal` takes what energy is worth, `on_hint` a hint to sleep, `on_plan` what the plan asks,
        `on_wake` an order to wake a neighbour.

        `sealed` makes of a word on sleep what is sent of it, in a thread.

        `spread_s`: what was lost is sought again at a moment of so many seconds.
        """
        self._spread_s = spread_s
        self._broker, self._fleet = broker, fleet
        self._birth, self._on_policy = birth, on_policy
        self._acks = acks or Answers()
        self._on_chunk, self._on_signal, self._on_hint, self._on_plan = on_chunk, on_signal, on_hint, on_plan
        self._on_wake, self._sealed = on_wake, sealed
        self._bed = Bed()
        self._wanted: frozenset[str] = frozenset()
        self._wants_others = asyncio.Event()
        self._device = birth().device
        self.outbox = outbox or Outbox()
        """What waits to be sent."""
        self.coordinators = Coordinators(fleet)
        """Whether a coordinator is there."""
        self._leaving = False
        self.connected = False
        self.refused = False
        """Whether the broker's host refused the last try: it answers, so this device's network is there."""
        self.connections = 0
        self.unasked = 0
        """Messages on topics that nobody here subscribed to; the first is logged."""
        self.told_ms = 0
        """When the newest report of this run was made that the broker has acknowledged."""

    @property
    def certificate_ends_s(self) -> float | None:
        """When the certificate that is shown to the broker ends, in Unix seconds; None without one."""
        return self._broker.certificate_ends_s()

    def send(self, report: Report, *, past: bool = False) -> Report:
        """Queue a report, which leaves as soon as there is a connection; the report as it is told.

        `past`: it tells of an earlier time, perhaps of an earlier run.
        """
        return self.outbox.put(report, past=past)

    def follow(self, topics: Sequence[str]) -> None:
        """Subscribe to these topics, beside the policy's, and to no others any more."""
        if self._wanted != frozenset(topics):
            self._wanted = frozenset(topics)
            self._wants_others.set()

    def say(self, state: Callable[[str], SleepState]) -> None:
        """Keep this, made for the session's name, as the device's word on its sleep from now on."""
        self._bed.say(state)

    async def rest(self, state: Callable[[str], SleepState], within_s: float) -> bool:
        """Hand in what waits, say this last, and be gone without a will; whether that was done in time.

        Either way it ends by `wake`.
        """
        return await self._bed.rest(state, within_s)

    def wake(self, state: Callable[[str], SleepState]) -> None:
        """Connect again, and say this."""
        self._bed.wake(state)

    async def flushed(self) -> None:
        """Return when every report queued so far is acknowledged by the broker, or in the spool."""
        await self.outbox.flushed()

    async def run(self) -> None:
        """Stay connected for ever; ends only by cancellation, and then says goodbye."""
        failures = 0
        while True:
            connections = self.connections
            try:
                await self._one_connection()
            except aiomqtt.MqttError as error:
                if self._leaving:  # the goodbye failed, but gone we are
                    raise asyncio.CancelledError from error
                self.refused = isinstance(error, CannotConnect) and error.host_refused
                log.warning("link: %s; trying again", error)
            finally:
                self.connected = False
                self.coordinators.forget()
            if await self._bed.slept():
                failures = 0
                continue
            failures = 0 if self.connections > connections else failures + 1
            await asyncio.sleep(pause_s(self._spread_s, failures, random.random()))  # noqa: S311 - no secret

    async def _one_connection(self) -> None:
        birth = self._birth()
        async with self._broker.client(
            identifier=f"tidewatt-{self._fleet}-{self._device}",
            keepalive=KEEPALIVE_S,
            clean_start=True,
            max_queued_incoming_messages=MOST_UNREAD,
            will=aiomqtt.Will(self._topic("will"), encode(_will(birth, lost=True)), qos=1, retain=True),
        ) as client:
            halves: set[asyncio.Task[None]] = set()
            try:
                await client.subscribe(str(FleetTopic(self._fleet, "policy")), qos=1)
                await client.subscribe(str(FleetTopic(self._fleet, "state")), qos=1)
                await client.publish(self._topic("birth"), encode(birth), qos=1, retain=True)
                self.connected, self.refused = True, False
                self._bed.reconnected()
                self.connections += 1
                log.info("link: connected to %s", self._broker.url)
                halves = {
                    asyncio.create_task(self._send_all(client)),
                    asyncio.create_task(self._answer_all(client)),
                    asyncio.create_task(self._follow_all(client)),
                    asyncio.create_task(self._listen(client)),
                    asyncio.create_task(self._say_all(client, birth.session)),
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
                await ended(*halves)

    async def _send_all(self, client: aiomqtt.Client) -> None:
        while True:
            parcel = await self.outbox.next()
            await client.publish(
                self._topic("report"),
                parcel.payload,
                qos=1,
                properties=_replayed() if parcel.replayed else None,
            )
            # Only an acknowledged report is forgotten.
            self.outbox.sent(parcel)
            if not parcel.replayed:  # those may be of another run, when the clock stood elsewhere
                self.told_ms = max(self.told_ms, parcel.at_ms)

    async def _answer_all(self, client: aiomqtt.Client) -> None:
        self._acks.reconnected()
        while True:
            ack = await self._acks.next()
            await client.publish(self._topic("ack"), encode(ack), qos=1, retain=True)
            self._acks.sent(ack)

    async def _say_all(self, client: aiomqtt.Client, session: str) -> None:
        """Say what is to be said of sleep; returns, which ends the connection, when it was the last word."""
        while True:
            state, last = await self._bed.next()
            if last:
                await self.outbox.flushed()
            # The first signature loads what signs; the file lies on a card.
            word = await asyncio.to_thread(self._sealed, state(session))
            await client.publish(self._topic("sleep"), word, qos=1, retain=True)
            if last:
                self._bed.said()
                return

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
            await self.take(str(message.topic), bytes(message.payload))

    async def take(self, topic: str, payload: bytes) -> None:
        """Take what the broker sends. What nobody subscribed to is counted: a broker may be anybody's."""
        try:
            at = parse(topic)
        except ValueError as error:
            self._wonder(str(error))
            return
        if isinstance(at, ModelTopic) and self._on_chunk:
            await self._on_chunk(at, payload)
        elif isinstance(at, FleetTopic) and at.kind == "policy":
            if payload:  # an empty one is a retained set being taken away
                await self._on_policy(payload)
        else:
            self._take_at_once(at, payload)

    def _take_at_once(self, at: Topic, payload: bytes) -> None:
        match at:
            case HintTopic():
                self._on_hint(payload)
            case PlanTopic():
                self._on_plan(payload)
            case WakeTopic():
                self._on_wake(payload)
            case EnergyTopic():
                self._on_signal(at, payload)
            case FleetTopic(kind="state"):
                self.coordinators.take(payload)
            case _:
                self._wonder(f"nobody here subscribed to {at}")

    def _wonder(self, why: str) -> None:
        if not self.unasked:
            log.warning("link: the broker sends what wasn't asked for: %s", why[:300])
        self.unasked += 1

    def _topic(self, kind: DeviceKind) -> str:
        return str(DeviceTopic(self._fleet, self._device, kind))


def _will(birth: Birth, *, lost: bool) -> Will:
    return Will(
        device=birth.device,
        session=birth.session,
        epoch=birth.epoch,
        cause="lost" if lost else "stopped",
    )


def _replayed() -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [(REPLAYED, "1")]
    return properties
