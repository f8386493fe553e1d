"""The simulated board: queue, power and temperature, stepped in virtual time.

The truth that the agent measures. It follows the operating-point model and adds what the
governor does not know: leakage with temperature, hardware throttling when too hot, a pause
while the mode switches, a queue that builds up and sheds. Energy is exact by construction:
every step adds power x time, and nothing else does.
"""

import math
from collections.abc import Mapping

import msgspec

from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.points import FULL, Figures, p95_at

#: Histogram bounds of the simulated application, seconds: fine around the promises that
#: people make (10 to 100 ms), so that the interpolated p95 is near the truth.
LATENCY_BOUNDS_S = (
    *(0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.045, 0.05, 0.055, 0.06, 0.065, 0.07),
    *(0.08, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)

#: ln(20): how many mean excesses lie below the 95th percentile of an exponential tail.
LN20 = math.log(20.0)

#: Share of the unloaded p95 that no request goes below.
FLOOR_SHARE = 0.5

#: Longest step in seconds over which rate and temperature are taken as constant.
LONGEST_STEP_S = 1.0


class BoardState(msgspec.Struct, frozen=True, kw_only=True):
    """The board at one moment, and what it has done since it was switched on."""

    point: str
    trim: str | None = None
    """The caps that the mode is under; None: uncapped."""
    temperature_c: float
    clock_s: float = 0.0
    backlog: float = 0.0
    """Requests waiting."""
    pause_s: float = 0.0
    """Seconds for which no request is served, because the mode is being switched."""
    watts: float = 0.0
    use: float = 0.0
    """Share of capacity in use, 0..1."""
    energy_j: float = 0.0
    requests: float = 0.0
    """Requests that arrived."""
    shed: float = 0.0
    """Requests turned away because the queue was too long."""
    latency_sum_s: float = 0.0
    latency_counts: tuple[float, ...] = (0.0,) * (len(LATENCY_BOUNDS_S) + 1)
    """Requests per latency bucket, not cumulative; the last is beyond every bound."""
    switches: int = 0


def switched_on(profile: BoardProfile) -> BoardState:
    """A cold board in the vendor's default mode."""
    return BoardState(point=profile.vendor_default, temperature_c=profile.physics.ambient_c)


def set_point(state: BoardState, profile: BoardProfile, name: str) -> BoardState:
    """The board after nvpmodel was told to go to `name`; KeyError if there is no such mode."""
    point = profile.point(name)
    if point.name == state.point:
        return msgspec.structs.replace(state, trim=None)
    return msgspec.structs.replace(
        state,
        point=point.name,
        trim=None,
        pause_s=profile.physics.switch_pause_s,
        switches=state.switches + 1,
    )


def set_caps(state: BoardState, profile: BoardProfile, shown: Mapping[str, int]) -> BoardState:
    """The board with these upper clock caps, in hertz by clock; unknown ones change nothing."""
    mode = msgspec.to_builtins(profile.caps[state.point])
    trim = next(
        (
            trim
            for trim in profile.point(state.point).trims
            if all(hertz == (mode | trim.caps).get(clock) for clock, hertz in shown.items())
        ),
        None,
    )
    return msgspec.structs.replace(state, trim=trim.name if trim else None)


def figures(state: BoardState, profile: BoardProfile) -> Figures:
    """What the board can do and draws as it stands."""
    point = profile.point(state.point)
    return next((trim for trim in point.trims if trim.name == state.trim), point)


def advance(state: BoardState, profile: BoardProfile, seconds: float, rps: float) -> BoardState:
    """The board after `seconds` during which `rps` requests/s arrived, in steps of at most 1 s."""
    steps = max(1, math.ceil(seconds / LONGEST_STEP_S))
    for _ in range(steps):
        state = _step(state, profile, seconds / steps, rps)
    return state


def latency_s(state: BoardState, profile: BoardProfile, rps: float, share: float) -> float | None:
    """How long a request takes that comes at `rps` requests/s and is slower than `share` (0..1) of all.

    None: the application turns it away.
    """
    point = figures(state, profile)
    delay_s = state.backlog / point.capacity_rps + state.pause_s
    if delay_s >= profile.physics.queue_limit_s:
        return None
    floor_s = FLOOR_SHARE * point.light_p95_ms / 1000.0
    p95_s = p95_at(point, min(rps, point.capacity_rps * (FULL - 0.005))) / 1000.0
    mean_excess_s = (p95_s - floor_s) / LN20
    return floor_s + delay_s - mean_excess_s * math.log1p(-min(share, 0.999))


def _step(state: BoardState, profile: BoardProfile, dt: float, rps: float) -> BoardState:
    if dt <= 0.0:
        return state
    physics = profile.physics
    point = figures(state, profile)
    throttled = state.temperature_c >= physics.throttle_at_c
    capacity = point.capacity_rps * (physics.throttle_factor if throttled else 1.0)
    serving_s = max(0.0, dt - state.pause_s)

    arrived = rps * dt
    waiting = state.backlog + arrived
    served = min(waiting, capacity * serving_s)
    backlog = waiting - served
    # The application turns newcomers away; who already waits, waits on.
    shed = min(arrived, max(0.0, backlog - capacity * physics.queue_limit_s))
    backlog -= shed

    leakage = 1.0 + physics.leakage_per_c * max(0.0, state.temperature_c - physics.leakage_from_c)
    energy_j = (point.idle_watts * dt + point.joules_per_request * served) * leakage
    watts = energy_j / dt
    settled_c = physics.ambient_c + physics.thermal_resistance_c_per_w * watts
    nearing = 1.0 - math.exp(-dt / physics.thermal_time_constant_s)

    delay_s = backlog / capacity + state.pause_s / 2.0
    counts, latency_s = _latencies(point, rps * point.capacity_rps / capacity, delay_s)
    accepted = arrived - shed
    return msgspec.structs.replace(
        state,
        clock_s=state.clock_s + dt,
        temperature_c=state.temperature_c + (settled_c - state.temperature_c) * nearing,
        backlog=backlog,
        pause_s=max(0.0, state.pause_s - dt),
        watts=watts,
        use=served / (capacity * dt),
        energy_j=state.energy_j + energy_j,
        requests=state.requests + arrived,
        shed=state.shed + shed,
        latency_sum_s=state.latency_sum_s + latency_s * accepted,
        latency_counts=_add(state.latency_counts, counts, accepted, shed),
    )


def _add(
    sums: tuple[float, ...], shares: tuple[float, ...], accepted: float, shed: float
) -> tuple[float, ...]:
    # A request that was turned away kept no promise: it stands beyond every bound.
    *within, beyond = (total + share * accepted for total, share in zip(sums, shares, strict=True))
    return (*within, beyond + shed)


def _latencies(point: Figures, rps: float, delay_s: float) -> tuple[tuple[float, ...], float]:
    """The share of requests per latency bucket, and the mean latency in seconds.

    A floor plus an exponential tail whose 95th percentile is the operating point's, all
    shifted by the time spent waiting in the backlog.
    """
    p95_s = min(p95_at(point, min(rps, point.capacity_rps * (FULL - 0.005))), 60_000.0) / 1000.0
    floor_s = FLOOR_SHARE * point.light_p95_ms / 1000.0
    mean_excess_s = (p95_s - floor_s) / LN20
    start_s = floor_s + delay_s
    below = [
        1.0 - math.exp(-(bound - start_s) / mean_excess_s) if bound > start_s else 0.0
        for bound in LATENCY_BOUNDS_S
    ]
    shares = [high - low for low, high in zip([0.0, *below], [*below, 1.0], strict=True)]
    return tuple(shares), start_s + mean_excess_s
