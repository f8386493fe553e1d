"""How good the forecaster is, beside last value, seasonal naive, ridge regression and gradient boosting.

    make bench-forecast [TRACES=DIR] [MODEL=FILE]

On the last 15 % of each trace, 60 minutes known, 15 ahead. The model with all it learns on the device
(head, calibration) starts a week before and counts as one; LightGBM and ridge are fitted to the trace's
own first 70 % (LightGBM stopped on the next 15 %), with the same rows and calendar to learn from.
WAPE is sum |p50 - truth| / sum truth over the fifteen minutes; coverage is of the horizon's peak by its
p90; pinball is the mean over p50, p90, p99 of minutes 1, 5, 15 and the peaks of 3 and 15.
"""

import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean

import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.forecasts import forecast_series, read_model
from benchmarks.governor import BUNDLED
from benchmarks.results import FOLDER, Result, publish
from benchmarks.traces import SHORTEST_MIN, read_folder
from tidewatt_coordinator.train.windows import TRAIN_SHARE, TUNE_SHARE, Series, calendar, rows, truth
from tidewatt_governor.forecast.history import History
from tidewatt_governor.forecast.layout import AHEAD, PAST, PEAK_3, PEAK_15, QUANTILES
from tidewatt_governor.forecast.model import Model
from tidewatt_wire.documents import DocumentError

Floats = NDArray[np.float64]

DAY_MIN, SIX_HOURS = 1440, 360
COMPARED = (0, 4, 14, PEAK_3, PEAK_15)
#: Rounds of boosting at most; the next 15 % stop it sooner.
ROUNDS, PATIENCE = 400, 30
BOOSTING = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "verbose": -1,
    "num_threads": 1,
    "seed": 1,
}
FITTED = 12_000
INFERENCES = 3000


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """One trace. Shares; pinball in shares of the mean rate."""

    trace: str
    step_min: int
    wape: float
    wape_last_value: float
    wape_seasonal: float
    wape_ridge: float
    wape_boosting: float
    """Of minutes 1, 5 and 15."""
    wape_on_those: float
    """The model's of the same three."""
    coverage: float
    coverage_worst_twentieth: float
    pinball: float
    pinball_boosting: float
    trusted: float


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
        scores = list(pool.map(_score, long, [os.environ.get("MODEL", "")] * len(long)))
    _table(scores)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "forecast-traces.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(scores), indent=1) + b"\n"
    )
    quantiles_ms = _inference_ms(model, long[0])
    sys.exit(0 if publish("forecast", _results(scores, quantiles_ms)) else 1)


def _score(series: Series, model: str) -> Scores:
    first = int(len(series) * TUNE_SHARE)
    made = forecast_series(series, read_model(model), first)
    origins = np.array([minute for minute in made if minute + AHEAD < len(series)])
    came = truth(series.rps, origins)
    whole = ~np.isnan(came).any(axis=1)
    origins, came = origins[whole], came[whole]
    ours = np.array([made[int(minute)].rps for minute in origins])
    last = np.repeat(series.rps[origins][:, None], AHEAD, axis=1)
    covered = came[:, PEAK_15] <= ours[:, PEAK_15, 1]
    boosted = _boosting(series, origins)
    mean = max(float(came[:, :AHEAD].mean()), 1e-9)
    named = [0, 4, 14]
    return Scores(
        trace=series.name,
        step_min=series.step_min,
        wape=wape(ours[:, :AHEAD, 0], came[:, :AHEAD]),
        wape_last_value=wape(last, came[:, :AHEAD]),
        wape_seasonal=wape(_seasonal(series, origins), came[:, :AHEAD]),
        wape_ridge=wape(_ridge(series, origins), came[:, :AHEAD]),
        wape_boosting=wape(boosted[:, :3, 0], came[:, named]),
        wape_on_those=wape(ours[:, named, 0], came[:, named]),
        coverage=float(covered.mean()),
        coverage_worst_twentieth=_worst_windows(covered),
        pinball=pinball(ours[:, COMPARED], came[:, COMPARED]) / mean,
        pinball_boosting=pinball(boosted, came[:, COMPARED]) / mean,
        trusted=fmean(made[int(minute)].trusted for minute in origins),
    )


def wape(guess: Floats, came: Floats) -> float:
    """Sum of absolute errors as a share of what came."""
    return float(np.abs(guess - came).sum() / max(came.sum(), 1e-9))


def pinball(guess: Floats, came: Floats) -> float:
    """Mean pinball loss of guesses [n, k, 3] at p50, p90, p99 against [n, k]."""
    error, level = came[..., None] - guess, np.array(QUANTILES)
    return float(np.maximum(level * error, (level - 1.0) * error).mean())


