"""A lean MQTT 5 client over TLS in the place of aiomqtt's, so that one process can be thousands of devices.

It waits as long as aiomqtt and paho do, and fails with their error, so the agent's own Link runs on it
unchanged: its order of things, its retries and its jitter are the product's.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, cast

import aiomqtt
from paho.mqtt.properties import Properties

from benchmarks.fleet import packets
from tidewatt_link.connection import CannotConnect, Connection
from tidewatt_wire.brokers import Credentials

#: As paho's: for the TCP connection; for the handshake; and aiomqtt's, for any answer. Seconds.
CONNECT_S, HANDSHAKE_S, ANSWER_S = 5.0, 15.0, 10.0
#: A broker that doesn't answer a ping for this long is gone.
PONG_S = 15.0
LARGEST_READ = 65536
#: Handshakes of one process at a time. More would wait for its processor with their timeouts running, and
#: what is then measured is a machine that plays 10,000 devices, not a broker that meets them.
TURNS = 100


class Heard(NamedTuple):
    """A message, as the link looks at it."""

    topic: str
    payload: bytes


class Line(asyncio.Protocol):
    """One connection: TLS, packets, and who waits for which answer."""

    def __init__(self, context: ssl.SSLContext, host: str, aside: Callable[[Heard], bool]) -> None:
        """`aside` looks at each message first, and may keep it from the link."""
        self._aside = aside
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._reader = packets.Reader()
        loop = asyncio.get_running_loop()
        self.secured: asyncio.Future[None] = loop.create_future()
        self.broken: asyncio.Future[None] = loop.create_future()
        self._welcomed: asyncio.Future[int] = loop.create_future()
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._heard: asyncio.Queue[Heard | None] = asyncio.Queue()
        self._number = 0
        self._transport: asyncio.Transport | None = None
        self._spoke_s = self._answered_s = loop.time()
        self.why = ""

    # From the socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio.Protocol's."""
        self._transport = cast("asyncio.Transport", transport)
        self._pump()

    def data_received(self, data: bytes) -> None:
        """As asyncio.Protocol's."""
        self._incoming.write(data)
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio.Protocol's."""
        self.why = self.why or str(exc or "the broker hung up")
        unanswered: list[asyncio.Future[Any]] = [self.secured, self._welcomed, *self._answers.values()]
        for waiting in unanswered:
            if not waiting.done():
                waiting.cancel()
        if not self.broken.done():
            self.broken.set_result(None)
        self._heard.put_nowait(None)

    def _pump(self) -> None:
        try:
            if not self.secured.done():
                self._tls.do_handshake()
                self.secured.set_result(None)
            while some := self._tls.read(LARGEST_READ):
                for packet in self._reader.take(some):
                    self._take(packet)
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, asyncio.InvalidStateError) as error:
            self.why = str(error)
            self.cut()
        self._flush()

    def _flush(self) -> None:
        if (some := self._outgoing.read()) and self._transport:
            self._transport.write(some)

    def _take(self, packet: packets.Packet) -> None:
        self._answered_s = asyncio.get_running_loop().time()
        if packet.kind == packets.PUBLISH:
            message = packets.said(packet)
            if message.number is not None:
                self.write(packets.acknowledge(message.number))
            heard = Heard(message.topic, message.payload)
            if not self._aside(heard):
                self._heard.put_nowait(heard)
        elif packet.kind == packets.CONNACK:
            self._welcomed.set_result(packet.body[1])
        elif packet.kind in (packets.PUBACK, packets.SUBACK, packets.UNSUBACK):
            number, code = packets.answered(packet)
            if (waiting := self._answers.get(number)) and not waiting.done():
                waiting.set_result(code)
        elif packet.kind == packets.DISCONNECT:
            self.why = f"the broker says goodbye, code {packet.body[0] if packet.body else 0:#x}"

    # To the broker.

    def write(self, some: bytes) -> None:
        """Send bytes; what is sent on a broken line is lost, and the answer that doesn't come tells."""
        if not self.broken.done():
            self._tls.write(some)
            self._spoke_s = asyncio.get_running_loop().time()
            self._flush()

    def cut(self) -> None:
        """Break the connection without a goodbye."""
        if self._transport:
            self._transport.abort()

    async def welcomed(self, hello: bytes) -> None:
        """Say hello; MqttError unless the broker takes it."""
        self.write(hello)
        code = await _in_time(self._welcomed, ANSWER_S, self)
        if code >= packets.REFUSED:
            raise aiomqtt.MqttError(f"the broker refuses the connection, code {code:#x}")

    async def _ask(self, made: bytes, number: int) -> None:
        waiting = self._answers[number] = asyncio.get_running_loop().create_future()
        self.write(made)
        try:
            code = await _in_time(waiting, ANSWER_S, self)
        finally:
            del self._answers[number]
        if code >= packets.REFUSED:
            raise aiomqtt.MqttError(f"the broker refuses it, code {code:#x}")

    def _next(self) -> int:
        self._number = self._number % 65535 + 1
        return self._number

    async def publish(
        self,
        topic: str,
        payload: bytes,
        qos: int = 1,  # noqa: ARG002 - there is but one
        retain: bool = False,
        properties: Properties | None = None,
        timeout: float = ANSWER_S,  # noqa: ARG002 - aiomqtt's signature
    ) -> None:
        """As aiomqtt's, and a refusal by the broker is an error."""
        packed = properties.pack() if properties else packets.NO_PROPERTIES  # type: ignore[no-untyped-call]
        number = self._next()
        await self._ask(packets.publish(topic, payload, number, retain=retain, properties=packed), number)

    async def subscribe(self, topic: str, qos: int = 1) -> None:  # noqa: ARG002 - there is but one
        """As aiomqtt's."""
        number = self._next()
        await self._ask(packets.subscribe(topic, number), number)

    async def unsubscribe(self, topic: str) -> None:
        """As aiomqtt's."""
        number = self._next()
        await self._ask(packets.unsubscribe(topic, number), number)

    @property
    async def messages(self) -> AsyncIterator[Heard]:
        """As aiomqtt's: ends with MqttError when the line breaks."""
        while (heard := await self._heard.get()) is not None:
            yield heard
        raise aiomqtt.MqttError(self.why)

    def look_after(self, now_s: float, keepalive_s: float) -> None:
        """To be called every second or so: ping, or give up a broker that doesn't answer pings."""
        if now_s - self._answered_s > keepalive_s + PONG_S:
            self.why = "the broker doesn't answer pings"
            self.cut()
        elif now_s - self._spoke_s > keepalive_s - 1.0 or now_s - self._answered_s > keepalive_s:
            self.write(packets.PING)


