"""The load that applications tell over HTTP: every way to answer, and every way not to."""

import asyncio
import http.server
import re
import threading
from collections.abc import Iterator

import pytest
from tests.serving import nothing, serving
from tests.world import until

from tidewatt_agent.config import Load as LoadConfig
from tidewatt_agent.load.endpoint import Applications, Endpoint
from tidewatt_agent.load.reading import Reading
from tidewatt_agent.load.wire import Wire
from tidewatt_governor.sample import Load

PAGE = """\
# TYPE akidb_requests_total counter
akidb_requests_total{cluster="jetson",code="200"} 100
akidb_requests_total{cluster="jetson",code="503"} 5
akidb_requests_total{cluster="cloud",code="200"} 1000
akidb_requests_total_created 7
# TYPE akidb_request_seconds histogram
akidb_request_seconds_bucket{cluster="jetson",le="0.01"} 50
akidb_request_seconds_bucket{cluster="jetson",le="0.02"} 100
akidb_request_seconds_bucket{cluster="jetson",le="+Inf"} 105
other_metric 3
"""


class Application(http.server.BaseHTTPRequestHandler):
    """An application whose answers the test chooses."""

    protocol_version = "HTTP/1.1"
    status = 200
    requests = 0
    hang_up = False
    missing = 0

    def do_GET(self) -> None:
        body = f"akidb_requests_total {type(self).requests}\n".encode()
        self.send_response(type(self).status)
        self.send_header("Content-Length", str(len(body) + type(self).missing))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = type(self).hang_up

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def application() -> Iterator[tuple[type[Application], str]]:
    handler = type("ThisApplication", (Application,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_over_http_with_failures(
    application: tuple[type[Application], str], caplog: pytest.LogCaptureFixture
) -> None:
    app, url = application
    endpoint = Applications([LoadConfig(url=url, histogram="")])
    caplog.set_level("INFO")
    assert await endpoint.read(0.0) is None, "one reading is no rate"
    app.requests = 50
    load = await endpoint.read(10.0)
    assert load is not None
    assert (load.requests, load.rps) == (50, 5.0)

    app.status = 500
    assert await endpoint.read(20.0) is None
    assert await endpoint.read(30.0) is None
    assert caplog.text.count("gives no load: HTTP 500") == 1, "the first failure is news, the next is not"

    app.status, app.requests, app.hang_up = 200, 90, True
    load = await endpoint.read(40.0)
    assert load is not None
    assert (load.requests, load.interval_s) == (40, 30.0), "what was served meanwhile is counted"
    assert "answers again" in caplog.text

    app.requests = 91
    load = await endpoint.read(50.0)
    assert load is not None, "a connection that the server closed is opened again"
    endpoint.close()


async def test_asked_ahead_the_answer_is_read_once_and_on_a_connection_that_ended_asked_for_again(
    application: tuple[type[Application], str],
) -> None:
    app, url = application
    endpoint = Applications([LoadConfig(url=url, histogram="")])
    endpoint.ask()
    await endpoint.read(0.0)
    app.requests = 10
    endpoint.ask()
    endpoint.ask()
    await asyncio.sleep(0.1)
    app.requests, app.hang_up = 20, True
    assert await endpoint.read(10.0) == Load(requests=10, interval_s=10.0), "as it was when it was asked"
    endpoint.ask()
    await asyncio.sleep(0.1)
    app.requests = 30
    assert await endpoint.read(20.0) == Load(requests=10, interval_s=10.0), "its last word counts"
    endpoint.ask()
    assert await endpoint.read(30.0) == Load(requests=10, interval_s=10.0)
    endpoint.close()


async def test_a_page_that_was_cut_off_is_not_believed(
    application: tuple[type[Application], str],
) -> None:
    app, url = application
    endpoint = Applications([LoadConfig(url=url, histogram="")])
    app.requests = 123_456
    await endpoint.read(0.0)
    app.missing, app.hang_up, app.requests = 3, True, 123
    assert await endpoint.read(10.0) is None
    app.missing, app.requests = 0, 123_460
    load = await endpoint.read(20.0)
    assert load == Load(requests=4, interval_s=20.0)
    endpoint.close()


async def test_an_application_that_is_down_gives_no_load() -> None:
    async with serving(nothing) as port:
        endpoint = Applications([LoadConfig(url=f"http://127.0.0.1:{port}/metrics")])
        assert await endpoint.read(0.0) is None
    assert await endpoint.read(1.0) is None
    endpoint.close()


LINE = b"akidb_requests_total 7\n"
CHUNKS = b"5\r\nakidb\r\n12;x=y\r\n_requests_total 7\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length:23\r\n\r\n" + LINE,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        b"HTTP/1.0 200 OK\r\n\r\n" + LINE,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 23\r\n\r\n" + LINE,
        b"HTTP/1.1 200 \r\nContent-Length: 23\r\nX: " + b"y" * 600 + b"\r\n\r\n" + LINE,
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
async def test_every_way_to_answer(answer: bytes, piece: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            for start in range(0, len(answer), piece):
                writer.write(answer[start : start + piece])
                await asyncio.sleep(0)
            if b"HTTP/1.0" in answer or b"close" in answer:
                break

    async with serving(serve) as port:
        config = LoadConfig(url=f"http://127.0.0.1:{port}/a/page?x=y", histogram="", timeout_s=30.0)
        endpoint = Endpoint(config)
        for _ in range(3):
            assert await endpoint.read() == Reading({"akidb_requests_total": 7.0})
        endpoint.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + LINE, "cut off after 23 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + LINE, "cut off"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP 404 Not Found"),
        (b"x" * 70_000, "status line|xxx"),
        (b"", "closed the connection|closed|reset"),
    ],
)
async def test_an_answer_that_is_none_says_why(answer: bytes, why: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with serving(serve) as port:
        endpoint = Endpoint(LoadConfig(url=f"http://127.0.0.1:{port}/", histogram=""))
        assert re.search(why, await endpoint.why_not())
        assert await endpoint.read() is None
        endpoint.close()


async def test_what_nobody_asked_for_is_not_kept_in_memory() -> None:
    """A good page, and then a stream without an end, while something else is waited for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with serving(serve) as port:
        _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port)
        wire.ask(b"GET / HTTP/1.1\r\n\r\n", 30.0)
        await until(lambda: wire.closed)
        page = await wire.page()
    assert page.body == b"ab"


async def test_an_application_that_says_nothing_is_not_waited_for() -> None:
    async def say_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(say_nothing) as port:
        endpoint = Endpoint(LoadConfig(url=f"http://127.0.0.1:{port}/", timeout_s=0.05))
        assert await endpoint.why_not() == "timed out"
        endpoint.close()


async def test_one_application_away_is_no_load_known_and_nothing_is_lost(
    application: tuple[type[Application], str],
) -> None:
    app, url = application
    async with serving(nothing) as port:
        pages = [
            LoadConfig(url=url, histogram=""),
            LoadConfig(url=f"http://127.0.0.1:{port}/status", kind="nginx"),
        ]
        both = Applications(pages)
        assert await both.read(0.0) is None
    served = 0

    async def stub_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = f"server accepts handled requests\n 1 1 {served} \n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()

    async with serving(stub_status, port):
        assert await both.read(10.0) is None, "the first reading of both together"
        app.requests, served = 30, 12
        load = await both.read(20.0)
        assert load == Load(requests=42, interval_s=10.0)

        app.status, app.requests, served = 500, 40, 20
        assert await both.read(30.0) is None
        app.status = 200
        load = await both.read(40.0)
        assert load == Load(requests=18, interval_s=20.0), "what both served meanwhile is counted once"
        both.close()
