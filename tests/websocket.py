"""The websocket side of a broker, before one that has none: frames in, MQTT out, and back (RFC 6455)."""

import asyncio
import base64
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator

from tests.serving import serving

from tidewatt_link.ending import ended

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE = 2, 8


@contextlib.asynccontextmanager
async def websockets_before(broker: tuple[str, int], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve websockets on /mqtt in front of a broker's plain port; yields the port."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _bridge(reader, writer, broker)

    async with serving(take, tls=tls) as port:
        yield port


async def _bridge(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, broker: tuple[str, int]
) -> None:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    key = next(line.split(": ")[1] for line in lines if line.lower().startswith("sec-websocket-key"))
    if lines[0] != "GET /mqtt HTTP/1.1" or headers["sec-websocket-protocol"] != "mqtt":
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return
    accept = base64.b64encode(hashlib.sha1(f"{key}{GUID}".encode()).digest()).decode()  # noqa: S324 - RFC 6455
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n".encode()
    )
    from_broker, to_broker = await asyncio.open_connection(*broker)
    back = asyncio.ensure_future(_back(from_broker, writer))
    try:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while (payload := await _frame(reader)) is not None:
                to_broker.write(payload)
                await to_broker.drain()
    finally:
        await ended(back)
        to_broker.close()
        writer.close()


async def _back(from_broker: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await from_broker.read(4096):
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
        writer.write(bytes([0x80 | BINARY]) + size + data)
        await writer.drain()


async def _frame(reader: asyncio.StreamReader) -> bytes | None:
    """The payload of a client's frame; None for its goodbye."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(size)
    if first & 0x0F == CLOSE:
        return None
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))
