"""Carbon: average and marginal never meet, gaps are said, sources are asked over real HTTP."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tidewatt_coordinator.carbon.intensity import (
    HOUR_MS,
    CarbonError,
    Emission,
    Factor,
    Intensity,
    Kind,
    emitted,
)
from tidewatt_coordinator.carbon.sources import DAY_MS, ElectricityMaps, WattTime
from tidewatt_coordinator.carbon.static import static_factors
from tidewatt_coordinator.carbon.store import keep, kept
from tidewatt_coordinator.cli import app
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.messages import Counters, Gauges, Report

KWH = 3_600_000_000
NOW = round(datetime(2026, 11, 21, 12, tzinfo=timezone.utc).timestamp() * 1000)
START = NOW - 3 * DAY_MS
FACTOR = Factor(zone="DE", grams_per_kwh=Decimal(381), year=2023, source="a table")

Asked = tuple[str, dict[str, str], dict[str, str]]
Answer = tuple[int, dict[str, str], object]


@contextmanager
def serving(answer: Callable[[Asked], Answer]) -> Iterator[tuple[str, list[Asked]]]:
    """An HTTP server on this machine that answers so, and what it was asked."""
    asked: list[Asked] = []

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append((parts.path, dict(parse_qsl(parts.query)), headers))
            status, extra, body = answer(asked[-1])
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5, trust_env=False) as one:
        yield one


def moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).isoformat().replace("+00:00", ".000Z")


def maps_page(asked: Asked) -> Answer:
    path, query, headers = asked
    if headers.get("auth-token") != "the-key":
        return 401, {}, {"error": "Unauthorized"}
    start = query.get("start", moment(NOW - DAY_MS)).replace("Z", "+00:00").replace(".000", "")
    first = round(datetime.fromisoformat(start).timestamp() * 1000)
    last = NOW
    if "end" in query:
        last = round(datetime.fromisoformat(query["end"].replace("Z", "+00:00")).timestamp() * 1000)
    points = [
        {
            "zone": query["zone"],
            "carbonIntensity": None if at == START + HOUR_MS else 300 + at // HOUR_MS % 24,
            "datetime": moment(at),
            "isEstimated": at >= NOW - 2 * HOUR_MS,
            "emissionFactorType": "lifecycle",
        }
        for at in range(first, last, HOUR_MS)
    ]
    return 200, {}, {"zone": query["zone"], "data" if path.endswith("past-range") else "history": points}


def test_electricity_maps(client: httpx.Client) -> None:
    with serving(maps_page) as (url, asked):
        source = ElectricityMaps(client, url + "/v3/", "the-key", NOW)
        found = list(source.intensities("DE", START, NOW))
        recent = list(source.intensities("DE", NOW - 5 * HOUR_MS, NOW))
        long_ago = list(source.intensities("DE", NOW - 25 * DAY_MS, NOW - 3 * DAY_MS))
    assert asked[0][:2] == (
        "/v3/carbon-intensity/past-range",
        {"zone": "DE", "start": "2026-11-18T12:00:00Z", "end": "2026-11-21T12:00:00Z"},
    )
    assert [one.start_ms for one in found[:2]] == [START, START + 2 * HOUR_MS], "one hour was not known"
    assert found[0].grams_per_kwh == 312
    assert {(one.kind, one.source, one.end_ms - one.start_ms) for one in found} == {
        ("average", "electricitymaps", HOUR_MS)
    }
    assert [one.estimated for one in recent] == [False] * 3 + [True] * 2
    assert asked[1][0] == "/v3/carbon-intensity/history"
    assert len(asked) == 2 + 3, "ten days at a time"
    assert len({one.start_ms for one in long_ago}) == len(long_ago) == 22 * 24


class Moer:
    """WattTime as it answers; `good_for` answers a token before it has run out."""

    def __init__(self, good_for: int = 99) -> None:
        self.good_for = good_for
        self.tokens = 0

    def __call__(self, asked: Asked) -> Answer:
        path, query, headers = asked
        if path == "/login":
            if headers["authorization"] != "Basic " + base64.b64encode(b"me:secret").decode():
                return 401, {}, {"error": "Unauthorized"}
            self.tokens += 1
            self.left = self.good_for
            return 200, {}, {"token": f"t{self.tokens}"}
        if headers.get("authorization") != f"Bearer t{self.tokens}" or self.left <= 0:
            return 401, {}, {"error": "expired"}
        if query["region"] != "CAISO_NORTH":
            return 403, {}, {"error": "your plan"}
        self.left -= 1
        at = datetime.fromisoformat(query["start"].replace("Z", "+00:00"))
        points = [
            {"point_time": at.replace(minute=minute).isoformat(), "value": 1000.0, "version": "2026-03-01"}
            for minute in range(0, 60, 5)
        ]
        meta = {"region": query["region"], "signal_type": "co2_moer", "units": "lbs_co2_per_mwh"}
        return 200, {}, {"data": points, "meta": meta | {"data_point_period_seconds": 300}}


def test_watttime(client: httpx.Client) -> None:
    with serving(Moer(good_for=1)) as (url, asked):
        source = WattTime(client, url, "me", "secret")
        for _ in range(2):
            found = list(source.intensities("CAISO_NORTH", START, START + HOUR_MS))
        with pytest.raises(CarbonError, match=r"refused the key for DE \(HTTP 403\)"):
            list(source.intensities("DE", START, START + HOUR_MS))
    assert [path for path, _, _ in asked[:5]] == [
        "/login", "/v3/historical", "/v3/historical", "/login", "/v3/historical"
    ]  # fmt: skip
    assert asked[1][1]["signal_type"] == "co2_moer"
    assert len(found) == 12
    assert found[0] == Intensity(
        zone="CAISO_NORTH",
        kind="marginal",
        start_ms=START,
        end_ms=START + 300_000,
        grams_per_kwh=Decimal("453.592370"),
        source="watttime",
    )


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((401, {}, {}), r"Electricity Maps refused the key for DE \(HTTP 401\)"),
        ((429, {"Retry-After": "60"}, {}), "asked too often; again in 60 s"),
        ((503, {}, b"down"), "answered HTTP 503: 'down'"),
        ((200, {}, b"<html>"), "what is not its format"),
        ((200, {}, b"\xff"), "what is not its format"),
        ((200, {}, {"history": [{"datetime": "yesterday"}]}), "what is not its format"),
        (
            (200, {}, {"history": [{"datetime": moment(NOW - HOUR_MS), "carbonIntensity": -1}]}),
            "no intensity",
        ),
    ],
)
def test_bad_answers(client: httpx.Client, answer: Answer, sentence: str) -> None:
    with serving(lambda asked: answer) as (url, _), pytest.raises(CarbonError, match=sentence) as refused:
        list(ElectricityMaps(client, url, "the-key", NOW).intensities("DE", NOW - 2 * HOUR_MS, NOW))
    assert "the-key" not in str(refused.value)


def test_nobody_there(client: httpx.Client) -> None:
    with serving(maps_page) as (url, _):
        pass
    with pytest.raises(CarbonError, match="WattTime can't be asked: ConnectError"):
        list(WattTime(client, url, "me", "secret").intensities("CAISO_NORTH", 0, 1))


def test_watttime_in_other_units(client: httpx.Client) -> None:
    def answer(asked: Asked) -> Answer:
        if asked[0] == "/login":
            return 200, {}, {"token": "t"}
        return 200, {}, {"data": [], "meta": {"units": "kg_per_mwh", "signal_type": "co2_moer"}}

    with serving(answer) as (url, _), pytest.raises(CarbonError, match="'kg_per_mwh', not in lbs"):
        list(WattTime(client, url, "me", "secret").intensities("CAISO_NORTH", 0, 1))


def known(kind: Kind, start_ms: int, end_ms: int, grams: int) -> Intensity:
    return Intensity(
        zone="DE", kind=kind, start_ms=start_ms, end_ms=end_ms, grams_per_kwh=Decimal(grams), source="s"
    )


def test_average_and_marginal_never_meet() -> None:
    energy = {0: KWH, HOUR_MS: KWH}
    intensities = [known("average", 0, HOUR_MS, 300), known("marginal", 0, HOUR_MS // 2, 700)]
    average = emitted(energy, intensities, "average", FACTOR)
    assert (average.grams, average.static_mj, average.unknown_mj) == (Decimal(681), KWH, 0)
    marginal = emitted(energy, intensities, "marginal", FACTOR)
    assert (marginal.grams, marginal.static_mj) == (Decimal(350), 0)
    assert marginal.unknown_mj == KWH + KWH // 2, "half an hour and an hour are unknown, not the average"
    assert emitted(energy, intensities, "average").unknown_mj == KWH
    with pytest.raises(CarbonError, match="average and marginal carbon can't be added"):
        average + marginal
    assert average + average == Emission(kind="average", grams=Decimal(1362), static_mj=2 * KWH)


def test_overlaps_count_once() -> None:
    overlapping = [known("average", 0, HOUR_MS, 100), known("average", HOUR_MS // 2, 2 * HOUR_MS, 300)]
    assert emitted({0: 2 * KWH}, overlapping, "average").grams == 400
    again = [*overlapping, known("average", 0, HOUR_MS, 200)]
    assert emitted({0: 2 * KWH}, again, "average").grams == 500, "the later word holds"


@given(
    st.dictionaries(st.integers(0, 5).map(lambda hour: hour * HOUR_MS), st.integers(0, 10**12)),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.integers(0, 900)), max_size=12),
)
def test_all_energy_is_accounted_for(energy: dict[int, int], told: list[tuple[int, int, int]]) -> None:
    tenth = HOUR_MS // 10
    intensities = [
        known("average", start * tenth, (start + length) * tenth, grams) for start, length, grams in told
    ]
    bare, filled = (emitted(energy, intensities, "average", factor) for factor in (None, FACTOR))
    assert bare.unknown_mj == filled.static_mj
    assert 0 <= bare.unknown_mj <= sum(energy.values())
    assert abs(filled.grams - bare.grams - Decimal(381 * filled.static_mj) / KWH) < Decimal("1e-9")
    assert bare.grams <= Decimal(900 * (sum(energy.values()) - bare.unknown_mj)) / KWH + Decimal("1e-9")


def test_the_shipped_factors() -> None:
    factors = static_factors()
    assert len(factors) >= 40
    assert factors["DE"].grams_per_kwh == 381
    assert all(20 < one.grams_per_kwh < 800 and one.year >= 2022 for one in factors.values())
    assert "Our World in Data" in factors["DE"].source


def test_what_was_asked_is_kept(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    hours = [known("average", hour * HOUR_MS, (hour + 1) * HOUR_MS, hour) for hour in range(5)]
    assert keep(ledger.engine, [*hours, known("marginal", 0, HOUR_MS, 9)]) == 6
    keep(ledger.engine, [known("average", 2 * HOUR_MS, 3 * HOUR_MS, 77)])
    found = kept(ledger.engine, "DE", "average", HOUR_MS + 1, 3 * HOUR_MS)
    assert [one.grams_per_kwh for one in found] == [1, 77]
    assert kept(ledger.engine, "FR", "average", 0, HOUR_MS) == []
    ledger.close()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner().invoke
    assert "DE   381  2023" in run(app, ["carbon", "zones"]).output
    (tmp_path / "key").write_text("the-key\n")
    (tmp_path / "sites.toml").write_text('[[site]]\nname = ""\ncarbon_zone = "DE"\n')
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    first = NOW - HOUR_MS
    ledger.take(
        Report(
            device="a",
            session="s",
            epoch="1",
            seq=minute,
            at_ms=first + minute * 60_000,
            counters=Counters(energy_mj=minute * KWH // 60),
            gauges=Gauges(),
        )
        for minute in range(61)
    )
    ledger.close()

    def page(asked: Asked) -> Answer:
        points = [{"datetime": moment(first), "carbonIntensity": 250}]
        return 200, {}, {"zone": "DE", "data": points}

    with serving(page) as (url, asked):
        (tmp_path / "c.toml").write_text(
            f'[ledger]\nurl = "sqlite:///{tmp_path / "l.db"}"\n[edge]\nsites = "{tmp_path / "sites.toml"}"\n'
            f'[carbon]\nelectricity_maps_url = "{url}"\nelectricity_maps_key_file = "{tmp_path / "key"}"\n'
        )
        config = ["--until", "2026-11-21T12:00", "--config", str(tmp_path / "c.toml")]
        assert run(app, ["carbon", "show", "--hours", "1", *config]).output == (
            "(no site): DE: average 0.381 kg, 100 % by the year's average; marginal unknown\n"
        )
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        fetched = run(app, ["carbon", "fetch", "--zone", "DE", *config])
    assert asked[0][2]["auth-token"] == "the-key"
    assert fetched.output == "DE: 1 average intensities of 24 hours\n"
    shown = run(app, ["carbon", "show", "--hours", "1", *config])
    assert shown.output == "(no site): DE: average 0.250 kg; marginal unknown\n"
    lacking = run(app, ["carbon", "fetch", "--zone", "DE", "--marginal", *config])
    assert "carbon.watttime_user and carbon.watttime_password_file are needed" in str(lacking.exception)
