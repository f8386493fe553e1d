"""Where recorded demand is read: Prometheus, the ledger, files."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np

from tidewatt_coordinator.simulate.asked import Recorded
from tidewatt_coordinator.simulate.bundled import reference
from tidewatt_coordinator.simulate.demand import Demand, drawn, recorded
from tidewatt_coordinator.train.sources import from_ledger, from_prometheus
from tidewatt_coordinator.train.traces import read_folder, read_series
from tidewatt_coordinator.train.windows import DAY_MIN, Series

#: 1970-01-05 was a Monday.
MONDAY = 4


class Doors(msgspec.Struct, frozen=True):
    """What the configuration opens."""

    prometheus: str
    ledger: str
    bucket_s: int
    now: Callable[[], datetime]


def demand_of(asked: Recorded, doors: Doors, seed: int) -> Demand:
    """The demand that is asked for. Raises ValueError with the source's own words."""
    if asked.rps is not None:
        return recorded(Series("what was sent", MONDAY * DAY_MIN, np.array(asked.rps)), asked.peak_rps)
    if asked.query:
        if not doors.prometheus:
            raise ValueError("no Prometheus is configured: set dispatch.prometheus")
        end = doors.now().replace(hour=0, minute=0, second=0, microsecond=0)
        begin = end - timedelta(days=asked.days)
        return recorded(
            summed("Prometheus", from_prometheus(doors.prometheus, asked.query, begin, end)), asked.peak_rps
        )
    if asked.ledger:
        return recorded(
            _last(summed("the ledger", from_ledger(doors.ledger, doors.bucket_s)), asked.days), asked.peak_rps
        )
    return drawn(asked.profile or reference().profile, seed)


def from_files(path: Path, peak_rps: float | None) -> Demand:
    """A trace's file; a folder's are summed, as if each were a service's."""
    series = read_folder(path) if path.is_dir() else [read_series(path)]
    return recorded(summed(path.name, series) if len(series) > 1 else series[0], peak_rps)


def summed(name: str, series: Sequence[Series]) -> Series:
    """All of them together; a minute is unknown where none of them knows it."""
    first = min(one.first for one in series)
    last = max(one.first + len(one) for one in series)
    rps, known = np.zeros(last - first), np.zeros(last - first, dtype=np.bool_)
    for one in series:
        place = slice(one.first - first, one.first - first + len(one))
        rps[place] += np.nan_to_num(one.rps)
        known[place] |= np.isfinite(one.rps)
    return Series(name, first, np.where(known, rps, np.nan))


def _last(series: Series, days: int) -> Series:
    """Its last whole days."""
    end = (series.first + len(series)) // DAY_MIN * DAY_MIN
    begin = max(series.first, end - days * DAY_MIN)
    return Series(series.name, begin, series.rps[begin - series.first : max(end - series.first, 0)])
