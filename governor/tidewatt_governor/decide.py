"""The decision: which operating point serves the traffic with the least energy.

Invariants (each is a property test):
- pure: the same arguments give the same result;
- safe: with no load known for longer than a grace the board stands at the safe point;
- up at once, down only after the dwell and only for a saving that pays the switch;
- more demand never gives less capacity;
- a point outside the policy's allowed ones is never gone to, whatever the board refuses;
- a lease is kept wherever the policy leaves a point that high;
- deciding again with the same input changes nothing.

Demand is planned as the highest one-minute mean rate of the recent window plus a margin: on real
traces no model-free rule does better, and a forecaster may later only raise it.
"""

from collections.abc import Collection, Sequence

import msgspec

from tidewatt_governor import points
from tidewatt_governor.leases import Lease, at_or_above
from tidewatt_governor.policy import allowed as allowed_points
from tidewatt_governor.sample import Load
from tidewatt_wire.messages import OperatingPoint, Policy

MINUTE_S = 60.0
#: A minute counts towards the demand when it holds this many seconds: single seconds are
#: mostly chance (150 rps come as 126 to 174), and a burst still shows within these.
TELLING_S = 10.0


class Minute(msgspec.Struct, frozen=True):
    """The requests of one minute (`minute` counts from the clock's origin) and the seconds they took."""

    minute: int
    requests: int
    seconds: float

    @property
    def rps(self) -> float:
        """Mean rate in requests/s."""
        return self.requests / self.seconds


class GovernorState(msgspec.Struct, frozen=True, kw_only=True):
    """What the governor remembers: where the board stands, since when, and the recent minutes."""

    point: str
    since_s: float
    minutes: tuple[Minute, ...] = ()
    blind_since_s: float | None = None
    """Since when the load has not been known; None while it is."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The operating point to be at, the rule that bound, and why, in one English sentence."""

    point: str
    rule: str
    reason: str


def decide(
    state: GovernorState,
    load: Load | None,
    policy: Policy,
    board: Sequence[OperatingPoint],
    vendor_default: str,
    now_s: float,
    leases: Sequence[Lease] = (),
    barred: Collection[str] = (),
) -> tuple[GovernorState, Decision]:
    """The new state and the decision. `now_s` is monotonic; `board` has at least one point.

    `leases`: the floors in force, which the decision keeps to as far as the policy allows.
    `barred`: points that the board did not take, and isn't asked for now.

    The state remembers demand but doesn't move: a decision isn't a deed (see `moved`).

    Raises ValueError if `board` is empty.
    """
    if not board:
        raise ValueError("the board has no operating points: it is empty")
    allowed = [point for point in allowed_points(board, policy) if point.name not in barred]
    if not allowed:
        # The policy's limits hold without the points that the board refuses, too: better still than beyond.
        state = state if load is None else _remember(state, load, policy, now_s)
        return state, _hold_refused(state, barred)
    allowed, floor = at_or_above(allowed, leases, board, policy.slo_p95_ms)
    state, decision = _decide(state, load, policy, allowed, vendor_default, now_s)
    if floor is None:
        return state, decision
    why = f"{decision.reason}; {floor.reason!r} holds {floor.point} or more"
    return state, msgspec.structs.replace(decision, reason=why)


def _decide(
    state: GovernorState,
    load: Load | None,
    policy: Policy,
    allowed: list[OperatingPoint],
    vendor_default: str,
    now_s: float,
) -> tuple[GovernorState, Decision]:
    if load is None:
        since_s = now_s if state.blind_since_s is None else state.blind_since_s
        state = msgspec.structs.replace(state, blind_since_s=since_s)
        if now_s - since_s < policy.blind_grace_s and points.find(allowed, state.point):
            return state, _hold_still(state, policy, now_s - since_s)
        return state, _stand_safe(state, policy, allowed, vendor_default)
    state = _remember(state, load, policy, now_s)
    telling = [one for one in state.minutes if one.seconds >= TELLING_S] or [state.minutes[-1]]
    demand = max(minute.rps for minute in telling) * (1.0 + policy.headroom)
    return state, _choose(state, policy, allowed, demand, telling[-1].rps, now_s)


def moved(state: GovernorState, point: str, now_s: float) -> GovernorState:
    """The state after the board was seen to stand at `point`."""
    if point == state.point:
        return state
    return msgspec.structs.replace(state, point=point, since_s=now_s)


