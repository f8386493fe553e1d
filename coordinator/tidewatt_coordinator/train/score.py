"""How good forecasts are: on the last 15 % of a series, made minute by minute as a device makes them."""

from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.train import baselines
from tidewatt_coordinator.train.windows import TUNE_SHARE, Series, truth
from tidewatt_governor.forecast.forecaster import Forecaster
from tidewatt_governor.forecast.history import KEPT
from tidewatt_governor.forecast.layout import AHEAD, PEAK_15, QUANTILES
from tidewatt_governor.forecast.model import Model
from tidewatt_governor.forecast.value import Forecast

Floats = NDArray[np.float64]

#: Minutes that a forecaster has lived, learnt and been scored before the part that is reported.
LEAD_IN = 10_080
SIX_HOURS, WORST = 360, 0.05


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """One series. Shares; pinball in shares of the mean rate. WAPE is sum |p50 - truth| / sum truth."""

    trace: str
    step_min: int
    minutes: int
    wape: float
    wape_last_value: float
    wape_seasonal: float
    wape_ridge: float
    wape_boosting: float | None
    """Of minutes 1, 5 and 15; None where it wasn't fitted."""
    wape_on_those: float
    """The model's of the same three."""
    coverage: float
    """Share of the 15-minute peaks at or below their p90."""
    coverage_worst_twentieth: float
    """The same in the worst twentieth of 6-hour windows."""
    pinball: float
    pinball_boosting: float | None
    trusted: float
    """Share of the minutes in which forecasts were followed."""


def forecast_series(
    series: Series, model: Model, first: int, *, lead_in: int = LEAD_IN
) -> dict[int, Forecast]:
    """The forecast made at the end of every minute from `first` - 1 on, by minute of the series.

    `lead_in`: minutes that the forecaster has lived before; those before them it only remembers.
    """
    forecaster = Forecaster(model)
    begin = max(0, first - lead_in)
    for minute in range(max(0, begin - KEPT), begin):
        forecaster.history.add(minute, float(series.rps[minute]))
    made = {}
    for minute in range(begin, len(series)):
        local = datetime.fromtimestamp((series.first + minute) * 60, series.zone)
        forecast = forecaster.minute(minute, float(series.rps[minute]), local)
        if forecast is not None and minute >= first - 1:
            made[minute] = forecast
    return made


def score(series: Series, model: Model, *, boosting: bool) -> Scores | None:
    """The scores; None where not one forecast's time has come. `boosting`: fit LightGBM to compare with."""
    made = forecast_series(series, model, int(len(series) * TUNE_SHARE))
    origins = np.array([minute for minute in made if minute + AHEAD < len(series)], dtype=np.int64)
    if len(origins) == 0:
        return None
    came = truth(series.rps, origins)
    whole = ~np.isnan(came).any(axis=1)
    if not whole.any():
        return None
    origins, came = origins[whole], came[whole]
    ours = np.array([made[int(minute)].rps for minute in origins])
    covered = came[:, PEAK_15] <= ours[:, PEAK_15, 1]
    boosted = baselines.boosting(series, origins) if boosting else None
    mean = max(float(came[:, :AHEAD].mean()), 1e-9)
    named, compared = [0, 4, 14], list(baselines.COMPARED)
    return Scores(
        trace=series.name,
        step_min=series.step_min,
        minutes=len(origins),
        wape=wape(ours[:, :AHEAD, 0], came[:, :AHEAD]),
        wape_last_value=wape(baselines.last_value(series, origins), came[:, :AHEAD]),
        wape_seasonal=wape(baselines.seasonal(series, origins), came[:, :AHEAD]),
        wape_ridge=wape(baselines.ridge(series, origins), came[:, :AHEAD]),
        wape_boosting=None if boosted is None else wape(boosted[:, :3, 0], came[:, named]),
        wape_on_those=wape(ours[:, named, 0], came[:, named]),
        coverage=float(covered.mean()),
        coverage_worst_twentieth=worst_windows(covered),
        pinball=pinball(ours[:, compared], came[:, compared]) / mean,
        pinball_boosting=None if boosted is None else pinball(boosted, came[:, compared]) / mean,
        trusted=float(np.mean([made[int(minute)].trusted for minute in origins])),
    )


def wape(guess: Floats, came: Floats) -> float:
    """Sum of absolute errors as a share of what came."""
    return float(np.abs(guess - came).sum() / max(came.sum(), 1e-9))


def pinball(guess: Floats, came: Floats) -> float:
    """Mean pinball loss of guesses [n, k, 3] at p50, p90, p99 against [n, k]."""
    error, level = came[..., None] - guess, np.array(QUANTILES)
    return float(np.maximum(level * error, (level - 1.0) * error).mean())


def worst_windows(covered: NDArray[np.bool_]) -> float:
    """The share covered in the worst twentieth of 6-hour windows, their mean."""
    span = min(SIX_HOURS, len(covered))
    each = np.sort(np.convolve(covered.astype(float), np.ones(span) / span, "valid"))
    return float(each[: max(1, round(WORST * len(each)))].mean())
