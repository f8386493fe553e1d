"""Hearing all that is said on some topics: messages in bulk, each acknowledged when its hearer says so.

The session outlives a short absence, so the broker keeps what came meanwhile. It sends no more than a window
of messages that have no acknowledgement yet: who is slow to acknowledge slows the broker, and needs no more
memory than the window.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import aiomqtt
import msgspec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tidewatt_link import packets
from tidewatt_link.connection import TIMEOUT_S, Connection
from tidewatt_link.ending import within
from tidewatt_link.fields import BadPacket
from tidewatt_link.packets import Packet, Said

KEEPALIVE_S = 60
#: So long a broker has to read what was acknowledged, and to hang up as it should after a goodbye, seconds.
FAREWELL_S = 2.0
#: Of one subscription, which is all that a connection makes.
NUMBER = 1

Take = Callable[[Sequence[Said]], None]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be heard, and how."""

    identifier: str
    """By it the broker knows the session again."""
    topics: tuple[str, ...]
    """Filters; one of `$share/GROUP/...` shares its messages with all others of the group."""
    session_s: int
    """For how long the broker keeps the session while nobody is there; 0: not at all, nor an earlier one."""
    window: int
    """Messages that may be under way without an acknowledgement, 1 to 65,535."""
    keepalive_s: int = KEEPALIVE_S
    """The broker misses us after one and a half of it."""


class Line(Protocol):
    """One connection that stands and is subscribed."""

    @property
    def broker_ends_s(self) -> float | None:
        """When the certificate that the broker showed here ends, in Unix seconds; None without TLS."""

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """Have the broker forget these messages; none without a number, and none of another connection."""

    def pause(self, *, paused: bool) -> None:
        """Leave what comes next in the socket, or go on taking it."""

    async def ended(self) -> None:
        """Return never; MqttError when the connection breaks."""


@contextlib.asynccontextmanager
async def subscribed(connection: Connection, asked: Asked, take: Take) -> AsyncIterator[Line]:
    """A line on which `take` gets what comes, even before it is yielded; CannotConnect says why not."""
    way = _carried if connection.url.transport == "websockets" else _direct
    async with way(connection, asked, take) as line:
        yield line


@contextlib.asynccontextmanager
async def _direct(connection: Connection, asked: Asked, take: Take) -> AsyncIterator[Line]:
    shown = await asyncio.to_thread(connection.arguments)
    line, loop = _Direct(asked, take, shown), asyncio.get_running_loop()
    tls: ssl.SSLContext | None = shown["tls_context"]
    try:
        try:
            made = loop.create_connection(
                lambda: line, shown["hostname"], shown["port"],
                ssl=tls, server_hostname=shown["hostname"] if tls else None,
            )  # fmt: skip
            await within(made, TIMEOUT_S)
            await within(asyncio.shield(line.ready), TIMEOUT_S)
        except asyncio.TimeoutError:
            raise connection.cannot("timed out") from None
        except (OSError, aiomqtt.MqttError) as error:
            raise connection.cannot(_words(error)) from error
        yield line
    finally:
        await line.hang_up()