def _remember(state: GovernorState, load: Load, policy: Policy, now_s: float) -> GovernorState:
    minute = int(now_s // MINUTE_S)
    oldest = minute - int(policy.demand_window_s // MINUTE_S)
    kept = [one for one in state.minutes if oldest < one.minute < minute]
    requests, seconds = load.requests, load.interval_s
    if state.minutes and state.minutes[-1].minute == minute:
        requests += state.minutes[-1].requests
        seconds += state.minutes[-1].seconds
    now = Minute(minute, requests, seconds)
    return msgspec.structs.replace(state, minutes=(*kept, now), blind_since_s=None)


def _hold_refused(state: GovernorState, barred: Collection[str]) -> Decision:
    return Decision(
        point=state.point,
        rule="barred",
        reason=f"the board takes none of the allowed points ({', '.join(sorted(barred))} not now): "
        f"hold {state.point}",
    )


def _hold_still(state: GovernorState, policy: Policy, blind_s: float) -> Decision:
    return Decision(
        point=state.point,
        rule="load_gap",
        reason=f"load unknown for {blind_s:.0f} s of {policy.blind_grace_s:.0f} s grace: hold {state.point}",
    )


def _stand_safe(
    state: GovernorState, policy: Policy, allowed: list[OperatingPoint], vendor_default: str
) -> Decision:
    for name, origin in (
        (policy.safe_point, "the policy's safe point"),
        (vendor_default, "the vendor default"),
    ):
        if name is not None and points.find(allowed, name):
            return Decision(
                point=name,
                rule="no_load_known",
                reason=f"load unknown: {_hold_or_go(state.point, name)} {origin} {name}",
            )
    name = points.strongest(allowed, policy.slo_p95_ms).name
    return Decision(
        point=name,
        rule="no_load_known",
        reason=f"load unknown: {_hold_or_go(state.point, name)} the strongest allowed point {name}",
    )


def _hold_or_go(here: str, there: str) -> str:
    return "hold" if here == there else "go to"


def _choose(
    state: GovernorState,
    policy: Policy,
    allowed: list[OperatingPoint],
    demand: float,
    rps: float,
    now_s: float,
) -> Decision:
    minutes = policy.demand_window_s / MINUTE_S
    asked = f"demand {demand:.0f} rps (peak of {minutes:.0f} min + {policy.headroom:.0%})"
    able = [point for point in allowed if points.usable_rps(point, policy.slo_p95_ms) >= demand]
    if not able:
        best = points.strongest(allowed, policy.slo_p95_ms)
        return Decision(
            point=best.name,
            rule="overload",
            reason=f"{asked} exceeds every allowed point within p95 {policy.slo_p95_ms:.0f} ms: "
            f"{_stay_or_step(state.point, best.name)}",
        )
    best = points.cheapest(able, rps)
    here = points.find(able, state.point)
    if here is not None:
        # Hysteresis: staying needs the headroom, moving down needs a little more.
        roomy = demand * (1.0 + policy.hysteresis)
        best = points.cheapest(
            [here, *(one for one in able if points.usable_rps(one, policy.slo_p95_ms) >= roomy)], rps
        )
    spare = points.usable_rps(best, policy.slo_p95_ms) / demand - 1.0 if demand > 0.0 else None
    fits = f"{asked} fits {best.name}" + (
        f" with {min(spare, 9.99):.0%} to spare" if spare is not None else ""
    )
    if here is None:
        return Decision(
            point=best.name,
            rule="capacity",
            reason=f"{fits}: step up from {state.point}"
            if points.find(allowed, state.point)
            else f"{fits}: leave {state.point}, which the policy doesn't allow",
        )
    return _keep_or_save(state, policy, here, best, rps, fits, now_s)


def _stay_or_step(here: str, there: str) -> str:
    return f"stay at {here}" if here == there else f"step up from {here} to {there}"


def _keep_or_save(
    state: GovernorState,
    policy: Policy,
    here: OperatingPoint,
    best: OperatingPoint,
    rps: float,
    fits: str,
    now_s: float,
) -> Decision:
    saving_w = points.watts_at(here, rps) - points.watts_at(best, rps)
    if best.name == here.name or saving_w <= 0.0:
        return Decision(
            point=here.name, rule="cheapest", reason=f"{fits}, the cheapest at {rps:.0f} rps: stay"
        )
    held_s = now_s - state.since_s
    if held_s < policy.min_dwell_s:
        return Decision(
            point=here.name,
            rule="dwell",
            reason=f"{fits} and would save {saving_w:.1f} W: stay at {here.name}, "
            f"{held_s:.0f} s of {policy.min_dwell_s:.0f} s dwell since last switch",
        )
    # It is worth a switch if the saving over one dwell, the least it will last, repays it.
    if saving_w * max(policy.min_dwell_s, 1.0) < policy.switch_cost_j:
        return Decision(
            point=here.name,
            rule="not_worth_it",
            reason=f"{fits} but saves only {saving_w:.2f} W: stay at {here.name}",
        )
    return Decision(
        point=best.name,
        rule="saving",
        reason=f"{fits} and saves {saving_w:.1f} W: step down from {here.name}, "
        f"{held_s:.0f} s since last switch",
    )
