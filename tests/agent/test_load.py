"""The application's load: from its own metrics page, over real HTTP; unknown is never zero."""

import asyncio
import contextlib
import http.server
import re
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world import until

from tidewatt_agent.config import Load as LoadConfig
from tidewatt_agent.load.endpoint import Applications, Endpoint
from tidewatt_agent.load.pages import KNOWN, Exposition, parse_stub_status
from tidewatt_agent.load.reading import Reading, Unreadable, load_between, together
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


def one(requests: float, *buckets: tuple[float, float]) -> Reading:
    """A reading of an application with a single series."""
    return Reading({"r": requests}, {str(bound): (bound, count) for bound, count in buckets})


def total(reading: Reading) -> float:
    return sum(reading.requests.values())


def test_matching_series_are_taken() -> None:
    reading = Exposition("akidb_requests_total", "akidb_request_seconds", {"cluster": "jetson"}).read(PAGE)
    assert total(reading) == 105.0
    assert sorted(reading.buckets.values()) == [(0.01, 50.0), (0.02, 100.0), (float("inf"), 105.0)]
    assert total(Exposition("akidb_requests_total").read(PAGE)) == 1105.0


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("r_total\t12345", 12345.0),
        ('r_total{a="1"} 5 # {trace_id="x"} 0.5', 5.0),
        ('r_total{a="1"} 5 1700000000000', 5.0),
        ('r_total{a="}",b="q\\"}"}  7', 7.0),
        ("r_total 1e3", 1000.0),
    ],
)
def test_every_way_to_write_a_sample(line: str, value: float) -> None:
    exposition = Exposition("r_total")
    assert total(exposition.read(line + "\n")) == value
    assert total(exposition.read(line + "\n")) == value, "of a series that is known, too"


@pytest.mark.parametrize("after", ["", " 1700000000000", "\t1700000000000", " ", ' # {trace_id="x"} 0.5'])
def test_a_page_is_read_again_as_it_was_read_first(after: str) -> None:
    exposition = Exposition("r_total", "h")
    page = f'r_total{{a="b c"}} 5{after}\nr_total{{a="d"}} 7{after}\nh_bucket{{le="1"}} 3{after}\n'
    first = exposition.read(page)
    assert (total(first), first.buckets['h_bucket{le="1"}']) == (12.0, (1.0, 3.0))
    for _ in range(3):
        assert exposition.read(page) == first
    assert total(exposition.read(page.replace(" 5", " 6"))) == 13.0


def test_series_restart_and_vanish_each_on_its_own() -> None:
    before = Reading({"a": 100_000.0, "b": 50_000.0})
    assert load_between(before, Reading({"a": 100_010.0}), 1.0).requests == 10, "b is gone, not restarted"
    assert load_between(before, Reading({"a": 100_100.0, "b": 5.0}), 1.0).requests == 105, "b restarted"
    assert load_between(before, Reading({**before.requests, "c": 3.0}), 1.0).requests == 3, "c is new"


@pytest.mark.parametrize(
    "page", ["", "<html>", "akidb_requests_total{", "akidb_requests_total NaN\n", "x 1\n"]
)
def test_a_page_without_the_counter_says_so(page: str) -> None:
    with pytest.raises(Unreadable, match="akidb_requests_total|exposition"):
        Exposition("akidb_requests_total").read(page)


@given(st.text(max_size=200), st.booleans())
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_page_is_read_or_refused(page: str, named: bool) -> None:
    text = f"akidb_requests_total{page}" if named else page
    with contextlib.suppress(Unreadable):
        assert total(Exposition("akidb_requests_total", "h").read(text)) >= 0


def test_differences() -> None:
    before = one(100.0, (0.01, 0.0), (0.02, 0.0), (float("inf"), 0.0))
    after = one(200.0, (0.01, 90.0), (0.02, 100.0), (float("inf"), 100.0))
    load = load_between(before, after, 10.0)
    assert (load.requests, load.rps) == (100, 10.0)
    assert load.p95_ms == pytest.approx(15.0)
    assert load_between(after, after, 10.0).p95_ms is None, "no requests, no latency"
    with pytest.raises(ValueError, match="holds no load"):
        load_between(before, after, 0.0)