class _Direct(asyncio.Protocol):
    """A line that reads its packets itself."""

    def __init__(self, asked: Asked, take: Take, shown: dict[str, Any]) -> None:
        self._asked, self._take, self._shown = asked, take, shown
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self._lost: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._held, self._heard_s, self._paused = b"", 0.0, False
        self._leaving = False
        """Whether the goodbye was said: what comes now is for the next of this session."""
        self._pinging: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio says it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_connection makes no other
        self._transport, self._heard_s = transport, time.monotonic()
        shown, asked = self._shown, self._asked
        transport.write(
            packets.connect(
                asked.identifier, asked.keepalive_s, asked.session_s, asked.window,
                shown["username"], shown["password"],
            )
        )  # fmt: skip
        self._ping()

    def data_received(self, data: bytes) -> None:
        """As asyncio says it."""
        self._heard_s = time.monotonic()
        if self._leaving:
            return
        held = self._held + data if self._held else data
        try:
            said, others, at = packets.split(held)
            self._held = held[at:]
            for packet in others:
                self._answered(packet)
        except BadPacket as error:
            self._break(aiomqtt.MqttError(f"it speaks no MQTT 5: {error}"))
            return
        if said:
            self._take(said)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio says it."""
        if self._pinging:
            self._pinging.cancel()
        self._fail(aiomqtt.MqttError(_words(exc) if exc else "Connection reset: it hung up"))

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """See Line."""
        if self._transport and numbers and not self._leaving and not self._lost.done():
            self._transport.write(packets.acknowledgements(numbers))

    def pause(self, *, paused: bool) -> None:
        """See Line."""
        if not self._transport or self._lost.done() or paused == self._paused:
            return
        self._paused, self._heard_s = paused, time.monotonic()
        (self._transport.pause_reading if paused else self._transport.resume_reading)()

    async def ended(self) -> None:
        """See Line."""
        await asyncio.shield(self._lost)

    @property
    def broker_ends_s(self) -> float | None:
        """See Line."""
        return _ends_s(self._transport.get_extra_info("ssl_object")) if self._transport else None

    async def hang_up(self) -> None:
        """Say goodbye; the session stays."""
        if self._transport is None:
            return
        # Whoever takes the session over at once must not be told what we acknowledged, and a busy broker
        # forgets that only when it reads it: it hangs up when it has read all. Who never answered won't.
        self._transport.write(packets.GOODBYE)
        self.pause(paused=False)
        self._leaving = True
        try:
            if self.ready.done():
                with contextlib.suppress(asyncio.TimeoutError, aiomqtt.MqttError):
                    await within(asyncio.shield(self._lost), FAREWELL_S)
        finally:
            self._transport.abort()
            for one in (self.ready, self._lost):
                if one.done() and not one.cancelled():
                    one.exception()  # looked at, so that nobody complains that nobody did

    def _answered(self, packet: Packet) -> None:
        if packet.kind not in (packets.CONNACK, packets.SUBACK, packets.DISCONNECT):
            return
        worst = max(packets.reasons(packet), default=0)
        if worst >= packets.REFUSED or packet.kind == packets.DISCONNECT:
            self._break(aiomqtt.MqttError(_meaning(packet.kind, worst)))
        elif packet.kind == packets.CONNACK and self._transport:
            self._transport.write(packets.subscribe(self._asked.topics, NUMBER))
        elif not self.ready.done():
            self.ready.set_result(None)

    def _ping(self) -> None:
        if self._transport is None or self._lost.done():
            return
        if not self._paused and time.monotonic() - self._heard_s > 1.5 * self._asked.keepalive_s:
            self._break(aiomqtt.MqttError("it has said nothing for too long"))
            return
        self._transport.write(packets.PING)
        self._pinging = asyncio.get_running_loop().call_later(self._asked.keepalive_s / 2, self._ping)

    def _break(self, error: Exception) -> None:
        self._fail(error)
        if self._transport:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        for one in (self.ready, self._lost):
            if not one.done():
                one.set_exception(error)


@contextlib.asynccontextmanager
async def _carried(connection: Connection, asked: Asked, take: Take) -> AsyncIterator[Line]:
    """By aiomqtt, which speaks websockets, and is slower."""
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval, session.ReceiveMaximum = asked.session_s, asked.window

    class AtOnce(asyncio.Queue[aiomqtt.Message]):
        """Holds nothing: what isn't taken yet waits at the broker, and not in a queue without a bound."""

        def put_nowait(self, item: aiomqtt.Message) -> None:
            number = item.mid if item.qos else 0
            packed = bytes(item.properties.pack()) if item.properties else b""  # type: ignore[no-untyped-call]
            properties = packets.after_length(packed) if packed else b""
            take([(str(item.topic), bytes(item.payload), number, properties)])

    async with connection.client(
        by_hand=True,
        identifier=asked.identifier,
        clean_start=not asked.session_s,
        keepalive=asked.keepalive_s,
        properties=session,
        queue_type=AtOnce,
    ) as client:
        for topic in asked.topics:
            await client.subscribe(topic, qos=1)
        yield _Carried(client)


class _Carried:
    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    def acknowledge(self, numbers: Sequence[int]) -> None:
        """See Line."""
        for number in numbers:
            self._client._client.ack(number, 1)  # noqa: SLF001 - aiomqtt has no name for it

    def pause(self, *, paused: bool) -> None:
        """See Line; here the window alone holds the broker back."""

    @property
    def broker_ends_s(self) -> float | None:
        """See Line."""
        carrier = self._client._client.socket()  # noqa: SLF001 - aiomqtt has no name for it
        return _ends_s(getattr(carrier, "_socket", carrier))  # paho's websocket wraps the one of TLS

    async def ended(self) -> None:
        """See Line."""
        async for _ in self._client.messages:
            pass  # nothing waits here; this ends when the connection does
        raise aiomqtt.MqttError("it hung up")


def _ends_s(guarded: object) -> float | None:
    """When the certificate ends that was shown to one end of a TLS connection; None if it is none."""
    if not isinstance(guarded, ssl.SSLSocket | ssl.SSLObject):
        return None
    shown = guarded.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"]))) if "notAfter" in shown else None


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno:
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error) or type(error).__name__


def _meaning(kind: int, code: int) -> str:
    """A refusal in words."""
    try:
        return f"{ReasonCode(kind, identifier=code)}"
    except KeyError:
        return f"reason code {code}"
