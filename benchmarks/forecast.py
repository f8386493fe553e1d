"""How good the forecaster is, beside last value, seasonal naive, ridge regression and gradient boosting.

    make bench-forecast [TRACES=DIR] [MODEL=FILE]

On the last 15 % of each trace, 60 minutes known, 15 ahead. The model with all it learns on the device
(head, calibration) starts a week before and counts as one; LightGBM and ridge are fitted to the
newest 12,000 windows of the trace's own first 70 % (LightGBM stopped by the next 15 %) and stay as they are.
WAPE is sum |p50 - truth| / sum truth over the fifteen minutes; coverage is of the horizon's peak by its
p90; pinball is the mean over p50, p90, p99 of minutes 1, 5, 15 and the peaks of 3 and 15.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.governor import BUNDLED
from benchmarks.model import read_model
from benchmarks.results import FOLDER, Result, publish
from tidewatt_coordinator.train.score import Scores, score
from tidewatt_coordinator.train.traces import SHORTEST_MIN, read_folder
from tidewatt_coordinator.train.windows import DAY_MIN, Series
from tidewatt_governor.forecast.forecaster import Forecaster
from tidewatt_governor.forecast.history import History
from tidewatt_governor.forecast.model import Model
from tidewatt_wire.documents import DocumentError

INFERENCES = 3000


def main() -> None:
    """Measure and publish; exit 1 if a target was missed."""
    try:
        series = read_folder(Path(os.environ.get("TRACES") or BUNDLED))
        model = read_model(os.environ.get("MODEL", ""))
    except (DocumentError, OSError, ValueError) as error:
        sys.exit(f"bench-forecast: {error}")
    long = [one for one in series if len(one) >= SHORTEST_MIN]
    for short in (one.name for one in series if len(one) < SHORTEST_MIN):
        print(f"{short}: left out, it is shorter than {SHORTEST_MIN} minutes")
    if not long:
        sys.exit("bench-forecast: no trace is long enough to be forecast")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(_score, long, [os.environ.get("MODEL", "")] * len(long))
        scores = [one for one in found if one is not None]
    if not scores:
        sys.exit("bench-forecast: not one forecast's time has come on these traces")
    _table(scores)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "forecast-traces.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(scores), indent=1) + b"\n"
    )
    quantiles_ms = _inference_ms(model, long[0])
    sys.exit(0 if publish("forecast", _results(scores, quantiles_ms)) else 1)


def _score(series: Series, model: str) -> Scores | None:
    return score(series, read_model(model), boosting=True)


def _inference_ms(model: Model, series: Series) -> list[float]:
    """p50 and p99 of one inference, and p99 of a device's whole minute; milliseconds of one core."""
    history, forecaster = History(), Forecaster(model)
    for minute, rps in enumerate(series.rps[:DAY_MIN]):
        history.add(minute, float(rps))
    fed, local = history.rows(), [700.0, 2.0, 0.0]
    inferences = [_cpu_ms(lambda: model(fed, local)) for _ in range(INFERENCES)]
    moment = datetime(2026, 11, 21, tzinfo=timezone.utc)
    minutes = [
        _cpu_ms(lambda minute=minute, rps=rps: forecaster.minute(minute, float(rps), moment))  # type: ignore[misc]
        for minute, rps in enumerate(series.rps[: 2 * DAY_MIN])
    ]
    return [float(np.quantile(inferences, share)) for share in (0.5, 0.99)] + [
        float(np.quantile(minutes, 0.99))
    ]


def _cpu_ms(work: Callable[[], object]) -> float:
    start = time.thread_time()  # of this core alone, whoever else wants it
    work()
    return (time.thread_time() - start) * 1000.0


def _table(scores: Sequence[Scores]) -> None:
    table = Table(title="last 15 % of each trace; WAPE, coverage and pinball in %", title_justify="left")
    headings = (
        "trace",
        "step",
        "WAPE",
        "last value",
        "of it",
        "seasonal",
        "ridge",
        "1, 5, 15 min",
        "LightGBM",
        "peak p90 covers",
        "worst 6 h",
        "pinball",
        "LightGBM",
        "trusted",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "trace" else "right")
    for one in scores:
        shares = (
            one.wape,
            one.wape_last_value,
            one.wape / max(one.wape_last_value, 1e-12),
            one.wape_seasonal,
            one.wape_ridge,
            one.wape_on_those,
            one.wape_boosting or 0.0,
            one.coverage,
            one.coverage_worst_twentieth,
            one.pinball,
            one.pinball_boosting or 0.0,
            one.trusted,
        )
        table.add_row(one.trace, f"{one.step_min} min", *(f"{100 * share:.2f}" for share in shares))
    Console(width=170).print(table)


def _results(scores: Sequence[Scores], inference_ms: Sequence[float]) -> list[Result]:
    minute = [one for one in scores if one.step_min == 1]
    shares = [one.wape / max(one.wape_last_value, 1e-12) for one in minute]
    results = []
    if minute:
        below = 100.0 * (1.0 - fmean(shares))
        results = [
            Result.judged(
                "WAPE below last value's, mean of the 1-minute traces",
                below,
                "%",
                better="higher",
                target=30.0,
                against="last value",
            ),
            Result.judged(
                "WAPE, worst 1-minute trace", 100.0 * max(shares), "%", target=100.0, against="last value"
            ),
        ]
    results.append(
        Result.judged(
            "WAPE, worst of all traces",
            100.0 * max(one.wape / max(one.wape_last_value, 1e-12) for one in scores),
            "%",
            target=100.0,
            against="last value",
        )
    )
    coverage = [100.0 * one.coverage for one in scores]
    pinball_share = fmean(one.pinball / max(one.pinball_boosting or 0.0, 1e-12) for one in scores)
    return [
        *results,
        Result.judged(
            "peak covered by p90, least trace",
            min(coverage),
            "%",
            better="higher",
            target=88.0,
            against="promise of 90 %",
        ),
        Result.judged(
            "peak covered by p90, most trace", max(coverage), "%", target=92.0, against="promise of 90 %"
        ),
        Result.judged(
            "peak covered, worst twentieth of 6 h windows, least trace",
            100.0 * min(one.coverage_worst_twentieth for one in scores),
            "%",
            better="higher",
            target=83.0,
            against="promise of 90 %",
        ),
        Result.judged(
            "pinball loss, mean of shares",
            100.0 * pinball_share,
            "%",
            target=100.0,
            against="LightGBM fitted to each trace",
        ),
        Result.judged("inference, p50", inference_ms[0], "ms", against="one core, one thread"),
        Result.judged("inference, p99", inference_ms[1], "ms", target=1.0, against="one core, one thread"),
        Result.judged(
            "a whole minute, head and calibration too, p99", inference_ms[2], "ms", against="one core"
        ),
    ]


if __name__ == "__main__":
    main()
