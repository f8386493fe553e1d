"""Log lines of one shape on all sides and without secrets; spans where they are asked for."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi import FastAPI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tidewatt_coordinator.config import parse_config
from tidewatt_coordinator.levers.measured import Measured
from tidewatt_coordinator.observing import logs, tracing
from tidewatt_coordinator.observing.settings import Log, Tracing
from tidewatt_link import logs as plain
from tidewatt_wire.documents import DocumentError

SAYING = logging.getLogger("tidewatt_coordinator.saying")
SECRETS = {
    "mqtts://ada:hunter2222@broker:8883 is away": "hunter2222",
    "postgresql+psycopg://tw:s3cr3t-word@db/l refused": "s3cr3t-word",
    "sent Authorization: Bearer tw_0123456789abcdef": "tw_0123456789abcdef",
    "headers {'authorization': 'Basic YWRhOmh1bnRlcg=='}": "YWRhOmh1bnRlcg==",
    'asked {"api_key": "k-998877665544"}': "k-998877665544",
    "token=abcdef123456 is over": "abcdef123456",
    "got eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.": "eyJzdWIiOiJhIn0",
    "key AKIAIOSFODNN7EXAMPLE": "AKIAIOSFODNN7EXAMPLE",
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ\n-----END PRIVATE KEY-----": "MC4CAQAwBQ",
}


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in logs.OURS]
    kept = root.level, root.handlers[:], [one.level for one in ours]
    yield
    root.handlers[:] = kept[1]
    for one, level in zip((root, *ours), (kept[0], *kept[2]), strict=True):
        one.setLevel(level)


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("side", ["coordinator", "agent"])
def test_no_secret_comes_through(form: str, side: str, capsys: pytest.CaptureFixture[str]) -> None:
    if side == "agent":
        plain.begin(form, "info")
    else:
        logs.begin(Log(format="json" if form == "json" else "console"))
    for text, secret in SECRETS.items():
        SAYING.info(text)
        try:
            int(text)  # its error quotes it
        except ValueError:
            SAYING.exception("it %s", "failed")
        said = capsys.readouterr().err
        assert secret not in said, said
        assert plain.HIDDEN in said
    SAYING.info("password_file = /etc/tidewatt/password, token_file: there; a token was taken")
    assert plain.HIDDEN not in capsys.readouterr().err, "names of files are no secrets"


def test_both_sides_write_the_same_objects_and_the_request_is_on_its_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.begin(Log(format="json"))
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        SAYING.warning("it is %s", "late")
    SAYING.info("taken", extra={"device": "d1"})
    plain.begin("json", "info")
    SAYING.warning("it is %s", "late")
    bound, with_values, light = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert bound.pop("request_id") == "r-1"
    assert {**bound, "timestamp": ""} == {**light, "timestamp": ""}
    assert light["timestamp"].endswith("Z")
    assert (light["level"], light["event"]) == ("warning", "it is late")
    assert (with_values["event"], with_values["device"]) == ("taken", "d1")


def test_for_people_the_line_is_the_one_of_old_with_what_is_bound(capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin(Log())
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        SAYING.info("it is late")
    SAYING.debug("nobody asked")
    assert capsys.readouterr().err == "INFO tidewatt_coordinator.saying: it is late request_id=r-1\n"


def refuse(what: str) -> None:
    raise ValueError(what)


@pytest.mark.parametrize("side", ["coordinator", "agent"])
def test_what_others_said_makes_no_line_of_its_own(side: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain.begin("console", "info") if side == "agent" else logs.begin(Log())
    try:
        refuse("he said: x\nERROR tidewatt: all is lost\x1b[2J")
    except ValueError:
        SAYING.exception("refused: %s", "x\nERROR tidewatt: all is lost\r\x1b[2J\ud800")
    said = capsys.readouterr().err.splitlines()
    line = r"ERROR tidewatt_coordinator.saying: refused: x\nERROR tidewatt: all is lost\r\x1b[2J\ud800"
    assert said[0] == line
    assert said[1] == "  Traceback (most recent call last):"
    assert said[-2:] == ["  ValueError: he said: x", r"  ERROR tidewatt: all is lost\x1b[2J"]


@pytest.mark.parametrize(
    ("endpoint", "wrong"),
    [("collector:4318", True), ("http://ada:x@collector", True), ("http://", True), ("http://c:4318", False)],
)
def test_an_endpoint_is_a_url_without_a_user(endpoint: str, wrong: bool) -> None:
    text = f'[tracing]\nendpoint = "{endpoint}"\n'
    if wrong:
        with pytest.raises(DocumentError, match="tracing.endpoint is not"):
            parse_config(text, name="coordinator.toml")
    else:
        assert parse_config(text, name="coordinator.toml").tracing.endpoint == endpoint


def test_without_the_library_the_sentence_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from tidewatt_coordinator.observing import tracing\n"
        "from tidewatt_coordinator.observing.settings import Tracing\n"
        "with tracing.exporting(Tracing()): pass\n"
        "try:\n"
        "    with tracing.exporting(Tracing(endpoint='http://c:4318')): pass\n"
        "except tracing.TracingError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.endswith("pip install tidewatt-coordinator[otel]\n")


class Broken:
    """A driver that fails."""

    name = "nat"

    def observe(self) -> None:
        raise RuntimeError("throttled")


async def test_a_request_goes_on_with_its_callers_trace_and_drivers_have_spans() -> None:
    application, exporter = FastAPI(), InMemorySpanExporter()

    @application.get("/v1/things/{name}")
    def thing(name: str) -> str:
        with tracing.span("looked up", rows=1):
            return name

    application.add_middleware(tracing.Traced)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    caller = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        await client.get("/v1/things/a", headers=caller)
        assert exporter.get_finished_spans() == (), "nobody asked for any"
        with tracing.tracing(provider.get_tracer("test")):
            await client.get("/v1/things/a", headers=caller)
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("looked up", "GET /v1/things/{name}")
    assert outer.context
    assert inner.parent
    assert inner.parent.span_id == outer.context.span_id
    assert f"{outer.context.trace_id:x}" == caller["traceparent"].split("-")[1].lstrip("0")
    assert (outer.attributes or {})["http.response.status_code"] == 200
    exporter.clear()
    with tracing.tracing(provider.get_tracer("test")), pytest.raises(RuntimeError):
        Measured(Broken()).observe()  # type: ignore[arg-type] # it has what is called
    (call,) = exporter.get_finished_spans()
    assert (call.name, call.status.is_ok) == ("nat.observe", False)


def test_spans_leave_by_http_and_the_end_does_not_wait_for_a_collector_that_is_gone() -> None:
    with tracing.exporting(Tracing(endpoint="http://127.0.0.1:9", share=1.0)), tracing.span("one"):
        pass
