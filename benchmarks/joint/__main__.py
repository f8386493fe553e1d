"""What planning a fleet together saves, closed loop, on ten simulated boards.

    make bench-joint [TRACES=DIR] [MINUTES=N]

The traces of benchmarks/joint/traces.py are lived on the boards of benchmarks/boards. The planner sees what
the agents knew a report ago; each agent decides for itself, under its hint. Beside it the same agents alone,
each with a tenth of the traffic, and all devices in MAXN.

Proxies hold each board to what it can take and pass the rest on to the others, as the router sets them up
(`max_conns`, `maxconn`; dispatch/overflow.py). The limit counts requests in flight, rate times wait, which is
about the same in every mode, so it holds a board to the mode it stands in just then, without telemetry. It is
modelled by the minute: what the plan's shares give is passed on over what the boards can serve in that
minute, dwell and switching pauses included. So a minute violates when the fleet as it stands can't serve what
is asked; the line "nothing passed on" is the same plan with every board left alone with its share. Agents
that act alone stand alike on even shares: nobody has room that another lacks.

All simulated.
"""

import sys
from collections.abc import Sequence

import msgspec

from benchmarks.joint.bound import JointBound
from benchmarks.joint.lives import COUNT, Lived, Scene, alone, expected, planned
from benchmarks.joint.table import COLUMNS, Outcome, results_of
from benchmarks.joint.traces import Foreseen, outcomes_of
from benchmarks.joint.ways import print_ways
from benchmarks.results import publish
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.points import strongest, watts_at
from tidewatt_governor.simulate.minutes import MINUTE_S


def main() -> None:
    """Measure and publish; exit 1 if a target was missed."""
    outcomes = outcomes_of("joint", compared)
    print_ways(outcomes, COLUMNS)
    sys.exit(0 if publish("joint", results_of(outcomes)) else 1)


def compared(name: str, scene: Scene, foreseen: Foreseen) -> list[Outcome]:
    """Every way of choosing on one trace."""
    terms, board = Terms(), scene.rules.profile
    demand = scene.rates[scene.first :]
    bound = JointBound(board.points, COUNT)
    most = Lived(
        energy_j=_strongest_j(board, demand, scene.rules.slo_p95_ms),
        minutes=len(demand),
        violating=(over := sum(rps > bound.most_rps for rps in demand)),
        violating_devices=COUNT * over,
        excess=0,
        excess_devices=0,
        unserved=MINUTE_S * sum(max(0.0, rps - bound.most_rps) for rps in demand),
        requests=MINUTE_S * sum(demand),
        switches=0,
    )
    guarded = expected(scene, foreseen.whole, terms)
    best = msgspec.structs.replace(most, energy_j=MINUTE_S * sum(bound.watts(rps) for rps in demand))
    ways = {
        "every device in its strongest mode": most,
        "each agent alone, traffic split evenly": alone(scene, foreseen.part),
        "planned together, without a forecast": planned(scene, expected(scene, {}, terms), terms),
        "planned together, nothing passed on": planned(scene, guarded, terms, spills=False),
        "planned together": planned(scene, guarded, terms),
        "clairvoyant joint bound": best,
    }
    return [Outcome.of(name, board.name, way, lived, most) for way, lived in ways.items()]


def _strongest_j(board: BoardProfile, demand: Sequence[float], slo_p95_ms: float) -> float:
    point = strongest(board.points, slo_p95_ms)
    return MINUTE_S * COUNT * sum(watts_at(point, rps / COUNT) for rps in demand)


if __name__ == "__main__":
    main()
