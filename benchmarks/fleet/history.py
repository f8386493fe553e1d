"""What the ledger costs once it holds hours of a fleet: merging, totals, evidence for a rollout's gates."""

import random
import time
from pathlib import Path

from benchmarks.results import Result
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.rollout.outcomes import Interval, tallies
from tidewatt_coordinator.rollout.plan import Content, State
from tidewatt_coordinator.rollout.roster import glimpses
from tidewatt_coordinator.rollout.sight import evidence
from tidewatt_coordinator.rollout.terms import Plan
from tidewatt_wire.messages import Counters, Gauges, Report

BUCKET_MS, HOUR_MS = 300_000, 3_600_000
START_MS = 1_800_000_000_000
#: Two hours: the one before a rollout and the one of a wave's soak.
HISTORY_MS = 2 * HOUR_MS


def of_the_ledger(folder: Path, devices: int) -> list[Result]:
    """The figures, by processor time: nothing else of the benchmark counts."""
    ledger, fleet, chance = (
        Ledger(f"sqlite:///{folder}/history.db", BUCKET_MS),
        Fleet(60_000),
        random.Random(1),
    )
    against = f"{devices} devices, two hours in the ledger"
    merging_s = reports = 0.0
    for at_ms in range(START_MS, START_MS + HISTORY_MS, BUCKET_MS):
        batch = [_report(number, at_ms, chance) for number in range(devices)]
        for one in batch:
            fleet.reported(one, at_ms)
        begun_s = time.process_time()
        ledger.take(batch)
        merging_s, reports = merging_s + time.process_time() - begun_s, reports + len(batch)
    now_ms = START_MS + HISTORY_MS
    state = State(
        id="bench", plan=Plan(), base=Content(rules=[]), new=Content(rules=[]), begun_ms=now_ms - HOUR_MS,
        stage="soaking", wave=1, reached_ms=[now_ms - HOUR_MS], since_ms=now_ms - HOUR_MS,
    )  # fmt: skip
    begun_s = time.process_time()
    ledger.totals()
    totals_s, begun_s = time.process_time() - begun_s, time.process_time()
    before = tallies(ledger.engine, BUCKET_MS, Interval(START_MS, now_ms - HOUR_MS))
    after = tallies(ledger.engine, BUCKET_MS, Interval(now_ms - HOUR_MS, now_ms))
    evidence(state, 1, glimpses(fleet, now_ms), before, after)
    evidence_s = time.process_time() - begun_s
    ledger.close()
    return [
        Result.judged("ledger: CPU per report merged", merging_s / reports * 1e6, "us", against=against),
        Result.judged("ledger: CPU of all totals", totals_s, "s", against=against),
        Result.judged("ledger: CPU of one look for a gate's evidence", evidence_s, "s", against=against),
    ]


def _report(number: int, at_ms: int, chance: random.Random) -> Report:
    lived_ms = at_ms - START_MS + BUCKET_MS
    return Report(
        device=f"jetson-{number:05}",
        session="s",
        epoch="e",
        seq=lived_ms // BUCKET_MS,
        at_ms=at_ms + chance.randrange(BUCKET_MS // 2),
        counters=Counters(energy_mj=lived_ms * 8, requests=lived_ms // 50, mode_ms={"15W": lived_ms}),
        gauges=Gauges(p95_ms=31.0),
    )
