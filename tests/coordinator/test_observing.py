"""What the coordinator shows of itself: requests, statements, queue, the days' cost, agents' addresses."""

import asyncio
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp
from tests.access import acting
from typer.testing import CliRunner

from tidewatt_agent.config import Metrics, parse_config
from tidewatt_agent.reached import reached_at
from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.observing.database import DatabaseMetrics
from tidewatt_coordinator.observing.discovery import TargetGroup, target_groups
from tidewatt_coordinator.observing.health import HealthMetrics
from tidewatt_coordinator.observing.http import NOWHERE, Measured, Requests
from tidewatt_coordinator.observing.spending import MOST_SERVICES, OTHERS, by_service, dearest
from tidewatt_coordinator.questions.rows import Cost
from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Timebase
from tidewatt_wire.codec import encode
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.messages import Birth, Counters, Gauges, Report, Will
from tidewatt_wire.sleeping import SleepState

NOW_MS = 1_763_700_000_000


def birth(device: str, metrics: str = "", **labels: str) -> Birth:
    return Birth(
        device=device,
        session="s",
        epoch="e",
        at_ms=1,
        version="0.1",
        board="b",
        control="observe",
        labels=labels,
        metrics=metrics or msgspec.UNSET,
    )


def report(device: str = "d1", seq: int = 1) -> bytes:
    return encode(
        Report(
            device=device, session="s", epoch="e", seq=seq, at_ms=NOW_MS, counters=Counters(), gauges=Gauges()
        )
    )


def asked(application: ASGIApp, *paths: str) -> list[int]:
    """The status of each, without a port."""

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return [(await client.get(path)).status_code for path in paths]

    return asyncio.run(ask())


def test_requests_are_counted_by_route_never_by_path_and_streams_by_their_beginning() -> None:
    registry, now_s = CollectorRegistry(), 0.0
    application = FastAPI()

    @application.get("/slow/{name}")
    def slow(name: str) -> str:
        nonlocal now_s
        now_s += 2.0
        return name

    @application.get("/broken")
    def broken() -> None:
        raise RuntimeError

    @application.get("/stream")
    def stream() -> StreamingResponse:
        def words() -> Iterator[str]:
            nonlocal now_s
            now_s += 3600.0
            yield "data: 1\n\n"

        return StreamingResponse(words(), media_type="text/event-stream")

    application.add_middleware(Measured, requests=Requests(registry), now_s=lambda: now_s)
    assert asked(application, "/slow/a", "/slow/b", "/nothing/1", "/broken", "/stream") == [
        200, 200, 404, 500, 200,
    ]  # fmt: skip

    def value(name: str, route: str, **more: str) -> float | None:
        return registry.get_sample_value(f"tidewatt_http_{name}", {"method": "GET", "route": route, **more})

    assert value("requests_total", "/slow/{name}", code="200") == 2
    assert value("request_seconds_sum", "/slow/{name}") == 4.0
    assert value("requests_total", NOWHERE, code="404") == 1
    assert value("requests_total", "/broken", code="500") == 1
    assert value("request_seconds_sum", "/stream") == 0.0, "how long somebody looked says nothing"
    assert registry.get_sample_value("tidewatt_http_requests_in_flight") == 0


def test_statements_are_timed_and_failures_counted_on_both_databases(
    new_ledger_url: Callable[[], str],
) -> None:
    ledger, registry = Ledger(new_ledger_url(), 300_000), CollectorRegistry()
    registry.register(DatabaseMetrics(ledger.engine))
    with ledger.engine.connect() as connection:
        connection.execute(text("select 1"))
        with pytest.raises(DBAPIError):
            connection.execute(text("select nothing from nowhere"))

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"tidewatt_database_{name}", labels)

    assert (value("statement_seconds_count", kind="select") or 0) >= 1
    assert (value("statement_seconds_sum", kind="select") or 0) > 0
    assert value("errors_total") == 1
    if ledger.engine.dialect.name == "postgresql":
        assert 1 <= (value("connections") or 0) <= (value("connections_limit") or 0)
    else:
        assert value("connections") is None, "what can't be known is no zero"
    ledger.close()


def test_the_queue_and_its_lag_while_the_ledger_fails_and_after(tmp_path: Path) -> None:
    ledger, fleet = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 60_000), Fleet(30_000)
    ingest = Ingest(Connection("mqtt://127.0.0.1:1"), "f", fleet, ledger, lambda: NOW_MS)
    registry = CollectorRegistry()
    registry.register(HealthMetrics(ingest, fleet, lambda: NOW_MS + 40_000))

    def value(name: str, **labels: str) -> float:
        found = registry.get_sample_value(f"tidewatt_{name}", labels)
        assert found is not None
        return found

    assert (value("ingest_waiting"), value("ingest_lag_seconds")) == (0, 0)
    with ledger.engine.begin() as connection:
        connection.execute(text("alter table device_bucket rename to gone"))
    ingest.take("tidewatt/v1/f/device/d1/birth", encode(birth("d1", site="x")))
    ingest.take("tidewatt/v1/f/device/d1/report", report())
    with pytest.raises(DBAPIError):
        asyncio.run(ingest.merge())
    since_s = ingest.oldest_s
    ingest.take("tidewatt/v1/f/device/d1/report", report(seq=2))
    assert (value("ingest_waiting"), ingest.oldest_s) == (2, since_s)
    assert value("ingest_lag_seconds") > 0
    with ledger.engine.begin() as connection:
        connection.execute(text("alter table gone rename to device_bucket"))
    asyncio.run(ingest.merge())
    assert (value("ingest_waiting"), value("ingest_lag_seconds")) == (0, 0)
    assert value("ingest_merge_seconds_count") == 1
    assert value("device_missing", device="d1", site="x") == 1
    assert value("device_heard_age_seconds", device="d1", site="x") == 40.0
    ledger.close()


