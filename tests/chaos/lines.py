"""Lines that can be bad: a TCP proxy between one client and its server, on a thread of its own."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

from tests.ports import free_port

CHUNK = 16_384
#: Linger for no time: the other end hears a reset, not a goodbye.
AT_ONCE = struct.pack("ii", 1, 0)


class Line:
    """What one client dials; everything on it can be changed while it is up."""

    def __init__(self, name: str, upstream: int) -> None:
        self.name, self.upstream = name, upstream
        """`upstream`: the server's port on 127.0.0.1."""
        self.port = free_port()
        self.delay_s = 0.0
        """Seconds that each piece takes, each way."""
        self.bytes_per_s = 0.0
        """0: as fast as it goes."""
        self.refuses = False
        """Whoever dials is hung up on."""
        self.stalled = False
        """Connections stay, and nothing passes."""
        self.dialled = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()

    @property
    def good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not (self.delay_s or self.bytes_per_s or self.refuses or self.stalled)

    async def serve(self) -> None:
        """Listen for ever."""
        self._flows.set()
        async with await asyncio.start_server(self._carry, "127.0.0.1", self.port) as server:
            await server.serve_forever()

    def changed(self) -> None:
        """Act on what was set; on the lines' own thread."""
        if self.stalled:
            self._flows.clear()
        else:
            self._flows.set()
        if self.refuses:
            self.cut()

    def cut(self) -> None:
        """Reset every connection; on the lines' own thread."""
        for writer in list(self._open):
            _reset(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled += 1
        if self.refuses:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            _reset(writer)
            return
        ends = {writer, far_writer}
        self._open |= ends
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except OSError:
            pass
        finally:
            self._open -= ends
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(CHUNK):
            await self._flows.wait()
            slow_s = len(piece) / self.bytes_per_s if self.bytes_per_s else 0.0
            if self.delay_s or slow_s:
                await asyncio.sleep(self.delay_s + slow_s)
                await self._flows.wait()
            writer.write(piece)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof() if writer.can_write_eof() else writer.close()


class Lines:
    """All of them, and the thread that carries."""

    def __init__(self) -> None:
        self.by_name: dict[str, Line] = {}
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._thread.start()

    def new(self, name: str, upstream: int) -> Line:
        """A good line."""
        line = self.by_name[name] = Line(name, upstream)
        self._do(self._begin(line))
        _until_listening(line.port)
        return line

    def put(
        self,
        line: Line,
        *,
        delay_s: float = 0.0,
        bytes_per_s: float = 0.0,
        refuses: bool = False,
        stalled: bool = False,
    ) -> None:
        """Make it so and no other; without arguments it is good again."""
        line.delay_s, line.bytes_per_s = delay_s, bytes_per_s
        line.refuses, line.stalled = refuses, stalled
        self._loop.call_soon_threadsafe(line.changed)

    def cut(self, line: Line) -> None:
        """Reset its connections."""
        self._loop.call_soon_threadsafe(line.cut)

    def close(self) -> None:
        """Hang up everywhere."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _begin(self, line: Line) -> None:
        self._tasks.append(asyncio.create_task(line.serve()))

    async def _end(self) -> None:
        for line in self.by_name.values():
            line.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=2.0) if self._tasks else None
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed is let go of in the loop's next round
        await asyncio.sleep(0)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


def _reset(writer: asyncio.StreamWriter) -> None:
    if found := writer.get_extra_info("socket"):
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()


def _until_listening(port: int) -> None:
    for _ in range(1000):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise RuntimeError(f"no line at {port}")
