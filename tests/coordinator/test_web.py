"""The REST API and the page: what really stands in the ledger and the fleet view."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.access import acting

from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.config import Config, Ledger
from tidewatt_coordinator.web import kept
from tidewatt_coordinator.web import page as web_page
from tidewatt_governor.boards import BoardProfile
from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Timebase
from tidewatt_wire.messages import Birth, Counters, Gauges, Report, Verdict

NOW_MS = 1_763_700_000_000
REASON = "fits <b>15W</b>: stay"


@pytest.fixture
def coordinator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Coordinator]:
    monkeypatch.setattr(kept, "ACCOUNT_KEPT_S", 0.0)
    monkeypatch.setattr(kept, "KEPT_PER_TAKEN", 0.0)
    config = Config(
        ledger=Ledger(url=f"sqlite:///{tmp_path / 'l.db'}", bucket_s=60),
        clock=Timebase(NOW_MS, 0.0, 1e-9),  # a clock that stands still
    )
    coordinator = Coordinator(config, Connection("mqtt://127.0.0.1:1"), lambda _now_ms: 0.25)
    yield coordinator
    coordinator.ledger.close()


class Browser:
    """Asks the application itself, without a port."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._transport = httpx.ASGITransport(acting(coordinator.web))

    def get(self, path: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://here") as client:
                return await client.get(path)

        return asyncio.run(ask())


@pytest.fixture
def client(coordinator: Coordinator) -> Browser:
    return Browser(coordinator)


def speak(coordinator: Coordinator, profile: BoardProfile) -> None:
    coordinator.fleet.born(
        Birth(
            device="roof-1",
            session="s",
            epoch="e",
            at_ms=NOW_MS - 60_000,
            version="0",
            board=profile.name,
            control="enforce",
            labels={"site": "x"},
            points=profile.points,
            vendor_default="25W",
        ),
        NOW_MS,
    )
    for minute in range(3):
        report = Report(
            device="roof-1",
            session="s",
            epoch="e",
            seq=minute,
            at_ms=NOW_MS - (2 - minute) * 60_000,
            counters=Counters(
                energy_mj=minute * 480_000,
                requests=minute * 6000,
                violating_ms=minute * 1500,
                switches=minute,
                mode_ms={"15W": minute * 60_000},
            ),
            gauges=Gauges(point="15W", watts=8.0, requests_rps=100.0, temperature_c=41.5),
            verdict=Verdict(point="15W", rule="cheapest", reason=REASON, outcome="unchanged"),
        )
        coordinator.fleet.reported(report, NOW_MS)
        coordinator.ledger.take([report])


def test_before_anything_came_nothing_is_invented(client: Browser) -> None:
    fleet = client.get("/v1/fleet").json()
    assert fleet["devices"] == []
    assert fleet["watts"] is None
    assert fleet["requests_rps"] is None
    assert fleet["energy_joules"] == 0
    assert fleet["model_error_share"] is None
    assert list(fleet["policies"]) == ["tidewatt"]
    assert client.get("/v1/dispatch").status_code == 404


def test_the_fleet_as_it_stands(client: Browser, coordinator: Coordinator, profile: BoardProfile) -> None:
    speak(coordinator, profile)
    coordinator.traffic.steering.said(coordinator.traffic.steering.make())
    fleet = client.get("/v1/fleet").json()
    assert (fleet["online"], fleet["watts"], fleet["requests_rps"], fleet["progress"]) == (
        1,
        8.0,
        100.0,
        0.25,
    )
    assert fleet["energy_joules"] == 960.0
    assert fleet["cost"] == "0.00004"
    assert fleet["violating_minutes"] == 0.05
    (device,) = fleet["devices"]
    assert device["point"] == "15W"
    assert device["temperature_c"] == 41.5
    assert device["p95_ms"] is None
    assert device["weight"] == 1.0
    assert device["reason"] == REASON
    policies = fleet["policies"]
    assert set(policies) == {"tidewatt", "max_freq", "vendor_default", "best_fixed"}
    assert policies["tidewatt"] == {
        "energy_wh": pytest.approx(960 / 3600),
        "cost": "0.00004",
        "violating_minutes": 0.05,
        "switches": 2,
        "saving_share": None,
        "sleep_saving_share": None,
        "estimated": False,
        "point": None,
    }
    assert policies["best_fixed"]["point"] == "7W" or policies["best_fixed"]["point"] == "15W"
    assert policies["vendor_default"]["estimated"] is True
    expected_wh = (4.8 + 100 * 0.03697) * 120 / 3600
    assert policies["vendor_default"]["energy_wh"] == pytest.approx(expected_wh, rel=1e-6)
    assert policies["vendor_default"]["saving_share"] == pytest.approx(
        1 - (960 / 3600) / expected_wh, rel=1e-6
    )
    assert client.get("/v1/dispatch").json()["weights"] == {"roof-1": 10_000}


def test_a_silent_device_shows_no_live_figures(
    client: Browser, coordinator: Coordinator, profile: BoardProfile
) -> None:
    speak(coordinator, profile)
    coordinator.fleet.stale_after_ms = -1
    (device,) = client.get("/v1/fleet").json()["devices"]
    assert device["status"] == "silent"
    assert device["watts"] is None
    assert device["point"] is None
    assert device["energy_joules"] == 960.0, "what was counted stays"


def test_prometheus_metrics(client: Browser, coordinator: Coordinator, profile: BoardProfile) -> None:
    speak(coordinator, profile)
    coordinator.ingest.take("x", b"")
    coordinator.ingest.broker_ends_s = time.time() - 100.0
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }
    assert samples["tidewatt_ledger_energy_joules_total", "roof-1"] == 960.0
    assert samples["tidewatt_fleet_devices", "online"] == 1.0
    assert samples["tidewatt_ingest_refused_total", "wrong_topic"] == 1.0
    assert samples["tidewatt_ingest_connected",] == 0.0
    expires = "tidewatt_ingest_certificate_expires_seconds"
    assert samples[expires, "broker"] == pytest.approx(-100.0, abs=30.0)
    assert (expires, "coordinator") not in samples, "it shows none"
    assert samples["tidewatt_policy_revision",] == coordinator.policies.revision
    assert samples["tidewatt_policy_lease_held",] == 1.0
    assert samples["tidewatt_policy_failing",] == 0.0
    assert samples["tidewatt_policy_answers", "no answer"] == 1.0
    assert samples["tidewatt_rollout_stage", "soaking"] == 0.0
    assert samples["tidewatt_rollout_waves_reached",] == 0.0


