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
        self._whole: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked here any more."""
        return self._transport is None or self._transport.is_closing()

    async def ask(self, question: bytes, limit_s: float) -> bytearray:
        """The answer, as far as it came if its connection ended.

        TimeoutError after `limit_s` seconds, another OSError when the connection is lost. Whatever ends the
        wait but the answer ends the connection, too: the answer may still come.
        """
        if self._transport is None or self._heard:  # what nobody asked for would be taken for the answer
            raise ConnectionResetError("the connection is not to be used")
        loop = asyncio.get_running_loop()
        self._whole = loop.create_future()
        # Every second: a timer costs less than a task that is waited for.
        late = loop.call_later(limit_s, self._fail, TimeoutError("timed out"))
        self._transport.write(question)
        try:
            await self._whole
        except BaseException:
            self.close()
            raise
        finally:
            late.cancel()
            self._whole = None
            heard, self._heard = self._heard, bytearray()
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
        self._heard += memoryview(self._room)[:nbytes]
        if self.complete(self._heard):
            self._fill()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.BaseProtocol. An answer may end with its connection."""
        self._transport = None
        if error or not self._heard:
            self._fail(error or ConnectionResetError("the connection was closed without an answer"))
        else:
            self._fill()

    @abstractmethod
    def complete(self, heard: bytearray) -> bool:
        """Whether the answer has come to its end, or to where it is too long."""

    def _fill(self) -> None:
        if self._whole and not self._whole.done():
            self._whole.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._whole and not self._whole.done():
            self._whole.set_exception(error)


class Lines(Exchange):
    """A line out, a line back."""

    def complete(self, heard: bytearray) -> bool:
        """At the end of the line."""
        return heard.endswith(b"\n") or len(heard) > LONGEST_LINE
