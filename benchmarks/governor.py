"""How near to the best possible energy the governor comes, closed loop, on a simulated board.

    make bench-governor [TRACES=DIR] [MODEL=FILE|none] [BOARD=FILE] [WHOLE=1]

Each trace (a `timestamp,requests_per_minute` file) is scaled so that its 99.5th percentile is 300 and
150 requests/s, and its last 15 % is lived minute by minute on the boards of benchmarks/boards and on the
shipped Orin Nano profile. Every way of choosing lives under the same rules: what is known is what came
before, a switch serves nothing for its pause, a point is kept for two minutes at least. The clairvoyant
knows the future and is computed exactly (violations first, energy second).

Traces under 1,000 minutes are replayed whole, as a stress, and don't enter the means.
"""

import itertools
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.model import read_model
from benchmarks.outcomes import Outcome, best_rule, print_tables, results_of
from benchmarks.results import FOLDER, publish
from tidewatt_coordinator.train.score import forecast_series
from tidewatt_coordinator.train.traces import SHORTEST_MIN, read_folder
from tidewatt_coordinator.train.windows import TUNE_SHARE, Series
from tidewatt_governor.boards import BoardProfile, load_profile, parse_profile
from tidewatt_governor.decide import GovernorState, decide, moved
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.points import cheapest, usable_rps
from tidewatt_governor.sample import Load
from tidewatt_governor.simulate.minutes import MINUTE_S, MinuteBoard, Rules, Run, clairvoyant, lived
from tidewatt_governor.traffic import PEAK_QUANTILE
from tidewatt_wire.documents import DocumentError
from tidewatt_wire.messages import OperatingPoint, Policy

#: One day, under a licence that lets it be bundled. Real comparisons need more: TRACES=DIR.
BUNDLED = Path(__file__).parents[1] / "governor/tidewatt_governor/data/traces"
BOARDS = Path(__file__).parent / "boards"
SCALES_RPS = (300.0, 150.0)
#: One set of knobs for all traces, tuned on the 15 % before the last. They are leaner than the product's
#: defaults, which are shown beside: minutes have no bursts within them here, as real traffic has, and a
#: switch has no other cost than its pause.
POLICY = Policy(
    headroom=0.02,
    demand_window_s=180.0,
    hysteresis=0.0,
    min_dwell_s=120.0,
    switch_cost_j=0.0,
    tail_quantile=0.9,
)
#: Minutes lived before the reported part, for the guard to know the traffic.
LEAD_IN = 3 * 1440
#: Of the model-free rules compared: the busiest of the last K minutes times (1 + m).
KS, MS = (
    (1, 2, 3, 5, 8, 10, 15, 20, 30),
    (0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5),
)
#: Use that utilisation-proportional scaling steers for: the common default of such governors.
TARGET_USE = 0.8


class Scene(msgspec.Struct, frozen=True):
    """A trace at a scale on a board, with its past."""

    rules: Rules
    past: list[float]
    demand: list[float]
    """The reported minutes, requests/s."""


def main() -> None:
    """Measure and publish; exit 1 if a target was missed."""
    folder = Path(os.environ.get("TRACES") or BUNDLED)
    try:
        series, boards = read_folder(folder), _boards(os.environ.get("BOARD", ""))
        read_model(os.environ.get("MODEL", ""))
    except (DocumentError, OSError, ValueError) as error:
        sys.exit(f"bench-governor: {error}")
    whole = bool(os.environ.get("WHOLE"))
    jobs = [(one, tuple(boards), os.environ.get("MODEL", ""), whole) for one in series]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(itertools.chain.from_iterable(pool.map(_trace, *zip(*jobs, strict=True))))
    outcomes += best_rule(outcomes)
    print_tables(outcomes)
    shown = [one for one in outcomes if not one.way.startswith("peak of ")]
    FOLDER.mkdir(exist_ok=True)
    detail = msgspec.json.format(msgspec.json.encode(shown), indent=1)
    (FOLDER / "governor-traces.json").write_bytes(detail + b"\n")
    sys.exit(0 if publish("governor", results_of(outcomes)) else 1)


def _boards(path: str) -> list[BoardProfile]:
    if path:
        return [parse_profile(Path(path).read_text("utf-8"), name=path)]
    files = sorted(BOARDS.glob("*.toml"))
    return [
        *(parse_profile(file.read_text("utf-8"), name=file.name) for file in files),
        load_profile("orin-nano-super"),
    ]


def _trace(series: Series, boards: tuple[BoardProfile, ...], model: str, whole: bool) -> list[Outcome]:
    stress = len(series) < SHORTEST_MIN
    first = 0 if stress or whole else int(len(series) * TUNE_SHARE)
    forecasts = forecast_series(series, read_model(model), first) if model != "none" and not stress else {}
    level = float(np.nanquantile(series.rps, PEAK_QUANTILE))
    if level <= 0.0:
        return []
    outcomes: list[Outcome] = []
    for scale, board in itertools.product(SCALES_RPS, boards):
        rules = Rules(profile=board, slo_p95_ms=POLICY.slo_p95_ms)
        # An unknown minute asks for what the last known one did: somebody was served, or nobody asked.
        rps = _filled(series.rps * (scale / level))
        scene = Scene(rules, rps[max(0, first - LEAD_IN) : first], rps[first:])
        made = _scaled(forecasts, scale / level, first)
        outcomes += [
            msgspec.structs.replace(one, step_min=series.step_min)
            for one in _scene(series.name, scale, scene, made, stress=stress)
        ]
    return outcomes