def test_the_page_and_its_parts(client: Browser) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for part in ("main.js", "base.css", "parts.css", "pages.css", "icon.svg"):
        assert f"/static/{part}" in page.text
        assert client.get(f"/static/{part}").status_code == 200
    for word in ("<style", " style=", " onclick="):
        assert word not in page.text, "the page's policy forbids what is written within it"
    folder = Path(web_page.__file__).with_name("static")
    for file in folder.rglob("*.js"):
        script = client.get(f"/static/{file.relative_to(folder).as_posix()}")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "innerHTML" not in script.text
        assert "eval(" not in script.text
    charts = client.get("/static/lib/chart.js")
    assert charts.headers["content-encoding"] == "gzip"
    assert "Chart.js v" in charts.text
    assert "http://" not in page.text.replace("http://www.w3.org", ""), "nothing comes from elsewhere"
    assert "https://" not in page.text
    for wrong in (
        "/static/none.js",
        "/static/__init__.py",
        "/static/pages",
        "/static/pages/..%2fmain.js",
        "/static/..%2Fapi.py",
        "/v1/nothing",
    ):
        assert client.get(wrong).status_code == 404
    assert client.get("/healthz").json()["status"] == "ok"


def test_every_answer_is_described(client: Browser) -> None:
    schema = client.get("/openapi.json").json()
    assert {"/healthz", "/v1/fleet", "/v1/dispatch", "/metrics"} <= set(schema["paths"])
    assert "FleetNow" in schema["components"]["schemas"]


def test_looking_at_a_large_fleet_costs_a_tenth_of_the_time_at_the_most() -> None:
    now_s, drawn = 0.0, 0

    def draw_up() -> int:
        nonlocal now_s, drawn
        now_s, drawn = now_s + 6.0, drawn + 1
        return drawn

    current = kept.kept_for_a_while(draw_up, lambda: now_s)
    for _ in range(660):
        current()
        now_s += 1.0
    assert drawn * 6.0 <= now_s / 10.0 + 6.0
