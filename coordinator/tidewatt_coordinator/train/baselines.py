"""The forecasts that a model has to beat, fitted to each series by itself, to what came before only.

They are fitted once, to the newest windows of the first 70 %, and don't go on learning, as the device does.
"""

import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.train.windows import (
    DAY_MIN,
    IDLE,
    TRAIN_SHARE,
    TUNE_SHARE,
    Series,
    calendar,
    rows,
    truth,
)
from tidewatt_governor.forecast.layout import AHEAD, PAST, PEAK_3, PEAK_15, QUANTILES

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

#: Outputs that quantiles are compared on: minutes 1, 5 and 15, the peaks of 3 and 15.
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
#: Windows fitted on at most, the newest.
FITTED = 12_000
#: Rises beyond so many scales are cut when fitting.
MOST = 5.0


def last_value(series: Series, origins: Places) -> Floats:
    """The last minute for all fifteen, [n, 15] requests/s."""
    return np.repeat(series.rps[origins][:, None], AHEAD, axis=1)


def seasonal(series: Series, origins: Places) -> Floats:
    """The same minutes of the day before, [n, 15]; the last value where they aren't known."""
    at = origins[:, None] + np.arange(1, AHEAD + 1) - DAY_MIN
    before = np.where(at >= 0, series.rps[np.maximum(at, 0)], np.nan)
    return np.where(np.isnan(before), last_value(series, origins), before)


def ridge(series: Series, origins: Places) -> Floats:
    """Ridge autoregression on the last hour, fitted to the first 70 %, [n, 15]."""
    fit_on = _training(series, 0.0, TRAIN_SHARE)
    features, last, scale = _shares(series, fit_on)
    lags = _lags(features)
    wanted = np.clip((truth(series.rps, fit_on)[:, :AHEAD] - last) / scale, -MOST, MOST)
    gram = lags.T @ lags
    weights = np.linalg.solve(gram + np.eye(len(gram)) * 1e-3 * gram.trace() / len(gram), lags.T @ wanted)
    seen, last, scale = _shares(series, origins)
    guess: Floats = np.maximum(_lags(seen) @ weights * scale + last, 0.0)
    return guess


def boosting(series: Series, origins: Places) -> Floats:
    """LightGBM's quantiles, one model each, stopped by the tuning part, [n, compared, 3]."""
    import lightgbm  # noqa: PLC0415 - only who compares has it

    seen, last, scale = _shares(series, origins)
    out = np.empty((len(origins), len(COMPARED), len(QUANTILES)))
    parts = [_training(series, 0.0, TRAIN_SHARE), _training(series, TRAIN_SHARE, TUNE_SHARE)]
    sets = [(truth(series.rps, on), *_shares(series, on)) for on in parts]
    for column, output in enumerate(COMPARED):
        for place, level in enumerate(QUANTILES):
            data = [
                lightgbm.Dataset(
                    features, ((came[:, [output]] - before) / each)[:, 0], weight=(each / each.mean())[:, 0]
                )
                for came, features, before, each in sets
            ]
            booster = lightgbm.train(
                {**BOOSTING, "objective": "quantile", "alpha": level},
                data[0],
                ROUNDS,
                valid_sets=[data[1]],
                callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
            )
            guess = np.asarray(booster.predict(seen))
            out[:, column, place] = np.maximum(guess * scale[:, 0] + last[:, 0], 0.0)
    ordered: Floats = np.maximum.accumulate(out, axis=2)
    return ordered


def _shares(series: Series, origins: Places) -> tuple[Floats, Floats, Floats]:
    """Features for a fitted model, [n, f]; last minutes [n, 1] and scales [n, 1] in requests/s."""
    seen = rows(series.rps, origins).astype(np.float64)
    own, last = seen[:, 0, :PAST], seen[:, 0, PAST - 1 : PAST]
    scale = np.maximum(np.nanmean(own, axis=1, keepdims=True), 1e-6)
    level = seen[:, 1:, PAST - 3 : PAST].mean(axis=2, keepdims=True)
    earlier = (seen[:, 1:, PAST:] - level) / scale[:, :, None]
    clock = calendar(series, origins).astype(np.float64)
    each = earlier[:, :, [0, 4, 9, 14]].reshape(len(origins), -1)
    return np.concatenate([own / scale, each, clock, clock[:, :1] % 60], axis=1), last, scale


def _lags(features: Floats) -> Floats:
    return np.asarray(np.nan_to_num(np.clip(features[:, :PAST], 0.0, MOST), nan=1.0) - 1.0)


def _training(series: Series, begin: float, end: float) -> Places:
    origins = np.arange(max(PAST, int(len(series) * begin)), int(len(series) * end) - AHEAD)
    means = np.convolve(np.nan_to_num(series.rps), np.ones(PAST) / PAST)[origins]
    busy = means > IDLE * np.nanmean(series.rps)
    known = ~np.isnan(truth(series.rps, origins)).any(axis=1) & ~np.isnan(series.rps[origins])
    return np.asarray(origins[busy & known][-FITTED:])
