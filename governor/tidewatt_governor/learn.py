"""Online learning of what each operating point draws, from the minutes the board stands at it. Pure.

Two figures are learned per point, idle watts and joules per request, as shares by which they differ from
the profile's. It is ridge regression about the profile with a memory of a day: evidence fades, the profile
doesn't, so what the traffic never shows stays where the profile had it, and nothing winds up.

Invariants (each is a test):
- bounded: each figure stays within a factor BOUND of the profile's, whatever comes;
- slow: one minute moves no figure by more than SLOWEST_STEP of the profile's;
- robust: a minute that is far off is left out, one that is somewhat off counts only that far;
- a figure is called measured only when enough minutes at different loads agree.

Capacity and latency are not learned: a minute shows what was served, not what could have been.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.points import watts_at
from tidewatt_wire.messages import OperatingPoint, Trim

#: A figure is at most this many times the profile's, and at least one over it.
BOUND = 2.0
#: Minutes that an hour-old minute's weight is counted in: a day.
MEMORY_MIN = 1440.0
#: The profile counts as much as so many minutes.
PRIOR_MIN = 3.0
#: A minute further off what is known than this share is no measurement of this board.
OUTLIER = 0.5
#: And one that is further off than this counts as if it were just so far off.
MOST_SURPRISE = 0.2
#: What follows from the two above, with PRIOR_MIN: the most that one minute can move a figure.
SLOWEST_STEP = MOST_SURPRISE / PRIOR_MIN + 0.01
#: Measured is what so many minutes show, at loads that differ so much, within so much.
ENOUGH_MIN, ENOUGH_SPREAD, GOOD_ERROR = 60, 2.0 * PRIOR_MIN, 0.1
#: Of modes not stood at yet, the others' deviation is believed when it has so many minutes behind it.
CARRY_MIN = 60.0
#: Idle in both terms: below this nothing is measured.
LEAST_WATTS, MOST_WATTS = 0.1, 1000.0

Figured = TypeVar("Figured", OperatingPoint, Trim)
Origin = Literal["measured", "calibrated", "class_default"]


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the minutes at one point have shown: sums over them, fading. See `learn`."""

    idle_watts: float
    joules_per_request: float
    """The profile's figures that the sums are relative to."""
    minutes: int = 0
    refused: int = 0
    """Minutes left out as outliers."""
    s00: float = 0.0
    s01: float = 0.0
    s11: float = 0.0
    b0: float = 0.0
    b1: float = 0.0
    squares: float = 0.0
    """Sum of the squared relative errors of the prediction, each before its minute was learned."""

    @property
    def weight(self) -> float:
        """Minutes that are remembered."""
        return self.s00 + 2.0 * self.s01 + self.s11

    @property
    def error(self) -> float | None:
        """Root mean square of the relative prediction errors; None before the first minute."""
        return math.sqrt(max(0.0, self.squares) / self.weight) if self.weight > 0.0 else None


Knowledge = Mapping[str, Known]
"""By point."""


def fresh(point: OperatingPoint) -> Known:
    """Nothing known about the point of the profile."""
    return Known(idle_watts=point.idle_watts, joules_per_request=point.joules_per_request)


def usable(known: Known, point: OperatingPoint) -> bool:
    """Whether it (from a file, say) is about this point as the profile has it, and can be so."""
    sums = (known.s00, known.s01, known.s11, known.b0, known.b1, known.squares)
    same = (known.idle_watts, known.joules_per_request) == (point.idle_watts, point.joules_per_request)
    finite = all(math.isfinite(value) and abs(value) <= 2.0 * MEMORY_MIN for value in sums)
    squares = min(known.s00, known.s11, known.squares) >= 0.0 and known.s01 >= 0.0
    return same and finite and squares and known.s01**2 <= known.s00 * known.s11 * 1.000001 + 1e-9