def test_beyond_the_dearest_services_the_money_is_still_all_there() -> None:
    costs = [
        Cost(key=(f"s{number}",), currency="USD", billed=Decimal(0), effective=Decimal(number), marginal=None)
        for number in range(50)
    ]
    found = by_service(costs, dearest(costs))
    assert len(found) == MOST_SERVICES + 1
    assert sum(found.values()) == sum(range(50))
    assert found[OTHERS, "USD"] == sum(range(20))


@pytest.mark.parametrize(
    ("listen", "address", "told"),
    [
        ("", "roof-3:9750", ""),
        ("127.0.0.1:9750", "", ""),
        ("localhost:9750", "", ""),
        ("[::1]:9750", "", ""),
        ("0.0.0.0:9750", "", "roof-3:9750"),
        ("[::]:9750", "", "roof-3:9750"),
        ("10.1.2.3:9750", "", "10.1.2.3:9750"),
        ("[fd00::5]:9750", "", "[fd00::5]:9750"),
        ("127.0.0.1:9750", "gateway.example:29750", "gateway.example:29750"),
    ],
)
def test_an_agent_tells_an_address_that_others_reach(listen: str, address: str, told: str) -> None:
    assert reached_at(Metrics(listen=listen, address=address), "roof-3") == told


def test_an_address_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(DocumentError, match="metrics.address 'here' is not host:port"):
        parse_config('[metrics]\naddress = "here"\n', name="agent.toml")


@pytest.fixture
def fleet() -> Fleet:
    """Of each kind of device one; all have a page but the first."""
    fleet = Fleet(30_000)
    for name in ("asleep", "lost", "online", "silent", "stopped"):
        labels = {"site": "x", "rack-no.": "7"}
        fleet.born(birth(name, f"{name}:9750", **labels), NOW_MS - 60_000 * (name == "silent"))
    fleet.born(birth("alone"), NOW_MS)
    fleet.ended(Will(device="lost", session="s", epoch="e", cause="lost"))
    fleet.ended(Will(device="stopped", session="s", epoch="e", cause="stopped"))
    fleet.slumbered(
        SleepState(device="asleep", session="s", at_ms=1, state="asleep", expires_at_ms=NOW_MS + 1)
    )
    return fleet


def test_who_is_silent_or_lost_is_still_scraped_and_who_went_by_its_own_word_is_not(fleet: Fleet) -> None:
    groups = target_groups("f", fleet, NOW_MS)
    assert [group.targets for group in groups] == [["lost:9750"], ["online:9750"], ["silent:9750"]]
    assert groups[1].labels == {
        "fleet": "f",
        "device": "online",
        "site": "x",
        "__meta_tidewatt_board": "b",
        "__meta_tidewatt_version": "0.1",
        "__meta_tidewatt_control": "observe",
        "__meta_tidewatt_label_site": "x",
        "__meta_tidewatt_label_rack_no_": "7",
    }


class _Door(http.server.BaseHTTPRequestHandler):
    """Answers as the test's class attributes say."""

    status, body, asked = 200, b"", ""

    def do_GET(self) -> None:
        type(self).asked = f"{self.path} {self.headers.get('Authorization', '')}"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_rest: object) -> None:
        pass


@pytest.fixture
def door() -> Iterator[tuple[type[_Door], str]]:
    kind = type("Door", (_Door,), {})
    server = http.server.HTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield kind, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_file_is_written_whole_or_stays_as_it_is(
    door: tuple[type[_Door], str], fleet: Fleet, tmp_path: Path
) -> None:
    kind, url = door
    out, key = tmp_path / "agents.json", tmp_path / "key"
    key.write_text("tw_secret\n")
    command = ["discovery", "write", "--url", url, "--out", str(out), "--key-file", str(key)]
    kind.body = json.dumps([group.model_dump() for group in target_groups("f", fleet, NOW_MS)]).encode()
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.output) == (0, f"{out}: 3 agents\n")
    assert kind.asked == "/v1/discovery/agents Bearer tw_secret"
    before = out.read_bytes()
    assert [TargetGroup.model_validate(one) for one in json.loads(before)] == target_groups(
        "f", fleet, NOW_MS
    )
    for status, body, sentence in (
        (401, b"", "answered 401"),
        (200, b"<html>", "answered what is no list"),
        (200, b'[{"targets": 7}]', "answered what is no list"),
    ):
        kind.status, kind.body = status, body
        done = CliRunner().invoke(app, command)
        assert sentence in str(done.exception)
    done = CliRunner().invoke(app, [*command, "--url", "http://127.0.0.1:1"])
    assert "does not answer" in str(done.exception)
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agents.json", "key"]


def test_a_running_coordinator_has_all_of_it_on_its_page(tmp_path: Path) -> None:
    config = Config(
        ledger=LedgerConfig(url=f"sqlite:///{tmp_path / 'l.db'}"), clock=Timebase(NOW_MS, 0.0, 1e-9)
    )
    coordinator = Coordinator(config, Connection("mqtt://127.0.0.1:1"), None)
    coordinator.fleet.born(birth("d1", "d1:9750"), NOW_MS)
    assert asked(acting(coordinator.web), "/v1/discovery/agents", "/v1/nothing") == [200, 404]
    coordinator.money.spending.look()
    assert coordinator.money.spending.spent is None, "days that nobody has told of are not free"
    value = coordinator.registry.get_sample_value
    labels = {"method": "GET", "route": "/v1/discovery/agents", "code": "200"}
    assert value("tidewatt_http_requests_total", labels) == 1
    assert (value("tidewatt_database_statement_seconds_count", {"kind": "select"}) or 0) > 0
    coordinator.ledger.close()
