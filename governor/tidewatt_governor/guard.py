"""The tail guard: how far the next minutes have lately risen above what was planned from the last ones.

Not mean plus sigma: traffic's rises are skewed and cluster, so the margin is an upper quantile of the
rises themselves, minute by minute over about a day. A board with smooth traffic gets a thin margin and
one with bursts a thick one, by the same setting.
"""

import msgspec

from tidewatt_governor.points import usable_rps
from tidewatt_governor.rules.asking import Question
from tidewatt_governor.state import MINUTE_S, GovernorState, Guard, Minute, Stepped, telling
from tidewatt_governor.steps import beat_of, changed, with_change
from tidewatt_governor.traffic import quantile
from tidewatt_wire.messages import Policy

#: Rises remembered: a day of minutes.
KEPT = 1440
#: Fewer tell nothing: until then the margin is COLD.
FEWEST = 30
COLD, COLD_STEP = 0.15, 0.5
#: A switch takes effect in its minute and is dwelt on for another: two minutes have to be covered.
COVERED_MIN = 2
#: Rates that held before a step, of which it is reckoned from the busier; and rises at steps remembered.
ROWS, KEPT_STEPS = 2, 1000
#: A switch serves nothing for about two seconds of its minute: also a rate that can't rise needs so much.
PAUSE_SHARE = 0.035
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
    guard = msgspec.structs.replace(guard, stepped=_note_step(guard, minutes, minute - 1, policy))
    rise = _rise(minutes, minute - 1 - COVERED_MIN, window(policy), guard.floor_rps)
    if rise is None:
        return guard
    rises = (*guard.rises, rise)[-KEPT:]
    return msgspec.structs.replace(guard, rises=rises, upper=quantile(rises, policy.tail_quantile))


class HeldRate(msgspec.Struct, frozen=True):
    """Where traffic that comes in steps stands."""

    rps: float
    """The rate that holds now,"""
    busiest: float
    """the busier of it and the one before it, requests/s,"""
    left: int
    """and how many minutes after the newest it is sure to hold."""


def held_rate(state: GovernorState) -> HeldRate | None:
    """The rate that holds; None where traffic doesn't come in steps."""
    stepped = state.guard.stepped
    beat, newest = stepped.beat, telling(state.minutes)[-1]
    if beat is None or len(stepped.rows) < ROWS:
        return None
    since, noted = beat.since(newest.minute), stepped.rows[-1]
    if since >= beat.width:  # the row of this minute is noted
        if newest.rps > noted and changed(noted, newest.rps):  # beside the beat: nothing is sure any more
            return HeldRate(newest.rps, newest.rps, 0)
        return HeldRate(noted, max(stepped.rows), beat.left(newest.minute))
    return HeldRate(newest.rps, max(newest.rps, noted), beat.left(newest.minute))


def _note_step(guard: Guard, minutes: tuple[Minute, ...], newest: int, policy: Policy) -> Stepped:
    """What is known of steps with the minute `newest`, if the two last minutes are known."""
    was = guard.stepped
    rates = {one.minute: one.rps for one in minutes}
    if newest not in rates or newest - 1 not in rates:
        return was
    if changed(rates[newest - 1], rates[newest]):
        changes = with_change(was.changes, newest)
        beat = beat_of(changes)
        if beat is None or was.beat is None or beat.minutes != was.beat.minutes:
            was = Stepped()  # another beat has other rises
        was = msgspec.structs.replace(was, changes=changes, beat=beat)
    beat = was.beat
    if beat is None or beat.since(newest) != beat.width - 1:
        return was
    row = max(rates[newest], rates[newest - 1]) if beat.width > 1 else rates[newest]
    rises = was.rises
    if len(was.rows) == ROWS:
        rises = (*rises, row / max(*was.rows, guard.floor_rps, 1e-9) - 1.0)[-KEPT_STEPS:]
    return msgspec.structs.replace(
        was,
        rows=(*was.rows, row)[-ROWS:],
        rises=rises,
        upper=quantile(rises, policy.step_quantile) if rises else 0.0,
    )


def margin(guard: Guard, policy: Policy) -> float:
    """The share to plan with beyond the busiest minute: at least the headroom, at most `most_headroom`."""
    if policy.tail_quantile is None:
        return policy.headroom
    upper = guard.upper if len(guard.rises) >= FEWEST else COLD
    return max(policy.headroom, min(upper, policy.most_headroom))


def step_margin(guard: Guard, policy: Policy) -> float:
    """The same for a step that may come: beyond the busier of the last two rates that held."""
    upper = guard.stepped.upper if len(guard.stepped.rises) >= FEWEST else COLD_STEP
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