def test_a_restart_of_the_application_counts_from_zero() -> None:
    before = one(1000.0, (0.01, 900.0), (float("inf"), 1000.0))
    after = one(30.0, (0.01, 30.0), (float("inf"), 30.0))
    load = load_between(before, after, 10.0)
    assert load.requests == 30
    assert load.p95_ms == pytest.approx(9.5)


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=20))
@settings(derandomize=True, deadline=None)
def test_whole_requests_add_up(totals: list[float]) -> None:
    totals.sort()
    counted = sum(load_between(one(a), one(b), 1.0).requests for a, b in pairwise(totals))
    assert counted == int(totals[-1]) - int(totals[0])


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
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Applications([LoadConfig(url=f"http://127.0.0.1:{port}/metrics")])
    assert await endpoint.read(0.0) is None
    server.close()
    await server.wait_closed()
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
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                for start in range(0, len(answer), piece):
                    writer.write(answer[start : start + piece])
                    await asyncio.sleep(0)
                if b"HTTP/1.0" in answer or b"close" in answer:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(LoadConfig(url=f"http://127.0.0.1:{port}/a/page?x=y", histogram="", timeout_s=30.0))
    for _ in range(3):
        assert await endpoint.read() == Reading({"akidb_requests_total": 7.0})
    endpoint.close()
    server.close()


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
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(LoadConfig(url=f"http://127.0.0.1:{port}/", histogram=""))
    assert re.search(why, await endpoint.why_not())
    assert await endpoint.read() is None
    endpoint.close()
    server.close()


async def test_what_nobody_asked_for_is_not_kept_in_memory() -> None:
    """A good page, and then a stream without an end, while something else is waited for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    async with server:
        _, wire = await loop.create_connection(Wire, *server.sockets[0].getsockname())
        wire.ask(b"GET / HTTP/1.1\r\n\r\n", 30.0)
        await until(lambda: wire.closed)
        page = await wire.page()
    assert page.body == b"ab"


async def test_an_application_that_says_nothing_is_not_waited_for() -> None:
    silent = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(LoadConfig(url=f"http://127.0.0.1:{port}/", timeout_s=0.05))
    assert await endpoint.why_not() == "timed out"
    silent.set()
    endpoint.close()
    server.close()


@pytest.mark.parametrize("url", ["https://x/", "localhost:80", "file:///etc/passwd", "http://"])
def test_a_url_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an http:// URL"):
        Endpoint(LoadConfig(url=url))


def test_servers_whose_names_are_known() -> None:
    triton = (
        'nv_inference_request_success{model="a",version="1"} 5\nnv_inference_request_success{model="b"} 7\n'
    )
    assert total(Exposition(*KNOWN["triton"]).read(triton)) == 12.0
    vllm = (
        'vllm:request_success_total{finished_reason="stop",model_name="m"} 3\n'
        'vllm:request_success_total{finished_reason="length",model_name="m"} 1\n'
        'vllm:e2e_request_latency_seconds_bucket{le="0.3",model_name="m"} 3\n'
        'vllm:e2e_request_latency_seconds_bucket{le="+Inf",model_name="m"} 4\n'
    )
    reading = Exposition(*KNOWN["vllm"]).read(vllm)
    assert total(reading) == 4.0
    assert sorted(reading.buckets.values()) == [(0.3, 3.0), (float("inf"), 4.0)]


def test_nginx_stub_status() -> None:
    page = (
        "Active connections: 291 \nserver accepts handled requests\n"
        " 16630948 16630948 31070465 \nReading: 6 Writing: 179 Waiting: 106 \n"
    )
    assert total(parse_stub_status(page)) == 31_070_465.0
    for wrong in ("", page[:70], page.replace("requests", "nonsense"), "<html>404</html>"):
        with pytest.raises(Unreadable, match="not nginx's stub_status page"):
            parse_stub_status(wrong)


def test_together_rates_add_up_and_the_worst_latency_counts() -> None:
    one = Load(requests=100, interval_s=10.0, p95_ms=20.0)
    other = Load(requests=50, interval_s=10.0, p95_ms=70.0)
    unknown = Load(requests=1, interval_s=10.0)
    assert together([one, other, unknown]) == Load(requests=151, interval_s=10.0, p95_ms=70.0)
    assert together([unknown]).p95_ms is None


async def test_one_application_away_is_no_load_known_and_nothing_is_lost(
    application: tuple[type[Application], str],
) -> None:
    app, url = application
    away = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = away.sockets[0].getsockname()[1]
    both = Applications(
        [LoadConfig(url=url, histogram=""), LoadConfig(url=f"http://127.0.0.1:{port}/status", kind="nginx")]
    )
    assert await both.read(0.0) is None

    away.close()
    await away.wait_closed()
    served = 0

    async def stub_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = f"server accepts handled requests\n 1 1 {served} \n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    back = await asyncio.start_server(stub_status, "127.0.0.1", port)
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
    back.close()
