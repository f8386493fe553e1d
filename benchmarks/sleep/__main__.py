"""What sleep saves a planned fleet, closed loop, on ten simulated boards.

    make bench-sleep [TRACES=DIR] [MINUTES=N]

Traces, boards, agents, proxies and telemetry as in bench-joint. A board resumes in 15 s and its application
warms up in 20 s; asleep it draws 0.5 W, which is assumed. It is woken by its alarm, or by a packet that an
awake neighbour sends: all ten are on one segment, and no packet is lost. Two things send one: a plan, on
telemetry a minute old; and a plan's watch, when a minute turns out to ask for more than it was planned for.
That is seen and ordered within 20 s of the minute's start (boards tick every second, reports come every
ten), and the board serves from the next minute on. One line has alarms alone. One lets one board in ten never
wake, by either: each time somebody helps it up after four hours.

The bound is a dynamic programme over how many are awake, waking paid for, everything else free; beside it the
same under the rule that the planner keeps, a spare always awake. Traces under 1,000 minutes are left out.
"""

import itertools
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.governor import BOARDS, BUNDLED, POLICY
from benchmarks.joint.__main__ import FORECAST_LEAD_IN, LEAD_IN, PEAK_RPS, filled, scaled
from benchmarks.joint.lives import COUNT, Lived, Scene, alone, expected, planned
from benchmarks.model import read_model
from benchmarks.results import FOLDER, publish
from benchmarks.sleep.bound import least_energy_j, least_watts, with_spare
from benchmarks.sleep.lives import ASLEEP_W, RESUME_S, WARM_UP_S, WORTH, Rested, outlooks, rested
from benchmarks.sleep.table import (
    ALARMS,
    ALONE,
    AWAKE,
    BOUND,
    FAILED,
    SLEPT,
    SPARED,
    Outcome,
    print_table,
    results_of,
)
from tidewatt_coordinator.planning.naps import NapTerms
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_coordinator.train.score import forecast_series
from tidewatt_coordinator.train.traces import SHORTEST_MIN, read_folder
from tidewatt_coordinator.train.windows import TUNE_SHARE, Series
from tidewatt_governor.boards import parse_profile
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.points import strongest, watts_at
from tidewatt_governor.simulate.minutes import MINUTE_S, Rules
from tidewatt_governor.traffic import PEAK_QUANTILE


def main() -> None:
    """Measure and publish; exit 1 if a target was missed."""
    folder = Path(os.environ.get("TRACES") or BUNDLED)
    most = int(os.environ.get("MINUTES") or sys.maxsize)
    try:
        series = [one for one in read_folder(folder) if len(one) >= SHORTEST_MIN]
    except (OSError, ValueError) as error:
        sys.exit(f"bench-sleep: {error}")
    series.sort(key=len, reverse=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(itertools.chain.from_iterable(pool.map(_trace, series, itertools.repeat(most))))
    print_table(outcomes)
    FOLDER.mkdir(exist_ok=True)
    detail = msgspec.json.format(msgspec.json.encode(outcomes), indent=1)
    (FOLDER / "sleep-traces.json").write_bytes(detail + b"\n")
    sys.exit(0 if publish("sleep", results_of(outcomes)) else 1)


def _trace(series: Series, most: int) -> list[Outcome]:
    first = max(int(len(series) * TUNE_SHARE), len(series) - most, 1)
    level = float(np.nanquantile(series.rps, PEAK_QUANTILE))
    if level <= 0.0:
        return []
    begins = max(1, first - LEAD_IN)
    made = forecast_series(series, read_model(""), begins, lead_in=FORECAST_LEAD_IN)
    rates = filled(series, COUNT * PEAK_RPS / level)
    whole = scaled(made, COUNT * PEAK_RPS / level)
    part = {minute + 1: one for minute, one in scaled(made, PEAK_RPS / level).items()}
    outcomes = []
    for file in sorted(BOARDS.glob("*.toml")):
        board = parse_profile(file.read_text("utf-8"), name=file.name)
        rules = Rules(profile=board, slo_p95_ms=POLICY.slo_p95_ms)
        scene = Scene(rules=rules, rates=rates, begins=begins, first=first)
        outcomes += compared(series.name, scene, whole, part)
    return outcomes


def compared(name: str, scene: Scene, whole: dict[int, Forecast], part: dict[int, Forecast]) -> list[Outcome]:
    """Every way on one trace. `whole`, `part`: forecasts of the fleet and of one device."""
    terms, naps, board = Terms(), NapTerms(), scene.rules.profile
    demand = scene.rates[scene.first :]
    point = strongest(board.points, scene.rules.slo_p95_ms)
    most_j = MINUTE_S * COUNT * sum(watts_at(point, rps / COUNT) for rps in demand)
    over = sum(rps > COUNT * point.capacity_rps for rps in demand)
    guarded = expected(scene, whole, terms)
    outcomes = [
        Outcome.of((name, board.name, way), lived, most_j, over)
        for way, lived in (
            (ALONE, alone(scene, part)),
            (AWAKE, planned(scene, guarded, terms)),
            *_bounds(scene, demand, over),
        )
    ]
    for way, failing, calls in ((SLEPT, False, True), (FAILED, True, True), (ALARMS, False, False)):
        slept = _slept(scene, whole, naps, failing=failing, calls=calls)
        # With a board missing nobody could have served what is beyond nine: as seen by who was missing.
        beyond = slept.beyond if failing else over
        outcomes.append(Outcome.of((name, board.name, way), slept.lived, most_j, beyond, slept))
    return outcomes


def _slept(
    scene: Scene, forecasts: dict[int, Forecast], naps: NapTerms, *, failing: bool, calls: bool
) -> Rested:
    room_rps = COUNT * max(point.capacity_rps for point in scene.rules.profile.points)
    terms = Terms(worth_rps=WORTH * room_rps)
    guarded = expected(scene, forecasts, terms)
    if not calls:
        needs = outlooks(scene, forecasts, naps.tail_quantile)
        return rested(scene, guarded, needs, terms, naps, failing=failing)
    needs = outlooks(scene, forecasts, naps.tail_quantile, naps.worth)
    likely = outlooks(scene, forecasts, naps.likely_quantile)
    return rested(
        scene, guarded, needs, terms, naps, likely=likely, calls=True, watched=True, failing=failing
    )


def _bounds(scene: Scene, demand: list[float], over: int) -> list[tuple[str, Lived]]:
    points = scene.rules.profile.points
    wake_j = (RESUME_S + WARM_UP_S) * (min(point.idle_watts for point in points) - ASLEEP_W)
    rows = least_watts(points, COUNT, ASLEEP_W, demand)
    most = max(point.capacity_rps for point in points)
    return [
        (way, _clairvoyant(least_energy_j(some, wake_j), demand, COUNT * most, over))
        for way, some in ((BOUND, rows), (SPARED, with_spare(rows, most, demand, NapTerms())))
    ]


def _clairvoyant(energy_j: float, demand: list[float], most_rps: float, over: int) -> Lived:
    return Lived(
        energy_j=energy_j,
        minutes=len(demand),
        violating=over,
        violating_devices=COUNT * over,
        unserved=MINUTE_S * sum(max(0.0, rps - most_rps) for rps in demand),
        requests=MINUTE_S * sum(demand),
        switches=0,
    )


if __name__ == "__main__":
    main()
