"""What every answer of the REST API keeps: problems, ids, tags, limits, pages; and the routes of the page."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy.exc import OperationalError
from tests.access import acting
from tests.office import MINUTE_MS, NOW_MS, office

from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.ledger import history
from tidewatt_coordinator.ledger.belief import Wrong
from tidewatt_coordinator.ledger.intake import keep_aside
from tidewatt_coordinator.web import kept
from tidewatt_coordinator.web.paging import after, cursor_of
from tidewatt_coordinator.web.problems import Problem, tell_problems
from tidewatt_coordinator.web.rate import Rate, caller_of
from tidewatt_coordinator.web.settings import Rest
from tidewatt_coordinator.web.threshold import Threshold, same


class Client:
    """Asks an application itself, without a port."""

    def __init__(self, app: Any) -> None:
        # What nobody foresaw is an answer, too: no exception may come through.
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=True)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://here") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "ACCOUNT_KEPT_S", 0.0)
        patch.setattr(kept, "KEPT_PER_TAKEN", 0.0)
        with office(tmp_path_factory.mktemp("office")) as coordinator:
            yield coordinator


@pytest.fixture
def client(coordinator: Coordinator) -> Client:
    return Client(acting(coordinator.web))


def pages(client: Client, path: str, name: str) -> list[list[Any]]:
    """All pages of a list, by the Link header, and `next` in the body says the same."""
    found = []
    while path:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()[name])
        path = answer.links.get("next", {}).get("url", "")
        assert bool(path) == bool(answer.json()["next"])
    return found


def test_lists_come_in_pages_that_miss_and_repeat_nothing(coordinator: Coordinator, client: Client) -> None:
    names = [f"roof-{number}" for number in range(7)]
    devices = pages(client, "/v1/devices?limit=3", "devices")
    assert [len(page) for page in devices] == [3, 3, 1]
    assert [one["device"] for page in devices for one in page] == names
    of_x = pages(client, "/v1/devices?limit=1&site=x&status=online&status=silent", "devices")
    assert [one["device"] for page in of_x for one in page] == names[1::2]
    assert client.get("/v1/devices?status=lost").json()["devices"] == []
    trail = Trail(coordinator.ledger.engine)
    for number in range(4):
        trail.record("test", str(number))
    entries = pages(client, "/v1/audit?limit=2&what=test", "entries")
    assert [one["subject"] for page in entries for one in page] == ["3", "2", "1", "0"]
    report = coordinator.fleet.devices["roof-1"].report
    assert report
    wrong = [(replace(report, seq=seq), Wrong("clock_future", why)) for seq, why in ((98, "x"), (99, "y"))]
    keep_aside(coordinator.ledger, wrong, NOW_MS)
    aside = pages(client, "/v1/quarantine?limit=1&device=roof-1", "quarantine")
    assert sorted(one["reason"] for page in aside for one in page) == ["x", "y"]
    pages(client, "/v1/rollouts/history", "events")
    pages(client, "/v1/alerts?days=9", "alerts")
    pages(client, "/v1/anomalies", "anomalies")


def test_one_device_and_its_past(client: Client) -> None:
    whole = client.get("/v1/devices/roof-1").json()
    assert (whole["device"], whole["leases"]) == ("roof-1", ["15W: a camera needs it"])
    assert whole["policy"]["slo_p95_ms"]
    assert client.get("/v1/devices/none").status_code == 404
    past = client.get("/v1/history/roof-1?hours=1").json()
    assert (past["step_ms"], past["source"]) == (MINUTE_MS, "buckets")
    points = past["points"]
    assert [one["at_ms"] for one in points] == [NOW_MS - minute * MINUTE_MS for minute in range(10, 0, -1)]
    for one in points:
        assert (one["watts"], one["requests_rps"], one["violating_share"]) == (8.0, 100.0, 0.1)
    assert [one["mode"] for one in points[1:]] == ["15W"] * 5 + ["7W"] * 4
    coarse = client.get("/v1/history/roof-1?hours=30").json()
    assert coarse["step_ms"] == 3 * MINUTE_MS
    assert sum(one["watts"] is not None for one in coarse["points"]) <= history.MOST_POINTS
    assert client.get("/v1/history/roof-1?hours=8000").json()["source"] == "hours"
    assert client.get("/v1/history/none").status_code == 404


def test_health_and_version(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503, "there is no broker"
    assert answer.json() | {"lease": ""} == {
        "ready": False, "broker": False, "ledger": True, "ledger_error": "", "lease": "",
    }  # fmt: skip
    assert client.get("/v1/version").json()["schema_version"] == "1.2"
    assert client.get("/v1/rollouts").json()["name"] == "configuration"


def test_what_the_database_says_is_for_the_log_and_not_for_everybody(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    said = 'connection to "db.inside" failed for user "tidewatt"'

    def fail(_work: object) -> None:
        raise OperationalError("update", {}, OSError(said))

    monkeypatch.setattr(coordinator.ledger, "transact", fail)
    answer, again = Client(coordinator.web).get("/readyz"), Client(coordinator.web).get("/readyz")
    assert (answer.status_code, answer.json()["ledger"]) == (503, False)
    assert answer.json() == again.json()
    assert "inside" not in answer.text
    told = [one for one in caplog.messages if "takes no writes" in one]
    assert len(told) == 1
    assert said in told[0]
    monkeypatch.undo()
    assert Client(coordinator.web).get("/readyz").json()["ledger"]
    assert "the database takes writes again" in caplog.messages


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/none", 404),
        ("POST", "/v1/devices", 405),
        ("GET", "/v1/devices?limit=0", 422),
        ("GET", "/v1/devices?cursor=nonsense", 422),
        ("GET", f"/v1/devices?cursor={cursor_of((5,))}", 422),
        ("GET", f"/v1/audit?cursor={cursor_of((2**63,))}", 422),
        ("GET", "/v1/quarantine?device=%00", 422),
        ("GET", "/v1/devices/%00", 422),
        ("GET", "/v1/cost/by?days=99999", 422),
        ("POST", "/v1/simulate", 422),
    ],
)
def test_every_error_is_a_problem_with_the_requests_id(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = client.ask(method, path, headers={"X-Request-Id": "a-sane-id"}, content=b'{"x":1}')
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["instance"]) == (status, "urn:request:a-sane-id")
    assert told["detail"]
    assert answer.headers["x-request-id"] == "a-sane-id"


def test_what_is_known_already_is_not_sent_again(client: Client) -> None:
    first = client.get("/v1/devices", headers={"X-Request-Id": "bad id\x01"})
    tag = first.headers["etag"]
    assert len(first.headers["x-request-id"]) == 32, "what isn't sane is replaced"
    again = client.get("/v1/devices", headers={"If-None-Match": f'"x", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get("/v1/devices?site=x", headers={"If-None-Match": tag}).status_code == 200
    assert same('"a"', "*")
    assert not same('"a"', "")


def _broken(limits: Rest) -> Client:
    app = tell_problems(FastAPI())
    app.add_middleware(Threshold, settings=limits, now_s=lambda: 5.0)

    @app.get("/v1/broken")
    def broken() -> None:
        raise RuntimeError("with a secret in it")

    @app.post("/v1/long")
    async def long(request: Request) -> int:
        return len(await request.body())

    @app.get("/healthz")
    @app.get("/v1/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(iter([b"data: 1\n\n", b"data: 2\n\n"]), media_type="text/event-stream")

    return Client(app)


def test_what_nobody_foresaw_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    answer = _broken(Rest()).get("/v1/broken")
    assert (answer.status_code, answer.json()["title"]) == (500, "Internal Server Error")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
    assert "with a secret in it" in caplog.text, "it is in the log"


def test_limits() -> None:
    client = _broken(Rest(requests_per_second=0.5, burst=3, largest_body_kib=1))

    async def parts(count: int) -> Any:
        for _ in range(count):
            yield b"x" * 512

    assert client.ask("POST", "/v1/long", content=b"x" * 1025).status_code == 413, "said by its length"
    assert client.ask("POST", "/v1/long", content=parts(3)).status_code == 413, "found while it comes"
    assert client.ask("POST", "/v1/long", content=parts(2)).json() == 1024
    tired = client.get("/v1/stream")
    assert (tired.status_code, tired.headers["retry-after"]) == (429, "2")
    assert client.get("/healthz").text == "data: 1\n\ndata: 2\n\n"


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 3)), max_size=60))
def test_a_caller_gets_its_burst_and_its_rate_and_no_more(asks: list[tuple[str, float]]) -> None:
    rate, now_s, given_to = Rate(2.0, 5, most=3), 0.0, dict.fromkeys("abcde", 0)
    remembered = Rate(2.0, 5)
    for caller, pause_s in asks:
        now_s += pause_s
        wait_s = remembered.wait_s(caller, now_s)
        given_to[caller] += not wait_s
        assert given_to[caller] <= 5 + 2.0 * now_s + 1e-6
        assert wait_s <= 0.5
        rate.wait_s(caller, now_s)
        assert len(rate) <= 3


def test_who_is_one_caller() -> None:
    assert caller_of("2001:db8::1") == caller_of("2001:db8::ffff") != caller_of("2001:db8:0:1::1")
    assert caller_of("::ffff:192.0.2.1") == caller_of("192.0.2.1")
    assert caller_of("testclient") == "testclient"


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_no_cursor_is_a_defect(cursor: str) -> None:
    try:
        at = after(cursor, int, str)
    except Problem:
        return
    assert at is None or at == after(cursor_of(at), int, str)
