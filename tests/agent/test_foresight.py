"""The forecaster inside the agent: minutes from ticks, restarts, and every way it can be missing."""

import logging
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from tidewatt_agent.forecastmetrics import forecast_families
from tidewatt_agent.foresight import Foresight
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.sample import Load

START_MS = 1_800_000_000_000 // 60_000 * 60_000


def page(foresight: Foresight) -> str:
    class Families(Collector):
        def collect(self):  # type: ignore[no-untyped-def] # noqa: ANN202
            return forecast_families(foresight)

    registry = CollectorRegistry()
    registry.register(Families())
    return generate_latest(registry).decode()


def live(foresight: Foresight, minutes: range, rps: float = 100.0) -> None:
    """Ten-second ticks."""
    for tick in range(minutes.start * 6, minutes.stop * 6):
        load = Load(requests=round(rps * 10), interval_s=10.0)
        foresight.note(load, 10.0 * tick, START_MS + 10_000 * tick)


def newest(foresight: Foresight) -> Forecast | None:
    return foresight.forecast


def started(model: str = "shipped", folder: Path | None = None) -> Foresight:
    foresight = Foresight(model, "UTC", str(folder) if folder else "")
    foresight.start()
    return foresight


def test_a_forecast_a_minute_once_there_is_history() -> None:
    foresight = started()
    live(foresight, range(40))
    assert newest(foresight) is None
    live(foresight, range(40, 47))
    assert foresight.forecast
    assert foresight.forecast.minute == 45, "counted as the governor counts, the minute that ended"
    assert foresight.forecast.soon[0] == pytest.approx(100.0, rel=0.05)
    assert 'tidewatt_forecast_peak_requests_per_second{minutes="3",quantile="0.9"}' in page(foresight)
    assert "tidewatt_forecast_trusted 0.0" in page(foresight)


def test_it_is_trusted_in_time() -> None:
    foresight = started()
    live(foresight, range(160))
    assert foresight.forecast
    assert foresight.forecast.trusted
    assert "tidewatt_forecast_trusted 1.0" in page(foresight)
    assert "tidewatt_forecast_coverage_ratio 1.0" in page(foresight)


def test_the_history_outlives_the_agent(tmp_path: Path) -> None:
    first = started(folder=tmp_path)
    live(first, range(100))
    first.save()
    second = started(folder=tmp_path)
    live(second, range(100, 102))
    assert second.forecast, "one whole minute after the restart"


def test_a_broken_history_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "traffic.history").write_bytes(b"\x93garbage")
    foresight = started(folder=tmp_path)
    assert "begins anew" in caplog.text
    live(foresight, range(47))
    assert foresight.forecast


def test_a_disk_that_fails_costs_the_history_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    foresight = started(folder=tmp_path / "not there")
    live(foresight, range(47))
    foresight.save()
    assert "can't be kept" in caplog.text
    assert foresight.forecast


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "No such file"), (b"", "not an ONNX model"), (b"PK\x03\x04" * 99, "not an ONNX model")],
)
def test_a_model_that_can_not_be_read_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "m.onnx"
    if content is not None:
        file.write_bytes(content)
    foresight = started(str(file))
    live(foresight, range(60))
    assert len(caplog.records) == 1
    assert "no forecasts: " in caplog.text
    assert sentence in caplog.text
    assert foresight.forecast is None
    assert "tidewatt_forecast_trusted 0.0" in page(foresight)


def test_without_the_package_it_says_which(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("tidewatt_governor.forecast.")]:
        if name.rpartition(".")[2] in ("forecaster", "model", "head", "conformal"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    foresight = started()
    assert "tidewatt-agent-forecast" in caplog.text
    live(foresight, range(60))
    assert foresight.forecast is None


def test_who_has_no_model_has_no_line_and_no_series(caplog: pytest.LogCaptureFixture) -> None:
    foresight = started("")
    live(foresight, range(60))
    assert (caplog.records, page(foresight)) == ([], "")


def test_a_model_that_fails_is_said_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    foresight = started()
    live(foresight, range(30))
    assert len(caplog.records) >= 1
    assert foresight.failures == 29
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records)


def test_a_clock_set_back_voids_what_was_foreseen() -> None:
    foresight = started()
    live(foresight, range(50))
    voided = foresight.note(Load(requests=10, interval_s=10.0), 4000.0, START_MS - 3_600_000)
    assert voided is None
    live(foresight, range(50, 120))
    assert foresight.forecast, "it goes on when time has caught up"


def test_minutes_without_a_load_are_unknown_not_idle() -> None:
    foresight = started()
    live(foresight, range(50))
    for tick in range(50 * 6, 52 * 6):
        foresight.note(None, 10.0 * tick, START_MS + 10_000 * tick)
    assert newest(foresight) is None
    live(foresight, range(52, 54))
    assert foresight.forecast
    assert foresight.forecast.soon[0] == pytest.approx(100.0, rel=0.1)


def test_a_clock_that_was_ahead_costs_the_history_not_the_forecasts(caplog: pytest.LogCaptureFixture) -> None:
    foresight = started()
    live(foresight, range(50))
    live(foresight, range(500_000, 500_002))
    live(foresight, range(52, 120))
    assert "begins anew" in caplog.text
    assert newest(foresight)


def test_a_stalled_tick_makes_an_old_forecast_not_a_fresh_one() -> None:
    foresight = started()
    live(foresight, range(50))
    late_s = 60.0 * 59
    foresight.note(Load(requests=10, interval_s=10.0), late_s, START_MS + round(late_s * 1000))
    found = newest(foresight)
    assert found is None or found.minute <= 50