def _worst_windows(covered: NDArray[np.bool_]) -> float:
    span = min(SIX_HOURS, len(covered))
    each = np.convolve(covered.astype(float), np.ones(span) / span, "valid")
    return float(np.quantile(each, 0.05))


def _seasonal(series: Series, origins: NDArray[np.int64]) -> Floats:
    """The same minutes of the day before."""
    at = np.maximum(origins[:, None] + np.arange(1, AHEAD + 1) - DAY_MIN, 0)
    return np.nan_to_num(series.rps[at])


def _shares(series: Series, origins: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Features for a fitted model, [n, f]; last minutes [n, 1] and scales [n, 1] in rps."""
    seen = rows(series.rps, origins).astype(np.float64)
    own, last = seen[:, 0, :PAST], seen[:, 0, PAST - 1 : PAST]
    scale = np.maximum(np.nanmean(own, axis=1, keepdims=True), 1e-6)
    earlier = (seen[:, 1:, PAST:] - seen[:, 1:, PAST - 3 : PAST].mean(axis=2, keepdims=True)) / scale[
        :, :, None
    ]
    clock = calendar(series, origins).astype(np.float64)
    parts = [own / scale, earlier[:, :, [0, 4, 9, 14]].reshape(len(origins), -1), clock, clock[:, :1] % 60]
    return np.concatenate(parts, axis=1), last, scale


def _training(series: Series, begin: float, end: float) -> NDArray[np.int64]:
    origins = np.arange(max(PAST, int(len(series) * begin)), int(len(series) * end) - AHEAD)
    busy = np.convolve(np.nan_to_num(series.rps), np.ones(PAST) / PAST)[origins] > 1e-4 * np.nanmean(
        series.rps
    )
    usable = busy & ~np.isnan(truth(series.rps, origins)).any(axis=1)
    return origins[usable][-FITTED:]


def _ridge(series: Series, origins: NDArray[np.int64]) -> Floats:
    fit_on = _training(series, 0.0, TRAIN_SHARE)
    features, last, scale = _shares(series, fit_on)
    features = np.nan_to_num(np.clip(features[:, :PAST], 0.0, 5.0)) - 1.0
    wanted = np.clip((truth(series.rps, fit_on)[:, :AHEAD] - last) / scale, -5.0, 5.0)
    gram = features.T @ features
    weights = np.linalg.solve(gram + np.eye(len(gram)) * 1e-3 * gram.trace() / len(gram), features.T @ wanted)
    seen, last, scale = _shares(series, origins)
    guess = (np.nan_to_num(np.clip(seen[:, :PAST], 0.0, 5.0)) - 1.0) @ weights
    return np.asarray(np.maximum(guess * scale + last, 0.0))


def _boosting(series: Series, origins: NDArray[np.int64]) -> Floats:
    """LightGBM's quantiles, [n, compared, 3], one model each, fitted to this trace."""
    fit_on, stop_on = _training(series, 0.0, TRAIN_SHARE), _training(series, TRAIN_SHARE, TUNE_SHARE)
    seen, last, scale = _shares(series, origins)
    out = np.empty((len(origins), len(COMPARED), len(QUANTILES)))
    sets = [(on, *_shares(series, on)) for on in (fit_on, stop_on)]
    for column, output in enumerate(COMPARED):
        for place, level in enumerate(QUANTILES):
            data = [
                lightgbm.Dataset(
                    features,
                    ((truth(series.rps, on)[:, [output]] - before) / scales)[:, 0],
                    weight=(scales / scales.mean())[:, 0],
                )
                for on, features, before, scales in sets
            ]
            booster = lightgbm.train(
                {**BOOSTING, "objective": "quantile", "alpha": level},
                data[0],
                ROUNDS,
                valid_sets=[data[1]],
                callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
            )
            out[:, column, place] = np.maximum(
                np.asarray(booster.predict(seen)) * scale[:, 0] + last[:, 0], 0.0
            )
    return np.maximum.accumulate(out, axis=2)


def _inference_ms(model: Model, series: Series) -> list[float]:
    """p50 and p99 of one inference in milliseconds, on one thread."""
    history = History()
    for minute, rps in enumerate(series.rps[:DAY_MIN]):
        history.add(minute, float(rps))
    fed, local, took = history.rows(), [700.0, 2.0, 0.0], []
    for _ in range(INFERENCES):
        start = time.thread_time()  # of this core alone, whoever else wants it
        model(fed, local)
        took.append((time.thread_time() - start) * 1000.0)
    return [float(np.quantile(took, share)) for share in (0.5, 0.99)]


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
            one.wape_boosting,
            one.coverage,
            one.coverage_worst_twentieth,
            one.pinball,
            one.pinball_boosting,
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
    coverage = [100.0 * one.coverage for one in scores]
    pinball_share = fmean(one.pinball / max(one.pinball_boosting, 1e-12) for one in scores)
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
    ]


if __name__ == "__main__":
    main()