def learn(known: Known, point: OperatingPoint, watts: float, rps: float) -> Known:
    """What is known after a minute at `point` (the profile's) with these mean watts and requests/s.

    A minute that can't be is refused: not finite, beyond capacity (what was shed drew nothing), or far
    off what is known.
    """
    if not (LEAST_WATTS <= watts <= MOST_WATTS and 0.0 <= rps <= point.capacity_rps):
        return msgspec.structs.replace(known, refused=known.refused + 1)
    prior = watts_at(point, rps)
    expected = watts_at(_with(point, _deviation(known)), rps)
    if prior < LEAST_WATTS or expected < LEAST_WATTS:
        return msgspec.structs.replace(known, refused=known.refused + 1)
    surprise = (watts - expected) / expected
    if abs(surprise) > OUTLIER:
        return msgspec.structs.replace(known, refused=known.refused + 1)
    counted = (1.0 + max(-MOST_SURPRISE, min(MOST_SURPRISE, surprise))) * expected
    target = (counted - prior) / prior
    idle, moving = point.idle_watts / prior, point.joules_per_request * rps / prior
    fade = math.exp(-1.0 / MEMORY_MIN)
    return msgspec.structs.replace(
        known,
        minutes=known.minutes + 1,
        s00=fade * known.s00 + idle * idle,
        s01=fade * known.s01 + idle * moving,
        s11=fade * known.s11 + moving * moving,
        b0=fade * known.b0 + idle * target,
        b1=fade * known.b1 + moving * target,
        squares=fade * known.squares + surprise**2,
    )


def learned_points(board: Sequence[OperatingPoint], knowledge: Knowledge) -> list[OperatingPoint]:
    """The profile's points with what is known of them.

    A point that the board never stood at deviates as the others do, as far as these are known: a board
    that draws 15 % more than its profile does so in every mode. Otherwise the one mode that was measured
    would look dear beside the others.
    """
    return [_learned(point, knowledge) for point in board]


def _learned(point: OperatingPoint, knowledge: Knowledge) -> OperatingPoint:
    known = knowledge.get(point.name) or fresh(point)
    others = [one for name, one in knowledge.items() if name != point.name and one.minutes]
    deviations = [(one.weight, _deviation(one)) for one in others]
    behind = sum(weight for weight, _ in deviations) + CARRY_MIN
    own = _deviation(known)
    doubt = PRIOR_MIN / (PRIOR_MIN + known.weight)
    carried = [sum(weight * one[n] for weight, one in deviations) / behind for n in (0, 1)]
    idle, each = (own[n] + doubt * carried[n] for n in (0, 1))
    found = _with(point, (_bounded(idle), _bounded(each)))
    return msgspec.structs.replace(found, measured=point.measured or _is_measured(known))


def origin(profile: BoardProfile, name: str, knowledge: Knowledge) -> Origin:
    """Where the figures of the point called `name` come from. KeyError if there is none."""
    known = knowledge.get(name)
    if known and _is_measured(known):
        return "measured"
    return "calibrated" if profile.point(name).measured else "class_default"


def _is_measured(known: Known) -> bool:
    error = known.error
    # In shares of idle and moving watts, which add up to one: what tells the two apart is their spread.
    mean = (known.s01 + known.s11) / known.weight if known.weight > 0.0 else 0.0
    spread = 2.0 * (known.s11 - known.weight * mean**2)
    enough = known.minutes >= ENOUGH_MIN and spread >= ENOUGH_SPREAD
    return enough and error is not None and error <= GOOD_ERROR


def _deviation(known: Known) -> tuple[float, float]:
    """The shares by which idle watts and joules per request differ from the profile's, within bounds."""
    s00, s11 = known.s00 + PRIOR_MIN, known.s11 + PRIOR_MIN
    determinant = s00 * s11 - known.s01**2  # at least PRIOR_MIN squared
    idle = _bounded((known.b0 * s11 - known.b1 * known.s01) / determinant)
    # With idle watts at a bound, what joules per request fit best with that.
    each = _bounded((known.b1 - known.s01 * idle) / s11)
    return _bounded((known.b0 - known.s01 * each) / s00), each


def _bounded(deviation: float) -> float:
    return max(1.0 / BOUND - 1.0, min(BOUND - 1.0, deviation))


def _with(point: OperatingPoint, deviation: tuple[float, float]) -> OperatingPoint:
    figures = [_scaled(trim, deviation) for trim in point.trims]  # else one side of the choice alone moved
    return msgspec.structs.replace(_scaled(point, deviation), trims=figures)


def _scaled(point: Figured, deviation: tuple[float, float]) -> Figured:
    return msgspec.structs.replace(
        point,
        idle_watts=point.idle_watts * (1.0 + deviation[0]),
        joules_per_request=point.joules_per_request * (1.0 + deviation[1]),
    )
