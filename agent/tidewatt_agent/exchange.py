"""One kept connection in the loop: a question out, a whole answer in, one at a time.

What comes is read into room of our own: asyncio would ask the kernel for 256 KiB at every read and give
them back, which costs more than the reading (ADR 0045).
"""

import asyncio
from abc import abstractmethod
from typing import cast

#: Bytes taken from the kernel at once; what is asked every second gives less.
ROOM = 16_384
LONGEST_LINE = 65_536


class Exchange(asyncio.BufferedProtocol):
    """The connection. When an answer is whole says who derives from this."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._room = bytearray(ROOM)
        self._heard = bytearray()
        self._ended: asyncio.Future[Exception | None] | None = None
        self._late: asyncio.TimerHandle | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked here any more."""
        return self._transport is None or self._transport.is_closing()

    @property
    def asked(self) -> bool:
        """Whether there is a question of which nobody took the answer."""
        return self._ended is not None

    def ask(self, question: bytes, limit_s: float) -> None:
        """Put a question, to be answered within `limit_s` seconds. OSError if it can't be put here."""
        if self._transport is None or self._heard or self._ended:
            self.close()  # what nobody asked for would be taken for the answer
            raise ConnectionResetError("the connection is not to be used")
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        # Every second: a timer costs less than a task that is waited for.
        self._late = loop.call_later(limit_s, self._end, TimeoutError("timed out"))
        self._transport.write(question)

    async def answer(self) -> bytearray:
        """The answer to what was asked, as far as it came if its connection ended.

        TimeoutError when it is late, another OSError when the connection is lost. Whatever ends the wait but
        the answer ends the connection, too: the answer may still come.
        """
        assert self._ended  # noqa: S101 - it was asked
        whole = False
        try:
            error = await self._ended
            whole = error is None
        finally:
            if not whole:
                self.close()
            if self._late:
                self._late.cancel()
            self._ended = self._late = None
            heard, self._heard = self._heard, bytearray()
        if error:
            raise error
        return heard

    def close(self) -> None:
        """Let go of it."""
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, _sizehint: int) -> bytearray:
        """See asyncio.BufferedProtocol."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio.BufferedProtocol."""
        if self._ended is None or self._ended.done():
            self.close()  # nobody asked for that, and nobody takes it: it may have no end
            return
        self._heard += memoryview(self._room)[:nbytes]
        if self.complete(self._heard):
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.BaseProtocol. An answer may end with its connection."""
        self._transport = None
        if not error and not self._heard:
            error = ConnectionResetError("the connection was closed without an answer")
        self._end(error)

    @abstractmethod
    def complete(self, heard: bytearray) -> bool:
        """Whether the answer has come to its end, or to where it is too long."""

    def _end(self, error: Exception | None) -> None:
        if self._ended and not self._ended.done():
            self._ended.set_result(error)


class Lines(Exchange):
    """A line out, a line back."""

    def complete(self, heard: bytearray) -> bool:
        """At the end of the line."""
        return heard.endswith(b"\n") or len(heard) > LONGEST_LINE
