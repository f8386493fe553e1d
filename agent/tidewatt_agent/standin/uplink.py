"""A stand-in board's network: a relay to the broker, which is cut while the board sleeps or has lost it."""

import asyncio
import contextlib
from collections.abc import Callable

CHUNK = 65_536


class Uplink:
    """Relays to one address as long as `dead()` is false; `listen` and `close` once each."""

    def __init__(self, host: str, port: int, dead: Callable[[], bool]) -> None:
        self._host, self._port, self._dead = host, port, dead
        self._server: asyncio.AbstractServer | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self) -> int:
        """Listen on this machine; the port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """End all that goes through it."""
        for writer in list(self._open):
            writer.close()

    def close(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()
        self.cut()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whatever ends one way ends the other, and neither is an error of the room's.
        with contextlib.suppress(OSError, asyncio.CancelledError), contextlib.closing(writer):
            if self._dead():
                return
            far_reader, far = await asyncio.open_connection(self._host, self._port)
            ends = {writer, far}
            self._open |= ends
            try:
                await asyncio.gather(_pass(reader, far), _pass(far_reader, writer))
            finally:
                self._open -= ends
                far.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()
