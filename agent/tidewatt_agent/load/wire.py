"""One kept HTTP/1.1 connection in the loop: a GET out, a whole answer in. Plain HTTP of this machine only.

The usual answer, 200 with a length, is taken apart here; every other is read by http.client, in one piece and
once it may be whole. A thread for it would cost the agent more than all the reading (ADR 0045).
"""

import asyncio
import http.client
import io
import os
import re
from typing import TYPE_CHECKING, NamedTuple, cast

from tidewatt_link.ending import within

if TYPE_CHECKING:
    import socket

#: A metrics page of a large application is under 1 MB.
MAX_PAGE_BYTES = 4_000_000
MAX_HEAD_BYTES = 65_536
_USUAL = re.compile(rb"HTTP/1\.1 200 ([ -~]{0,40})\r\n")
_CLOSES = re.compile(rb"\r\nconnection:", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)
_END = b"\r\n\r\n"


class Page(NamedTuple):
    """An answer: the status with its words, the body, and whether that is all of it."""

    status: int
    reason: str
    body: bytes
    whole: bool


class Wire(asyncio.Protocol):
    """The connection. One question at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._heard = bytearray()
        self._whole: asyncio.Future[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked here any more."""
        return self._transport is None or self._transport.is_closing()

    async def get(self, request: bytes, limit_s: float) -> Page:
        """The answer. OSError or HTTPException if none comes within `limit_s` seconds, or nonsense."""
        if self._transport is None or self._heard:  # what nobody asked for would be taken for the answer
            raise ConnectionResetError("the connection is not to be used")
        loop = asyncio.get_running_loop()
        self._whole = loop.create_future()
        late = loop.call_later(limit_s, self._fail, TimeoutError("timed out"))
        self._transport.write(request)
        try:
            await self._whole
            return self._read()
        except BaseException:
            self.close()  # the answer may still come
            raise
        finally:
            late.cancel()
            self._whole = None
            self._heard.clear()

    def close(self) -> None:
        """Let go of it."""
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._heard += data
        if self._complete():
            self._fill()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol. An answer may end with its connection."""
        self._transport = None
        if error or not self._heard:
            self._fail(error or http.client.RemoteDisconnected("the connection was closed without an answer"))
        else:
            self._fill()

    def _complete(self) -> bool:
        """Whether the answer has come to its end, or to where it is too long."""
        head = self._heard.find(_END)
        if head < 0:
            return len(self._heard) > MAX_HEAD_BYTES
        body = len(self._heard) - head - len(_END)
        if _CHUNKED.search(self._heard, 0, head + 2):
            return self._heard.endswith(b"0" + _END) or body > MAX_PAGE_BYTES
        length = _LENGTH.search(self._heard, 0, head + 2)
        return body >= min(int(length[1]) if length else MAX_PAGE_BYTES, MAX_PAGE_BYTES)

    def _read(self) -> Page:
        return self._usual() or self._any()

    def _usual(self) -> Page | None:
        """The answer of every second: 200, of a known length, on a connection that stays."""
        usual, head = _USUAL.match(self._heard), self._heard.find(_END) + 2
        if usual is None or _CLOSES.search(self._heard, 0, head) or _CHUNKED.search(self._heard, 0, head):
            return None
        lengths = _LENGTH.findall(self._heard, 0, head)
        body = bytes(self._heard[head + 2 :])
        if len(lengths) != 1 or int(lengths[0]) != len(body) or len(body) >= MAX_PAGE_BYTES:
            return None
        return Page(200, usual[1].decode(), body, whole=True)

    def _any(self) -> Page:
        answer = http.client.HTTPResponse(cast("socket.socket", _Heard(self._heard)), method="GET")
        answer.begin()
        try:
            body, whole = answer.read(MAX_PAGE_BYTES), True
        except http.client.IncompleteRead as error:
            body, whole = error.partial, False
        if answer.length or len(body) >= MAX_PAGE_BYTES:
            whole = False
        if answer.will_close or not whole:
            self.close()
        return Page(answer.status, answer.reason, body, whole)

    def _fill(self) -> None:
        if self._whole and not self._whole.done():
            self._whole.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._whole and not self._whole.done():
            self._whole.set_exception(error)


class _Heard:
    """What has come, as the socket that http.client reads an answer from."""

    def __init__(self, heard: bytearray) -> None:
        self._heard = heard

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._heard)


async def connect(host: str, port: int, limit_s: float) -> Wire:
    """A connection; OSError if there is none within `limit_s` seconds."""
    try:
        _, wire = await within(asyncio.get_running_loop().create_connection(Wire, host, port), limit_s)
    except asyncio.TimeoutError:
        raise TimeoutError("timed out") from None  # an OSError, on every Python
    except OSError as error:
        if (error.errno or 0) <= 0:  # several addresses, or none
            raise
        raise OSError(error.errno, os.strerror(error.errno or 0)) from error  # asyncio names the address anew
    return wire
