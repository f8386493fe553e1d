"""The user's application, asked over HTTP/1.1: one request at a time per connection, kept between requests.

http.client would need a thread per request in flight (ADR 0013); this reads no more of HTTP than
it takes to know that an answer is whole, and whether it is a good one.
"""

import asyncio
import contextlib
import urllib.parse
from http import HTTPStatus

#: An answer longer than this is no answer of an inference service.
LONGEST_BODY = 64_000_000
CHUNK = 65_536
#: Heads are some hundred bytes; asyncio's own limit on a line is the one that holds.
MOST_HEADERS = 200
WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class BrokenAnswerError(OSError):
    """What came is no HTTP answer."""


class StaleConnectionError(Exception):
    """The server hung up before it said anything: on a kept connection it may have done so long ago."""


class Application:
    """Answers to one request, over as many connections as there are questions at a time."""

    def __init__(self, url: urllib.parse.SplitResult, method: str, body: bytes, content_type: str) -> None:
        """`url`: an http:// one, checked."""
        self._host, self._port = url.hostname or "", url.port or 80
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        head = [f"{method} {path} HTTP/1.1", f"Host: {url.netloc.rpartition('@')[2]}", "Accept: */*"]
        if body:
            head.append(f"Content-Type: {content_type}")
        if body or method not in ("GET", "HEAD"):
            head.append(f"Content-Length: {len(body)}")
        self._request = "\r\n".join([*head, "", ""]).encode("ascii") + body
        self._bodiless = method == "HEAD"
        self._idle: list[Connection] = []
        self.last_problem = ""
        """Why the last question that wasn't answered well wasn't."""

    async def ask(self) -> bool:
        """Whether the application answered well: in full, with a status below 400. Raises no OSError."""
        while self._idle:
            with contextlib.suppress(StaleConnectionError):
                return await self._judged(self._idle.pop())
        try:
            connection = await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            self.last_problem = error.strerror or str(error)
            return False
        try:
            return await self._judged(connection)
        except StaleConnectionError:
            self.last_problem = "the connection was closed without an answer"
            return False

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _judged(self, connection: Connection) -> bool:
        try:
            status = await self._on(connection)
        except StaleConnectionError:
            raise
        except (OSError, EOFError, ValueError) as error:
            self.last_problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return False
        if status >= HTTPStatus.BAD_REQUEST:
            self.last_problem = f"HTTP {status}"
        return status < HTTPStatus.BAD_REQUEST

    async def _on(self, connection: Connection) -> int:
        """The status of the answer on this connection, which is kept if it can be."""
        reader, writer = connection
        keep = False
        try:
            writer.write(self._request)
            status, headers = await _head(reader, await _first_line(reader))
            while status < HTTPStatus.OK:  # 100 Continue and the like come before the answer
                status, headers = await _head(reader, await _line(reader))
            whole = await _read_body(reader, headers, bodiless=self._bodiless or status in WITHOUT_BODY)
            keep = whole and "close" not in headers.get("connection", "").lower()
            return status
        finally:
            if keep:
                self._idle.append(connection)
            else:
                writer.close()


async def _first_line(reader: asyncio.StreamReader) -> str:
    """The line that an answer begins with. StaleConnectionError when the server hangs up instead."""
    try:
        line = await reader.readline()
    except ConnectionError as error:
        raise StaleConnectionError from error
    if not line:
        raise StaleConnectionError
    return _text(line)


async def _head(reader: asyncio.StreamReader, first: str) -> tuple[int, dict[str, str]]:
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit()):
        raise BrokenAnswerError(f"no HTTP answer: {version[:40]!r}")
    headers = {"connection": "close"} if version == "HTTP/1.0" else {}
    for _ in range(MOST_HEADERS):
        line = await _line(reader)
        if not line:
            return int(status), headers
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    raise BrokenAnswerError(f"more than {MOST_HEADERS} header lines")


async def _line(reader: asyncio.StreamReader) -> str:
    return _text(await reader.readline())


def _text(line: bytes) -> str:
    if not line.endswith(b"\n"):
        raise EOFError("the connection was closed in the middle of an answer")
    return line.decode("latin-1").strip("\r\n")


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str], *, bodiless: bool) -> bool:
    """Read the body and forget it; whether another answer may follow on the connection."""
    if bodiless:
        return True
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := int((await _line(reader)).partition(";")[0], 16):
            await _skip(reader, size + 2)
        while await _line(reader):
            pass  # trailers
        return True
    if "content-length" in headers:
        await _skip(reader, int(headers["content-length"]))
        return True
    with contextlib.suppress(EOFError):
        await _skip(reader, LONGEST_BODY)
    return False


async def _skip(reader: asyncio.StreamReader, size: int) -> None:
    if not 0 <= size <= LONGEST_BODY:
        raise BrokenAnswerError(f"a body of {size} bytes")
    while size > 0:
        part = await reader.read(min(size, CHUNK))
        if not part:
            raise EOFError("the connection was closed in the middle of an answer")
        size -= len(part)
