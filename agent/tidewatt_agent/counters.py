"""What the device has counted: energy, requests, time per mode, violations. Pure.

Conservation: energy is what every power reading stood for and nothing else; time in modes
adds up to the time lived; nothing ever decreases; a gap is counted, never filled.
"""

import msgspec

from tidewatt_governor.points import usable_rps, watts_at
from tidewatt_governor.sample import Load
from tidewatt_wire.messages import Counters, OperatingPoint, Policy
from tidewatt_wire.sleeping import ASLEEP
from tidewatt_wire.units import MILLIJOULES_PER_JOULE, MILLISECONDS_PER_SECOND

#: Time in a mode that could not be read is counted under this name.
UNKNOWN_MODE = "unknown"


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Counters with the fractions that don't yet make a whole millijoule."""

    counters: Counters = Counters()
    energy_rest_mj: float = 0.0
    last_power_s: float | None = None
    """When the last power reading came, monotonic seconds."""
    violating_run_ms: int = 0
    """How long the promise has been broken without a break."""


def add_power(tally: Tally, watts: float | None, at_s: float, gap_s: float) -> Tally:
    """Count a power reading in watts: it stands for the time since the one before it.

    tegrastats prints a mean of its interval. A silence longer than `gap_s`, or a reading
    without a power rail, is counted as unmeasured.
    """
    if tally.last_power_s is None:
        return msgspec.structs.replace(tally, last_power_s=at_s)
    seconds = max(0.0, at_s - tally.last_power_s)
    if watts is None or seconds > gap_s:
        return msgspec.structs.replace(
            tally, counters=_unmeasured(tally.counters, seconds), last_power_s=at_s
        )
    energy = tally.energy_rest_mj + watts * seconds * MILLIJOULES_PER_JOULE
    whole = max(0, int(energy))
    counters = msgspec.structs.replace(tally.counters, energy_mj=tally.counters.energy_mj + whole)
    return msgspec.structs.replace(tally, counters=counters, energy_rest_mj=energy - whole, last_power_s=at_s)


def add_silence(tally: Tally, since_s: float, now_s: float, gap_s: float) -> Tally:
    """Count a silence while it lasts: without a reading for longer than `gap_s`, the time is unmeasured.

    `since_s`: when it was first looked, for a power reading that never came.
    """
    last_s = since_s if tally.last_power_s is None else tally.last_power_s
    if now_s - last_s <= gap_s:
        return tally
    counters = _unmeasured(tally.counters, now_s - last_s)
    return msgspec.structs.replace(tally, counters=counters, last_power_s=now_s)


def add_nap(tally: Tally, asleep_s: float, watts: float | None, now_s: float) -> Tally:
    """Count a nap that is over: its time, and its energy by the measured sleep watts, which is an estimate.

    Without those its energy is not known and the time unmeasured. The next reading counts from `now_s`.
    """
    before, elapsed_ms = tally.counters, round(asleep_s * MILLISECONDS_PER_SECOND)
    energy_mj = 0 if watts is None else round(watts * asleep_s * MILLIJOULES_PER_JOULE)
    counters = msgspec.structs.replace(
        before,
        asleep_mj=before.asleep_mj + energy_mj,
        unmeasured_ms=before.unmeasured_ms + (elapsed_ms if watts is None else 0),
        mode_ms={**before.mode_ms, ASLEEP: before.mode_ms.get(ASLEEP, 0) + elapsed_ms},
    )
    return msgspec.structs.replace(tally, counters=counters, last_power_s=now_s, violating_run_ms=0)


def add_tick(
    tally: Tally,
    *,
    point: str | None,
    elapsed_ms: int,
    load: Load | None,
    violating: bool | None,
    switched: bool,
    modelled_mj: int = 0,
    governed_mj: int = 0,
) -> Tally:
    """Count one tick's time and requests: `elapsed_ms` in mode `point`, violating the SLO or not.

    None stands for what is not known: the mode, or whether the promise was kept.
    """
    before, mode = tally.counters, UNKNOWN_MODE if point is None else point
    # What is not known neither ends a run nor makes it longer.
    run_ms = 0 if violating is False else tally.violating_run_ms + (elapsed_ms if violating else 0)
    counters = msgspec.structs.replace(
        before,
        requests=before.requests + (load.requests if load else 0),
        violating_ms=before.violating_ms + (elapsed_ms if violating else 0),
        longest_violation_ms=max(before.longest_violation_ms, run_ms),
        switches=before.switches + int(switched),
        modelled_mj=before.modelled_mj + modelled_mj,
        governed_mj=before.governed_mj + governed_mj,
        unjudged_ms=before.unjudged_ms + (elapsed_ms if violating is None else 0),
        mode_ms={**before.mode_ms, mode: before.mode_ms.get(mode, 0) + elapsed_ms},
    )
    return msgspec.structs.replace(tally, counters=counters, violating_run_ms=run_ms)


def _unmeasured(counters: Counters, seconds: float) -> Counters:
    return msgspec.structs.replace(
        counters, unmeasured_ms=counters.unmeasured_ms + round(seconds * MILLISECONDS_PER_SECOND)
    )


def estimate_mj(point: OperatingPoint | None, load: Load | None, elapsed_s: float) -> int:
    """What the point draws for this load by its model, in millijoules; 0 where either isn't known."""
    if point is None or load is None:
        return 0
    return round(watts_at(point, load.rps) * elapsed_s * MILLIJOULES_PER_JOULE)


def violates(load: Load | None, point: OperatingPoint | None, policy: Policy) -> bool | None:
    """Whether the promise was broken over the interval: by measured p95, else by the point's model.

    None where neither can tell.
    """
    if load is None:
        return None
    if load.p95_ms is not None:
        return load.p95_ms > policy.slo_p95_ms
    return None if point is None else load.rps > usable_rps(point, policy.slo_p95_ms)
