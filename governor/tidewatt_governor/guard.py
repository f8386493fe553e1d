"""The tail guard: how far the next minutes have lately risen above what was planned from the last ones.

Not mean plus sigma: traffic's rises are skewed and cluster, so the margin is an upper quantile of the
rises themselves, minute by minute over about a day. A board with smooth traffic gets a thin margin and
one with bursts a thick one, by the same setting.
"""

import msgspec

from tidewatt_governor.points import usable_rps
from tidewatt_governor.rules.asking import Question
from tidewatt_governor.state import MINUTE_S, Guard, Minute
from tidewatt_wire.messages import Policy

#: Rises remembered: a day of minutes.
KEPT = 1440
#: Fewer tell nothing: until then the margin is COLD.
FEWEST = 30
COLD = 0.15
#: A switch takes effect in its minute and is dwelt on for another: two minutes have to be covered.
COVERED_MIN = 2
#: Demands below this share of the weakest point's capacity are taken as that: a rise from next to nothing
#: is endless as a ratio and nothing to any point.
FLOOR_SHARE = 1.0 / 6.0


def note_guard(question: Question, minutes: tuple[Minute, ...]) -> Guard:
    """The guard with the rise of the newest complete minutes, once a minute; `minutes` before this load."""
    guard, policy = question.state.guard, question.policy
    minute = int(question.now_s // MINUTE_S)
    if policy.tail_quantile is None or minute == guard.minute:
        return guard
    guard = msgspec.structs.replace(guard, minute=minute, floor_rps=_floor(question))
    rise = _rise(minutes, minute - 1 - COVERED_MIN, window(policy), guard.floor_rps)
    if rise is None:
        return guard
    rises = (*guard.rises, rise)[-KEPT:]
    # The smallest rise that at least this share of the rises stays at or below.
    place = max(0, -int(-policy.tail_quantile * len(rises) // 1) - 1)
    return msgspec.structs.replace(guard, rises=rises, upper=sorted(rises)[place])


def margin(guard: Guard, policy: Policy) -> float:
    """The share to plan with beyond the busiest minute: at least the headroom, at most `most_headroom`."""
    if policy.tail_quantile is None:
        return policy.headroom
    upper = guard.upper if len(guard.rises) >= FEWEST else COLD
    return max(policy.headroom, min(upper, policy.most_headroom))


def window(policy: Policy) -> int:
    """Minutes of which the busiest is planned for."""
    return max(1, int(policy.demand_window_s // MINUTE_S))


def _rise(minutes: tuple[Minute, ...], reference: int, span: int, floor_rps: float) -> float | None:
    """By what share the minutes after `reference` rose above the busiest of the `span` up to it."""
    before = [one.rps for one in minutes if reference - span < one.minute <= reference]
    after = [one.rps for one in minutes if reference < one.minute <= reference + COVERED_MIN]
    if not before or len(after) < COVERED_MIN:
        return None
    return max(after) / max(*before, floor_rps, 1e-9) - 1.0


def _floor(question: Question) -> float:
    usable = [usable_rps(point, question.policy.slo_p95_ms) for point in question.board]
    return FLOOR_SHARE * min((rps for rps in usable if rps > 0.0), default=0.0)