class Door(Connection):
    """The agent's Connection, with lean lines; the certificates are read by the agent's own code."""

    _turns = asyncio.Semaphore(TURNS)
    lines: "set[Line]" = set()  # noqa: RUF012 - of all devices in the process: one look after them all

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        source: str,
        aside: Callable[[Heard], bool] = lambda _h: False,
    ) -> None:
        """`source`: the address to connect from, as one has ports for 28,000 lines only."""
        super().__init__(url, credentials, setting="link.broker")
        self._aside = aside
        self._context: ssl.SSLContext | None = None
        self._source = source
        self.line: Line | None = None
        self.welcomed_s = 0.0
        """When the last line was made: the loop's time, which is the monotonic clock's."""
        self.attempts = 0
        """Connections that were begun,"""
        self.failed = 0
        """and those that never came about."""

    def prepare(self) -> ssl.SSLContext:
        """Read the certificates, once: unlike the agent, whose board has a processor of its own for it."""
        context = self._context = self._context or self.tls()
        assert context is not None  # noqa: S101 - the benchmark's broker has TLS
        return context

    @contextlib.asynccontextmanager
    async def client(self, **more: Any) -> AsyncIterator[aiomqtt.Client]:
        """A line that the broker has welcomed, as Connection's."""
        self.attempts += 1
        line: Line | None = None
        try:
            # A device's own processor isn't busy with the handshakes of thousands of others.
            async with self._turns:
                line = await self._reached()
                will = packets.Will(more["will"].topic, more["will"].payload) if more.get("will") else None
                await line.welcomed(packets.connect(more["identifier"], more.get("keepalive", 60), will))
        except (OSError, aiomqtt.MqttError) as error:
            self.failed += 1
            if line:
                line.cut()
            raise CannotConnect(str(error) or type(error).__name__) from error
        self.line, self.welcomed_s = line, asyncio.get_running_loop().time()
        self.lines.add(line)
        try:
            yield cast("aiomqtt.Client", line)
        finally:
            line.write(packets.GOODBYE)
            self.lines.discard(line)
            self.line = None
            line.cut()

    async def _reached(self) -> Line:
        loop, context = asyncio.get_running_loop(), self.prepare()
        making = loop.create_connection(
            lambda: Line(context, self.url.host, self._aside),
            self.url.host,
            self.url.port,
            local_addr=(self._source, 0),
        )
        try:
            _, line = await asyncio.wait_for(making, CONNECT_S)
        except asyncio.TimeoutError as error:
            raise aiomqtt.MqttError("no connection") from error
        try:
            await _in_time(line.secured, HANDSHAKE_S, line)
        except aiomqtt.MqttError:
            line.cut()
            raise
        return line


async def look_after_lines(keepalive_s: float) -> None:
    """Ping for all lines of this process, for ever."""
    while True:
        await asyncio.sleep(1.0)
        now_s = asyncio.get_running_loop().time()
        for line in list(Door.lines):
            line.look_after(now_s, keepalive_s)


async def _in_time(waiting: "asyncio.Future[Any]", longest_s: float, line: Line) -> Any:
    # The line's end cancels who waits on it; that is an error of the line, not an end of the task.
    await asyncio.wait([waiting], timeout=longest_s)
    if not waiting.done():
        waiting.cancel()
        raise aiomqtt.MqttError("no answer in time")
    if waiting.cancelled():
        raise aiomqtt.MqttError(line.why)
    return waiting.result()
