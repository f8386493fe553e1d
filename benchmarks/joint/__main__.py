"""What planning a fleet together saves, closed loop, on ten simulated boards.

    make bench-joint [TRACES=DIR] [MINUTES=N]

Each trace (a `timestamp,requests_per_minute` file) is scaled so that its 99.5th percentile is 300
requests/s for each of ten devices, and its last 15 % (at most the last N minutes) is lived on the boards of
benchmarks/boards. The planner sees what the agents knew a report ago; each agent decides for itself, under
its hint. Beside it the same agents alone, each with a tenth of the traffic, and all devices in MAXN.

Proxies hold each board to what it can take and pass the rest on to the others, as the router sets them up
(`max_conns`, `maxconn`; dispatch/overflow.py). The limit counts requests in flight, rate times wait, which is
about the same in every mode, so it holds a board to the mode it stands in just then, without telemetry. It is
modelled by the minute: what the plan's shares give is passed on over what the boards can serve in that
minute, dwell and switching pauses included. So a minute violates when the fleet as it stands can't serve what
is asked; the line "nothing passed on" is the same plan with every board left alone with its share. Agents
that act alone stand alike on even shares: nobody has room that another lacks.

Traces under 1,000 minutes are left out. All simulated.
"""

import itertools
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.governor import BOARDS, BUNDLED, POLICY
from benchmarks.joint.bound import JointBound
from benchmarks.joint.lives import COUNT, Lived, Scene, alone, expected, planned
from benchmarks.joint.table import Outcome, print_table, results_of
from benchmarks.model import read_model
from benchmarks.results import FOLDER, publish
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_coordinator.train.score import forecast_series
from tidewatt_coordinator.train.traces import SHORTEST_MIN, read_folder
from tidewatt_coordinator.train.windows import TUNE_SHARE, Series
from tidewatt_governor.boards import BoardProfile, parse_profile
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.points import strongest, watts_at
from tidewatt_governor.simulate.minutes import MINUTE_S, Rules
from tidewatt_governor.traffic import PEAK_QUANTILE

PEAK_RPS = 300.0
#: Minutes lived before the reported part, for guards to know the traffic.
LEAD_IN = 1440
#: Minutes that the forecaster has lived before those: three days, as on a board that is new in the fleet;
#: seven, as elsewhere, would take half as long again.
FORECAST_LEAD_IN = 4320


def main() -> None:
    """Measure and publish; exit 1 if a target was missed."""
    folder = Path(os.environ.get("TRACES") or BUNDLED)
    most = int(os.environ.get("MINUTES") or sys.maxsize)
    try:
        series = [one for one in read_folder(folder) if len(one) >= SHORTEST_MIN]
    except (OSError, ValueError) as error:
        sys.exit(f"bench-joint: {error}")
    # The longest first, so that none is left over at the end.
    series.sort(key=len, reverse=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(itertools.chain.from_iterable(pool.map(_trace, series, itertools.repeat(most))))
    print_table(outcomes)
    FOLDER.mkdir(exist_ok=True)
    detail = msgspec.json.format(msgspec.json.encode(outcomes), indent=1)
    (FOLDER / "joint-traces.json").write_bytes(detail + b"\n")
    sys.exit(0 if publish("joint", results_of(outcomes)) else 1)


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
    """Every way of choosing on one trace. `whole`, `part`: forecasts of the fleet and of one device."""
    terms, board = Terms(), scene.rules.profile
    demand = scene.rates[scene.first :]
    bound = JointBound(board.points, COUNT)
    most = Lived(
        energy_j=_strongest_j(board, demand, scene.rules.slo_p95_ms),
        minutes=len(demand),
        violating=(over := sum(rps > bound.most_rps for rps in demand)),
        violating_devices=COUNT * over,
        unserved=MINUTE_S * sum(max(0.0, rps - bound.most_rps) for rps in demand),
        requests=MINUTE_S * sum(demand),
        switches=0,
    )
    foreseen = expected(scene, whole, terms)
    best = msgspec.structs.replace(most, energy_j=MINUTE_S * sum(bound.watts(rps) for rps in demand))
    ways = {
        "every device in its strongest mode": most,
        "each agent alone, traffic split evenly": alone(scene, part),
        "planned together, without a forecast": planned(scene, expected(scene, {}, terms), terms),
        "planned together, nothing passed on": planned(scene, foreseen, terms, spills=False),
        "planned together": planned(scene, foreseen, terms),
        "clairvoyant joint bound": best,
    }
    return [Outcome.of(name, board.name, way, lived, most, best) for way, lived in ways.items()]


def _strongest_j(board: BoardProfile, demand: Sequence[float], slo_p95_ms: float) -> float:
    point = strongest(board.points, slo_p95_ms)
    return MINUTE_S * COUNT * sum(watts_at(point, rps / COUNT) for rps in demand)


def filled(series: Series, factor: float) -> list[float]:
    """Requests/s; an unknown minute asks for what the last known one did."""
    known, last = [], 0.0
    for rate in (series.rps * factor).tolist():
        last = last if rate != rate else rate  # noqa: PLR0124 - NaN alone differs from itself
        known.append(last)
    return known


def scaled(forecasts: dict[int, Forecast], factor: float) -> dict[int, Forecast]:
    """By the minute they were made at the end of."""
    return {
        minute: msgspec.structs.replace(
            one, minute=minute, rps=tuple((a * factor, b * factor, c * factor) for a, b, c in one.rps)
        )
        for minute, one in forecasts.items()
    }


if __name__ == "__main__":
    main()
