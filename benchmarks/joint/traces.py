"""The traces that fleets live, scaled and forecast, and every way of choosing compared on each. Simulated.

Each trace (a `timestamp,requests_per_minute` file) is scaled so that its 99.5th percentile is 300 requests/s
for each device, and its last 15 % (at most the last MINUTES) is what is reported. Traces under 1,000
minutes are left out. Forecasts are made once for a trace and serve every kind of board.
"""

import itertools
import os
import sys
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from benchmarks.governor import BOARDS, BUNDLED, POLICY
from benchmarks.joint.lives import COUNT, Scene
from benchmarks.model import read_model
from benchmarks.results import FOLDER
from tidewatt_coordinator.train.score import forecast_series
from tidewatt_coordinator.train.traces import SHORTEST_MIN, read_folder
from tidewatt_coordinator.train.windows import TUNE_SHARE, Series
from tidewatt_governor.boards import parse_profile
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.simulate.minutes import Rules
from tidewatt_governor.traffic import PEAK_QUANTILE

PEAK_RPS = 300.0
#: Minutes lived before the reported part, for guards to know the traffic.
LEAD_IN = 1440
#: Minutes that the forecaster has lived before those: three days, as on a board that is new in the fleet;
#: seven, as elsewhere, would take half as long again.
FORECAST_LEAD_IN = 4320

Made = TypeVar("Made")
Outcome = TypeVar("Outcome")


class Foreseen:
    """The forecasts of one trace, and what is made of them: once, also where several kinds need it."""

    def __init__(self, whole: Mapping[int, Forecast], part: Mapping[int, Forecast]) -> None:
        """Of the fleet's traffic, by the minute each was made at the end of; and of one device's."""
        self.whole, self.part = whole, part
        self._made: dict[Hashable, object] = {}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` gave under that key; everything that it depends on is in the key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[return-value]


Comparing = Callable[[str, Scene, Foreseen], list[Outcome]]


def outcomes_of(name: str, compared: Comparing[Outcome]) -> list[Outcome]:
    """What `compared` finds on every trace and kind of board, also written to the results' folder.

    A process a core; `compared` is a function of a module. Exits with a sentence if TRACES can't be read.
    """
    folder = Path(os.environ.get("TRACES") or BUNDLED)
    most = int(os.environ.get("MINUTES") or sys.maxsize)
    try:
        series = [one for one in read_folder(folder) if len(one) >= SHORTEST_MIN]
    except (OSError, ValueError) as error:
        sys.exit(f"bench-{name}: {error}")
    # The longest first, so that none is left over at the end.
    series.sort(key=len, reverse=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(itertools.chain.from_iterable(pool.map(partial(_trace, compared, most), series)))
    FOLDER.mkdir(exist_ok=True)
    detail = msgspec.json.format(msgspec.json.encode(outcomes), indent=1)
    (FOLDER / f"{name}-traces.json").write_bytes(detail + b"\n")
    return outcomes


def _trace(compared: Comparing[Outcome], most: int, series: Series) -> list[Outcome]:
    first = max(int(len(series) * TUNE_SHARE), len(series) - most, 1)
    level = float(np.nanquantile(series.rps, PEAK_QUANTILE))
    if level <= 0.0:
        return []
    begins = max(1, first - LEAD_IN)
    made = forecast_series(series, read_model(""), begins, lead_in=FORECAST_LEAD_IN)
    rates = filled(series, COUNT * PEAK_RPS / level)
    part = {minute + 1: one for minute, one in scaled(made, PEAK_RPS / level).items()}
    foreseen = Foreseen(scaled(made, COUNT * PEAK_RPS / level), part)
    outcomes = []
    for file in sorted(BOARDS.glob("*.toml")):
        board = parse_profile(file.read_text("utf-8"), name=file.name)
        rules = Rules(profile=board, slo_p95_ms=POLICY.slo_p95_ms)
        scene = Scene(rules=rules, rates=rates, begins=begins, first=first)
        outcomes += compared(series.name, scene, foreseen)
    return outcomes


def filled(series: Series, factor: float) -> list[float]:
    """Requests/s; an unknown minute asks for what the last known one did."""
    known, last = [], 0.0
    for rate in (series.rps * factor).tolist():
        last = last if rate != rate else rate  # noqa: PLR0124 - NaN alone differs from itself
        known.append(last)
    return known


def scaled(forecasts: Mapping[int, Forecast], factor: float) -> dict[int, Forecast]:
    """By the minute they were made at the end of."""
    return {
        minute: msgspec.structs.replace(
            one, minute=minute, rps=tuple((a * factor, b * factor, c * factor) for a, b, c in one.rps)
        )
        for minute, one in forecasts.items()
    }