def _scene(
    name: str, scale: float, scene: Scene, forecasts: dict[int, Forecast], *, stress: bool
) -> Iterable[Outcome]:
    rules, demand = scene.rules, scene.demand
    start = strongest_of(rules).name
    best = lived(rules, demand, clairvoyant(rules, demand, start), start)
    ways: dict[str, Run] = {"clairvoyant": best}
    if forecasts:
        ways["Tidewatt"] = _governed(scene, forecasts)
    ways["Tidewatt without forecaster"] = reactive = _governed(scene, {})
    ways.setdefault("Tidewatt", reactive)
    ways["Tidewatt, the product's default policy"] = _governed(scene, forecasts, Policy())
    for way, wanted in _baselines(scene).items():
        ways[way] = lived(rules, demand, wanted, start)
    fixed = {
        point.name: lived(rules, demand, [point.name] * len(demand), point.name)
        for point in rules.profile.points
    }
    fewest = min(run.violating for run in fixed.values())
    fair = [run for run in fixed.values() if run.violating <= fewest + 0.001 * len(demand)]
    ways["best fixed mode"] = min(fair, key=lambda run: run.energy_j)
    for way, run in ways.items():
        yield Outcome(
            trace=name,
            scale_rps=scale,
            board=rules.profile.name,
            way=way,
            minutes=run.minutes,
            energy_wh=run.energy_j / 3600.0,
            energy_above_clairvoyant=run.energy_j / best.energy_j - 1.0,
            violating=run.violating / run.minutes,
            excess_violating=(run.violating - best.violating) / run.minutes,
            longest_violation_min=run.longest,
            switches_per_day=run.switches / run.minutes * 1440.0,
            stress=stress,
            step_min=0,
        )


def strongest_of(rules: Rules) -> OperatingPoint:
    """The point that serves most: where everybody starts."""
    return max(
        rules.profile.points, key=lambda point: (usable_rps(point, rules.slo_p95_ms), point.capacity_rps)
    )


def _governed(scene: Scene, forecasts: dict[int, Forecast], policy: Policy = POLICY) -> Run:
    """The product's own decision in closed loop. Minute i is decided on by minutes up to i - 1."""
    profile = scene.rules.profile
    board = MinuteBoard(scene.rules, strongest_of(scene.rules).name)
    state = GovernorState(point=board.point.name, since_s=-MINUTE_S * 10)
    lead = len(scene.past)
    rates = [*scene.past, *scene.demand]
    for minute in range(1 if not lead else 0, len(rates)):
        # At the end of minute i - 1, which is where its requests are counted.
        if minute:
            now_s = minute * MINUTE_S - 0.5
            load = Load(requests=rates[minute - 1] * MINUTE_S, interval_s=MINUTE_S)  # type: ignore[arg-type]
            forecast = forecasts.get(minute - lead)
            state, decision = decide(
                state, load, policy, profile.points, profile.vendor_default, now_s, forecast=forecast
            )
            wanted = decision.point
        else:
            wanted = board.point.name
        if minute < lead:
            continue
        if minute == 1 and not lead:
            board.minute(board.point.name, rates[0])
        board.minute(wanted, rates[minute])
        state = moved(state, board.point.name, minute * MINUTE_S - 0.5)
    return board.run


def _baselines(scene: Scene) -> dict[str, list[str]]:
    points, rates, lead = scene.rules.profile.points, [*scene.past, *scene.demand], len(scene.past)
    strongest = strongest_of(scene.rules)
    weakest = min(points, key=lambda point: point.capacity_rps)
    middle = sorted(points, key=lambda point: point.capacity_rps)[len(points) // 2]
    before = [rates[max(0, lead + i - 1)] for i in range(len(scene.demand))]

    def least_able(need: float, rps: float) -> str:
        able = [point for point in points if usable_rps(point, scene.rules.slo_p95_ms) >= need]
        return (cheapest(able, rps) if able else strongest).name

    def ladder(rps: float) -> str:
        return (strongest if rps > 300.0 else weakest if rps < 100.0 else middle).name  # noqa: PLR2004 - the script's

    ways = {
        "MaxFreq": [strongest.name] * len(before),
        "vendor default": [scene.rules.profile.vendor_default] * len(before),
        "utilisation-proportional": [least_able(rps / TARGET_USE, rps) for rps in before],
        "threshold script": [ladder(rps) for rps in before],
    }
    for span in KS:
        peaks = [max(rates[max(0, lead + i - span) : max(1, lead + i)]) for i in range(len(before))]
        for margin in MS:
            key = f"peak of {span} min x {1 + margin:g}"
            ways[key] = [
                least_able(peak * (1 + margin), rps) for peak, rps in zip(peaks, before, strict=True)
            ]
    return ways


def _filled(rps: NDArray[np.float64]) -> list[float]:
    known, last = [], 0.0
    for rate in rps:
        last = last if np.isnan(rate) else float(rate)
        known.append(last)
    return known


def _scaled(forecasts: dict[int, Forecast], factor: float, first: int) -> dict[int, Forecast]:
    """By reported minute decided on, in the loop's own count of minutes and requests/s."""
    out = {}
    for minute, forecast in forecasts.items():
        rps = tuple((a * factor, b * factor, c * factor) for a, b, c in forecast.rps)
        at = minute + 1 - first
        out[at] = msgspec.structs.replace(forecast, rps=rps, minute=at + min(first, LEAD_IN) - 1)
    return out


if __name__ == "__main__":
    main()
