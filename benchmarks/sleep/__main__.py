"""What sleep saves a planned fleet, closed loop, on ten simulated boards.

    make bench-sleep [TRACES=DIR] [MINUTES=N]

Traces, boards, agents, proxies and telemetry as in bench-joint. A board resumes in 15 s and its application
warms up in 20 s; asleep it draws 0.5 W, which is assumed. It is woken by its alarm, or by a packet that an
awake neighbour sends: all ten are on one segment, and no packet is lost. Two things send one: a plan, on
telemetry a minute old; and a plan's watch, when a minute turns out to ask for more than it was planned for.
That is seen and ordered within 20 s of the minute's start (boards tick every second, reports come every
ten), and the board serves from the next minute on. One line has alarms alone. One lets one board in ten never
wake, by either: each time somebody helps it up after four hours.

The bound is a dynamic programme over how many are awake, waking paid for, everything else free. It stands
twice: free to put everybody to sleep, and under the rule that everybody who plans has to keep, a spare always
awake and a floor (docs/decisions/0033 says which one judges).
"""

import sys
from functools import partial

from benchmarks.joint.lives import COUNT, Lived, Scene, alone, expected, planned
from benchmarks.joint.traces import Foreseen, outcomes_of
from benchmarks.joint.ways import print_ways
from benchmarks.results import publish
from benchmarks.sleep.bound import least_energy_j, least_watts, with_spare
from benchmarks.sleep.lives import ASLEEP_W, RESUME_S, WARM_UP_S, WORTH, Needs, Rested, outlooks, rested
from benchmarks.sleep.table import (
    ALARMS,
    ALONE,
    AWAKE,
    BOUND,
    COLUMNS,
    FAILED,
    SLEPT,
    SPARED,
    Outcome,
    results_of,
)
from tidewatt_coordinator.planning.demand import Guarded
from tidewatt_coordinator.planning.naps import NapTerms
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.points import strongest, watts_at
from tidewatt_governor.simulate.minutes import MINUTE_S


def main() -> None:
    """Measure and publish; exit 1 if a target was missed."""
    outcomes = outcomes_of("sleep", compared)
    print_ways(outcomes, COLUMNS)
    sys.exit(0 if publish("sleep", results_of(outcomes)) else 1)


def compared(name: str, scene: Scene, foreseen: Foreseen) -> list[Outcome]:
    """Every way on one trace."""
    terms, naps, board = Terms(), NapTerms(), scene.rules.profile
    demand = scene.rates[scene.first :]
    point = strongest(board.points, scene.rules.slo_p95_ms)
    most_j = MINUTE_S * COUNT * sum(watts_at(point, rps / COUNT) for rps in demand)
    over = sum(rps > COUNT * point.capacity_rps for rps in demand)
    outcomes = [
        Outcome.of((name, board.name, way), lived, most_j)
        for way, lived in (
            (ALONE, alone(scene, foreseen.part)),
            (AWAKE, planned(scene, _guarded(scene, foreseen, terms), terms)),
            *_bounds(scene, demand, over),
        )
    ]
    sound = None
    for way, failing, calls in ((SLEPT, False, True), (FAILED, True, True), (ALARMS, False, False)):
        slept = _slept(scene, foreseen, naps, failing=failing, calls=calls)
        sound = sound or slept
        named = (name, board.name, way)
        outcomes.append(Outcome.of(named, slept.lived, most_j, slept, sound if failing else None))
    return outcomes


def _slept(scene: Scene, foreseen: Foreseen, naps: NapTerms, *, failing: bool, calls: bool) -> Rested:
    terms = Terms(worth_rps=WORTH * COUNT * scene.most_rps)
    guarded = _guarded(scene, foreseen, terms)
    if not calls:
        needs = _needs(scene, foreseen, naps.tail_quantile)
        return rested(scene, guarded, needs, terms, naps, failing=failing)
    needs = _needs(scene, foreseen, naps.tail_quantile, naps.worth)
    likely = _needs(scene, foreseen, naps.likely_quantile)
    return rested(
        scene, guarded, needs, terms, naps, likely=likely, calls=True, watched=True, failing=failing
    )


def _guarded(scene: Scene, foreseen: Foreseen, terms: Terms) -> dict[int, Guarded | None]:
    made = partial(expected, scene, foreseen.whole, terms)
    return foreseen.once((scene.least_rps, terms), made)


def _needs(scene: Scene, foreseen: Foreseen, quantile: float, worth: float | None = None) -> Needs:
    made = partial(outlooks, scene, foreseen.whole, quantile, worth)
    return foreseen.once((scene.least_rps, scene.most_rps, quantile, worth), made)


def _bounds(scene: Scene, demand: list[float], over: int) -> list[tuple[str, Lived]]:
    points = scene.rules.profile.points
    wake_j = (RESUME_S + WARM_UP_S) * (min(point.idle_watts for point in points) - ASLEEP_W)
    rows = least_watts(points, COUNT, ASLEEP_W, demand)
    most = scene.most_rps
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
        excess=0,
        excess_devices=0,
        unserved=MINUTE_S * sum(max(0.0, rps - most_rps) for rps in demand),
        requests=MINUTE_S * sum(demand),
        switches=0,
    )


if __name__ == "__main__":
    main()
