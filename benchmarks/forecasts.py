"""The product's own forecaster over a trace as a device lives it: minute by minute, learning as it goes."""

from datetime import datetime
from pathlib import Path

from tidewatt_coordinator.train.windows import Series
from tidewatt_governor.forecast.forecaster import Forecaster
from tidewatt_governor.forecast.history import KEPT
from tidewatt_governor.forecast.model import Model
from tidewatt_governor.forecast.shipped import SHIPPED, shipped_model
from tidewatt_governor.forecast.value import Forecast

#: Minutes that a forecaster has lived, learnt and been scored before the part that is reported.
LEAD_IN = 10_080


def read_model(path: str) -> Model:
    """The model of that file, "" for the shipped one; ModelError or OSError if it can't be run."""
    content = Path(path).read_bytes() if path and path != "none" else shipped_model()
    return Model(content, name=path or SHIPPED)


def forecast_series(series: Series, model: Model, first: int) -> dict[int, Forecast]:
    """The forecast made at the end of every minute from `first` - 1 on, by minute of the series."""
    forecaster = Forecaster(model)
    begin = max(0, first - LEAD_IN)
    for minute in range(max(0, begin - KEPT), begin):
        forecaster.history.add(minute, float(series.rps[minute]))
    made = {}
    for minute in range(begin, len(series)):
        local = datetime.fromtimestamp((series.first + minute) * 60, series.zone)
        forecast = forecaster.minute(minute, float(series.rps[minute]), local)
        if forecast is not None and minute >= first - 1:
            made[minute] = forecast
    return made
