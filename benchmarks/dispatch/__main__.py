"""Dispatch: how fast weights are found, and what they cost beside other ways, closed loop on old telemetry.

    make bench-dispatch [TRACES=DIR]

Each trace's last hours are lived in steps of ten seconds (minutes, interpolated). What every way knows is
what was true a step before; what it decides holds for the next step. The pool is seeded: sites of Jetsons
whose capacity drifts, spot nodes, Lambda, on-demand nodes. The bound is the linear program that knows the
present, with the same fill.

The product's way is `held`: weights for the demand as measured, and proxies that hold each backend to what
the table says it can take, giving the rest to the others (dispatch/overflow.py). It alone is judged. The
bound keeps the fill (85 %): where a way passes it, it may even be cheaper than the bound, which is no merit,
so the steps beyond the fill stand beside each cost, and `kept` is the same with proxies that hold backends to
the fill, which compares like with like. For proxies that can't hold: `lean` has the same weights, `strict`
plans for the steepest rise that history has seen, so that weights alone are enough.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.dispatch.lives import WAYS, Life, lived
from benchmarks.dispatch.speeds import speeds, unlike
from benchmarks.results import Result, publish
from tidewatt_coordinator.train.traces import read_folder

BUNDLED = Path(__file__).parents[2] / "governor/tidewatt_governor/data/traces"
NAME = "dispatch-traces" if os.environ.get("TRACES") else "dispatch"
OURS = ("held", "kept", "lean", "strict")


def comparisons() -> Iterator[Result]:
    """Money and overloads over all traces and seeds."""
    totals = {name: Life() for name in WAYS}
    dearer = dict.fromkeys(OURS, 0)
    for series in read_folder(Path(os.environ.get("TRACES") or BUNDLED)):
        for seed in (1, 2):
            lives = lived(series, seed)
            for name in dearer:
                dearer[name] += lives[name].cost > lives["ladder"].cost
            for name, life in lives.items():
                totals[name].cost += life.cost
                totals[name].overloads += life.overloads
                totals[name].beyond_fill += life.beyond_fill
            above = {name: lives[name].cost / lives["bound"].cost - 1.0 for name in WAYS[:-1]}
            told = ", ".join(f"{name} {part:.2%}" for name, part in above.items())
            print(f"{series.name} seed {seed}, above the bound: {told}", file=sys.stderr)
    bound = totals["bound"].cost
    for name in WAYS[:-1]:
        life, judged = totals[name], name == "held"
        target = 0.01 if judged else None
        yield Result.judged(
            f"{name}, cost above the bound",
            life.cost / bound - 1.0,
            "ratio",
            target=target,
            against="LP",
        )
        harm = 0.0 if judged else None
        yield Result.judged(f"{name}, beyond capacity", life.overloads, "backend-steps", target=harm)
        yield Result.judged(f"{name}, beyond the fill", life.beyond_fill, "backend-steps")
    for name, runs in dearer.items():
        yield Result.judged(
            f"{name}, dearer than the ladder", float(runs), "runs", target=0.0 if name == "held" else None
        )


if __name__ == "__main__":
    sys.exit(0 if publish(NAME, [*speeds(), *unlike(), *comparisons()]) else 1)
