"""`tidewatt train` with torch: what it writes, how it scores, what it refuses. Run by `make test-train`."""

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from tidewatt_coordinator.train.export import export  # noqa: E402 - torch first
from tidewatt_coordinator.train.fit import Plan, fit_habit, fit_lstm, lessons  # noqa: E402
from tidewatt_coordinator.train.score import score  # noqa: E402
from tidewatt_coordinator.train.windows import Series, windows  # noqa: E402
from tidewatt_governor.forecast.layout import LAGS, OPSET  # noqa: E402
from tidewatt_governor.forecast.model import Model  # noqa: E402

DAY = 1440


@pytest.fixture(scope="module")
def tide() -> Series:
    chance, minutes = np.random.default_rng(1), np.arange(3 * DAY)
    rate = (
        100
        + 50 * np.sin(minutes * math.tau / DAY)
        + 30 * (minutes % 60 > 50)
        + chance.normal(0, 2, len(minutes))
    )
    return Series("tide", 29_000_000, np.maximum(rate, 0.0))


@pytest.mark.parametrize("fit", [fit_habit, fit_lstm])
def test_a_model_learns_exports_and_beats_the_last_value(tide: Series, fit: object) -> None:
    of = lessons([tide], 0.85, 0)
    model = fit(of, Plan(epochs=2))  # type: ignore[operator]
    content = export(model, {"kind": "test"})
    assert len(content) < 1_000_000
    assert onnx.load_model_from_string(content).opset_import[0].version == OPSET
    scores = score(tide, Model(content, name="m"), boosting=False)
    assert scores
    if fit is fit_habit:
        assert scores.wape < 0.7 * scores.wape_last_value
    assert 0.8 < scores.coverage <= 1.0


def test_the_export_says_what_the_network_says(tide: Series) -> None:
    model = fit_habit(lessons([tide], 0.85, 0), Plan(epochs=1), members=1)
    read = Model(export(model, {}), name="m")
    seen = windows(tide, [2000, 3000, 4000])
    with torch.no_grad():
        theirs = model(torch.from_numpy(seen.minutes), torch.from_numpy(seen.calendar))[0].numpy()
    for row in range(3):
        ours = read([list(line) for line in seen.minutes[row]], list(seen.calendar[row])).quantiles
        np.testing.assert_allclose(ours, np.maximum.accumulate(theirs[row], axis=1), rtol=1e-3, atol=1e-3)


def test_a_gap_is_not_learned_from_and_an_idle_series_teaches_nothing() -> None:
    minutes = np.arange(2 * DAY)
    some = lessons([Series("some", 0, np.where(minutes % 70 < 60, 5.0, np.nan))], 0.85, 0)
    assert not torch.isnan(some.targets).any()  # what came is known of every window that is taught
    assert not torch.isnan(some.minutes[:, 0, 59]).any()  # and so is the minute it is told from
    with pytest.raises(ValueError, match="too little history"):
        lessons([Series("holey", 0, np.where(minutes % 15 < 14, 5.0, np.nan))], 0.85, 0)
    with pytest.raises(ValueError, match="too little history"):
        lessons([Series("idle", 0, np.zeros(2 * DAY))], 0.85, 0)
    with pytest.raises(ValueError, match="too little history"):
        lessons([Series("short", 0, np.ones(70))], 0.85, 0)


def test_the_command_writes_a_model_and_its_card(tmp_path: Path, tide: Series) -> None:
    stamps = np.datetime64("2026-11-01T00:00:00") + np.arange(len(tide)).astype("timedelta64[m]")
    rows = [f"{stamp}Z,{60 * rps}" for stamp, rps in zip(stamps, tide.rps, strict=True)]
    (tmp_path / "tide.csv").write_text("\n".join(["timestamp,requests_per_minute", *rows, ""]))

    def train(out: str) -> "subprocess.CompletedProcess[str]":
        told = ["--csv", str(tmp_path), "--epochs", "1", "--no-compare", "--out", str(tmp_path / out)]
        command = [sys.executable, "-m", "tidewatt_coordinator", "train", *told]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = train("m.onnx")
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "m.md").read_text()
    assert hashlib.sha256((tmp_path / "m.onnx").read_bytes()).hexdigest() in card
    assert "| tide | 4,320 | 2026-11-01 | 2026-11-03 | 1 min |" in card
    assert ", ".join(map(str, LAGS)) in card
    wrong = train("m.bin")
    assert (wrong.returncode, "name a file that ends in .onnx" in wrong.stderr) == (2, True)
