"""A broker that is nobody's friend: it lets devices in, and then says what it likes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.serving import serving

from tidewatt_link import fields

CONNECT, PUBLISH, SUBSCRIBE = 1, 3, 8


def publish(topic: bytes, payload: bytes = b"") -> bytes:
    """A message at QoS 0, as MQTT 5 writes it; nothing is checked."""
    return fields.packet(0x30, fields.binary(topic) + b"\0" + payload)


class HostileBroker:
    """Says `words` to everybody who has subscribed to something, over and over at each connection."""

    def __init__(self) -> None:
        self.words = b""
        self.said = 0
        """Connections to which they were said."""
        self.url = ""
        self._open: set[asyncio.StreamWriter] = set()

    def hang_up(self) -> None:
        """End every connection."""
        for writer in self._open:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                kind, body = await self._packet(reader)
                if kind >> 4 == CONNECT:
                    writer.write(b"\x20\x03\0\0\0")
                elif kind >> 4 == SUBSCRIBE:
                    writer.write(b"\x90\x04" + body[:2] + b"\0\0")
                elif kind >> 4 == PUBLISH and kind & 0x06:
                    at = 2 + int.from_bytes(body[:2], "big")
                    writer.write(b"\x40\x02" + body[at : at + 2])
                    writer.write(self.words)  # that was the birth: all is subscribed to
                    self.said += 1
                await writer.drain()
        finally:
            self._open.discard(writer)

    async def _packet(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        kind, length, shift = (await reader.readexactly(1))[0], 0, 0
        while True:
            digit = (await reader.readexactly(1))[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                return kind, await reader.readexactly(length)


@asynccontextmanager
async def hostile_broker() -> AsyncIterator[HostileBroker]:
    """On a free port."""
    broker = HostileBroker()
    async with serving(broker._answer) as port:
        broker.url = f"mqtt://127.0.0.1:{port}"
        yield broker
