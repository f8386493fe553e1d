"""The small HTTP client of the sweep against a server that says whatever the test wants."""

import asyncio
import contextlib
import urllib.parse
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.serving import serving

from tidewatt_agent.calibrate.application import Application

KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\n1\r\ne\r\n0\r\nTrailer: 1\r\n\r\n"
)


class Server:
    """Answers each request with the next of its answers; None hangs up instead."""

    def __init__(self, answers: Sequence[bytes | None]) -> None:
        self.answers, self.heard, self.connections = list(answers), [], 0  # type: ignore[var-annotated]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answers:
            head = await reader.readuntil(b"\r\n\r\n")
            size = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self.heard.append(head + await reader.readexactly(int(size or 0)))
            answer = self.answers.pop(0)
            if answer is None:
                break
            writer.write(answer)
            await writer.drain()
            if b"content-length" not in answer.lower() and b"chunked" not in answer and b"204" not in answer:
                break


@contextlib.asynccontextmanager
async def asked(
    answers: Sequence[bytes | None], method: str = "GET", body: bytes = b""
) -> AsyncIterator[tuple[Server, Application]]:
    server = Server(answers)
    async with serving(server.talk) as port:
        url = urllib.parse.urlsplit(f"http://127.0.0.1:{port}/embed?x=1")
        application = Application(url, method, body, "application/json")
        try:
            yield server, application
        finally:
            application.close()


@pytest.mark.parametrize(
    ("answer", "good", "connections"),
    [
        (KEPT, True, 1),
        (CHUNKED, True, 1),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + KEPT, True, 1),
        (KEPT.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), True, 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", True, 2),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", True, 2),
        (KEPT.replace(b"200 OK", b"302 Found"), True, 1),
        (KEPT.replace(b"200 OK", b"404 Not Found"), False, 1),
        (KEPT.replace(b"200 OK", b"503 Busy"), False, 1),
    ],
)
async def test_answers_are_judged_and_connections_kept(answer: bytes, good: bool, connections: int) -> None:
    async with asked([answer, answer]) as (server, application):
        assert [await application.ask(), await application.ask()] == [good, good]
        assert server.connections == connections
        assert (application.last_problem == "") == good


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"SSH-2.0-x\r\nContent-Length: 1\r\n\r\n", "no HTTP answer: 'SSH-2.0-x'"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", "a body of 9999999999 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a body of -1 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "invalid literal"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "invalid literal"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n", "more than 200 header lines"),
        (None, "the connection was closed without an answer"),
        (b"HTTP/1.1 200", "the connection was closed in the middle of an answer"),
    ],
)
async def test_what_is_no_answer_is_a_failure_with_a_reason(answer: bytes | None, problem: str) -> None:
    async with asked([answer]) as (_, application):
        assert not await application.ask()
        assert problem in application.last_problem


async def test_a_connection_that_the_server_closed_meanwhile_is_no_failure() -> None:
    async with asked([KEPT, None, KEPT]) as (server, application):
        assert await application.ask()
        assert await application.ask(), "it hangs up on the kept connection, and is asked on a new one"
        assert (server.connections, len(server.heard)) == (2, 3)


async def test_what_breaks_in_the_middle_is_not_asked_again() -> None:
    broken = b"HTTP/1.1 200 OK\r\n"
    async with asked([KEPT, broken, KEPT]) as (server, application):
        assert [await application.ask(), await application.ask()] == [True, False]
        assert len(server.heard) == 2, "a request that was begun to be answered may have been done"


async def test_as_many_connections_as_questions_at_a_time() -> None:
    async with asked([KEPT] * 8) as (server, application):
        assert all(await asyncio.gather(*(application.ask() for _ in range(4))))
        assert all(await asyncio.gather(*(application.ask() for _ in range(4))))
        assert server.connections == 4


async def test_the_request_is_what_was_asked_for() -> None:
    async with asked([KEPT], "POST", b'{"text": "x"}') as (server, application):
        assert await application.ask()
        (heard,) = server.heard
    assert heard.startswith(b"POST /embed?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nContent-Type: application/json\r\nContent-Length: 13\r\n" in heard
    assert heard.endswith(b'{"text": "x"}')


async def test_nobody_there_is_a_failure_not_an_error() -> None:
    application = Application(urllib.parse.urlsplit("http://127.0.0.1:1/"), "GET", b"", "")
    assert not await application.ask()
    assert "refused" in application.last_problem or "Connect call failed" in application.last_problem
