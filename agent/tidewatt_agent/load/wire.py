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

from tidewatt_agent.exchange import Exchange
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


class Wire(Exchange):
    """The connection."""

    def __init__(self) -> None:
        super().__init__()
        self._page: Page | None = None

    async def page(self) -> Page:
        """The answer. OSError or HTTPException if none comes in time, or nonsense."""
        heard = await self.answer()
        page, self._page = self._page, None
        return page or self._any(heard)

    def complete(self, heard: bytearray) -> bool:
        """See Exchange.complete."""
        head = heard.find(_END)
        if head < 0:
            return len(heard) > MAX_HEAD_BYTES
        self._page = _usual(heard, head + 2)
        if self._page:
            return True
        body = len(heard) - head - len(_END)
        if _CHUNKED.search(heard, 0, head + 2):
            return heard.endswith(b"0" + _END) or body > MAX_PAGE_BYTES
        length = _LENGTH.search(heard, 0, head + 2)
        return body >= min(int(length[1]) if length else MAX_PAGE_BYTES, MAX_PAGE_BYTES)

    def _any(self, heard: bytearray) -> Page:
        """Whatever http.client takes for an answer."""
        answer = http.client.HTTPResponse(cast("socket.socket", _Heard(heard)), method="GET")
        try:
            answer.begin()
            body, whole = answer.read(MAX_PAGE_BYTES), True
        except http.client.IncompleteRead as error:
            body, whole = error.partial, False
        except BaseException:
            self.close()  # whatever it is, more of it may come
            raise
        if answer.length or len(body) >= MAX_PAGE_BYTES:
            whole = False
        if answer.will_close or not whole:
            self.close()
        return Page(answer.status, answer.reason, body, whole)


def _usual(heard: bytearray, head: int) -> Page | None:
    """The answer of every second: 200, of a known length, on a connection that stays. `head`: its length."""
    usual, lengths = _USUAL.match(heard), _LENGTH.findall(heard, 0, head)
    size = len(heard) - head - 2
    if usual is None or len(lengths) != 1 or int(lengths[0]) != size or size >= MAX_PAGE_BYTES:
        return None
    if _CLOSES.search(heard, 0, head) or _CHUNKED.search(heard, 0, head):
        return None
    return Page(200, usual[1].decode(), bytes(heard[head + 2 :]), whole=True)


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
