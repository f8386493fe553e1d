"""Series of minutes, and the windows that a model is trained and judged on."""

from collections.abc import Sequence
from datetime import datetime, timezone, tzinfo

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidewatt_governor.forecast.layout import AHEAD, LAGS, PAST, SOON

Floats = NDArray[np.float32]
WEEK_MIN, DAY_MIN, SATURDAY = 10080, 1440, 5
#: 1970-01-01 was a Thursday.
FIRST_WEEKDAY = 3
#: A series whose last hour is below this share of its mean is idle then, and teaches nothing.
IDLE = 1e-4
#: Always forward in time: train on the first 70 %, tune on the next 15 %, report on the last 15 %.
TRAIN_SHARE, TUNE_SHARE = 0.70, 0.85


class Series(msgspec.Struct, frozen=True):
    """Requests/s by minute (NaN where not known) from Unix minute `first`; `step_min` as it was measured."""

    name: str
    first: int
    rps: NDArray[np.float64]
    step_min: int = 1
    zone: tzinfo = timezone.utc

    def __len__(self) -> int:
        """Minutes."""
        return len(self.rps)


class Windows(msgspec.Struct, frozen=True):
    """Forecast origins of one series: model inputs, and what came: each minute, peak of 3, peak of 15."""

    origins: NDArray[np.int64]
    """Index of the last known minute."""
    minutes: Floats
    """[n, 1 + lags, 75] requests/s."""
    calendar: Floats
    """[n, 3]."""
    truth: NDArray[np.float64]
    """[n, 17] requests/s."""


def windows(series: Series, origins: Sequence[int] | NDArray[np.int64]) -> Windows:
    """The windows of those origins; each needs the 15 minutes after it."""
    at = np.asarray(origins, dtype=np.int64)
    return Windows(at, rows(series.rps, at), calendar(series, at), truth(series.rps, at))


def rows(rps: NDArray[np.float64], origins: NDArray[np.int64]) -> Floats:
    """The model's `minutes` of many origins at once, [n, 1 + lags, 75]."""
    reach = max(LAGS) + PAST
    padded = np.concatenate([np.full(reach, np.nan), rps, np.full(AHEAD, np.nan)])
    offsets = np.arange(1 - PAST, AHEAD + 1)
    out = np.stack(
        [padded[origins[:, None] + reach - lag + offsets[None, :]] for lag in (0, *LAGS)], axis=1
    ).astype(np.float32)
    out[:, 0, PAST:] = np.nan
    return out


def truth(rps: NDArray[np.float64], origins: NDArray[np.int64]) -> NDArray[np.float64]:
    """What came after each origin, [n, 17] requests/s; NaN beyond the end."""
    padded = np.concatenate([rps, np.full(AHEAD, np.nan)])
    ahead = padded[origins[:, None] + np.arange(1, AHEAD + 1)[None, :]]
    peaks = [ahead[:, :SOON].max(axis=1), ahead.max(axis=1)]
    return np.concatenate([ahead, np.stack(peaks, axis=1)], axis=1)


def sure(series: Series, origins: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which outputs, [n, 17], are known at each origin because a row of the series holds on that long."""
    left = series.step_min - 1 - origins % series.step_min
    ends = np.array([*range(1, AHEAD + 1), SOON, AHEAD])
    return np.asarray(left[:, None] >= ends)


def calendar(series: Series, origins: NDArray[np.int64]) -> Floats:
    """The model's `calendar` of many origins, [n, 3], in the series' zone."""
    minutes = series.first + origins
    # Offsets change at most a few times a year: one look an hour is exact where zones shift on the hour.
    hours, place = np.unique(minutes // 60, return_inverse=True)
    shift = np.array([_offset_min(series.zone, int(hour)) for hour in hours], dtype=np.int64)
    local = minutes + shift[place]
    weekday = (local // DAY_MIN + FIRST_WEEKDAY) % 7
    return np.stack([local % DAY_MIN, weekday, weekday >= SATURDAY], axis=1).astype(np.float32)


def _offset_min(zone: tzinfo, hour: int) -> int:
    offset = datetime.fromtimestamp(hour * 3600, zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() / 60)
