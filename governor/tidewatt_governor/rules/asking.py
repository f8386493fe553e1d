"""What a rule is asked, and what it answers."""

from collections.abc import Callable, Collection, Sequence

import msgspec

from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.hints import Hint
from tidewatt_governor.leases import Lease
from tidewatt_governor.points import find, full_watts
from tidewatt_governor.sample import Load
from tidewatt_governor.situation import Situation
from tidewatt_governor.state import Cut, GovernorState
from tidewatt_wire.messages import OperatingPoint, Policy

#: What was left out on a reading that is gone for this long is let in again: nobody knows any more.
STALE_S = 600.0

Points = list[OperatingPoint]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One decision's world: what is remembered, measured, demanded and allowed at `now_s` (monotonic)."""

    state: GovernorState
    load: Load | None
    policy: Policy
    board: Sequence[OperatingPoint]
    vendor_default: str
    now_s: float
    leases: Sequence[Lease] = ()
    barred: Collection[str] = ()
    situation: Situation = Situation()
    forecast: Forecast | None = None
    hint: Hint | None = None
    offered: Points = []
    """The points that the policy allows and the board takes, once that is known."""

    @property
    def here(self) -> OperatingPoint | None:
        """The point where the board stands, if the board's profile knows it."""
        return find(self.board, self.state.point)


class Binding(msgspec.Struct, frozen=True):
    """A rule that left points out: its name, the points, and its clause of the reason."""

    rule: str
    left_out: frozenset[str]
    clause: str


#: The points that a rule keeps of the ones it is given, in words why (None: it keeps them all).
Answer = tuple[Points, str | None]
Rule = Callable[[Question, Points], Answer]


def leave_out(points: Points, kept: Points, why: str) -> Answer:
    """`kept` of `points`; never nothing: of several that all break a limit the least demanding is kept."""
    if len(kept) == len(points):
        return points, None
    if not kept:
        least = min(points, key=full_watts)
        return [least], f"{why}; no point keeps within that, {least.name} draws least"
    names = ", ".join(point.name for point in points if point not in kept)
    return kept, f"{names} left out, {why}"


def below(question: Question, points: Points, cut: Cut | None) -> Answer:
    """The points that draw less at full load than the one that was cut; all if that isn't known."""
    ceiling = find(question.board, cut.point) if cut else None
    if cut is None or ceiling is None:
        return points, None
    most_w = full_watts(ceiling)
    return leave_out(points, [point for point in points if full_watts(point) < most_w], cut.why)
