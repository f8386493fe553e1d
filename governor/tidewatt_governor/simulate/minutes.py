"""The board by the minute: for comparing ways of choosing over days, and for the bound on all of them.

Less true than `board.py` (no queue, no heat), but simple enough that the best possible choice can be
computed. A minute at a point draws what its model says; a switch serves nothing for its pause; a minute
is violating if more is asked than the point can serve in it, or its model's p95 is beyond the promise.
"""

from collections.abc import Sequence

import msgspec

from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.points import p95_at, usable_rps, watts_at
from tidewatt_wire.messages import OperatingPoint

MINUTE_S = 60.0
#: Use at which the latency model is asked at most: beyond it says overload, which capacity already does.
ALMOST_FULL = 0.994


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for everybody who chooses."""

    profile: BoardProfile
    slo_p95_ms: float
    dwell_min: int = 2
    """Minutes that a point is kept at least, also by the clairvoyant."""

    def energy_j(self, point: OperatingPoint, rps: float) -> float:
        """Joules of one minute."""
        return watts_at(point, rps) * MINUTE_S

    def served_rps(self, rps: float, *, switched: bool) -> float:
        """What is left of a rate in a minute; `switched`: the switch was in it."""
        pause_s = self.profile.physics.switch_pause_s if switched else 0.0
        return rps * (1.0 - pause_s / MINUTE_S)

    def violates(self, point: OperatingPoint, rps: float, *, switched: bool) -> bool:
        """Whether a minute at that rate breaks the promise; `switched`: the switch was in it."""
        if rps > self.served_rps(point.capacity_rps, switched=switched):
            return True
        return p95_at(point, min(rps, ALMOST_FULL * point.capacity_rps)) > self.slo_p95_ms


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a way of choosing came to."""

    energy_j: float
    violating: int
    """Minutes."""
    longest: int
    """Of them in a row."""
    switches: int
    minutes: int


class MinuteBoard:
    """One board under the rules; every minute it is asked to go somewhere, and does if it has dwelt."""

    def __init__(self, rules: Rules, start: str) -> None:
        self._rules = rules
        self.point = rules.profile.point(start)
        self._age = rules.dwell_min
        self._energy_j, self._switches, self._minutes = 0.0, 0, 0
        self._violating = self._row = self._longest = 0

    def minute(self, wanted: str, rps: float) -> bool:
        """Live one minute of `rps` requests/s at `wanted`, or where it is while it must dwell.

        Whether the minute was violating.
        """
        switched = self._switches_to(wanted)
        if switched:
            self.point, self._age = self._rules.profile.point(wanted), 0
        self._age += 1
        self._minutes += 1
        self._switches += switched
        self._energy_j += self._rules.energy_j(self.point, rps)
        broken = self._rules.violates(self.point, rps, switched=switched)
        self._row = self._row + 1 if broken else 0
        self._violating += broken
        self._longest = max(self._longest, self._row)
        return broken

    def rest(self) -> None:
        """A minute asleep: nothing is asked of it, and it dwells where it is."""
        self._age += 1

    def usable_rps(self, wanted: str) -> float:
        """What the next minute at `wanted`, or where it must dwell, can serve within the promise."""
        switched = self._switches_to(wanted)
        point = self._rules.profile.point(wanted) if switched else self.point
        return self._rules.served_rps(usable_rps(point, self._rules.slo_p95_ms), switched=switched)

    def _switches_to(self, wanted: str) -> bool:
        return wanted != self.point.name and self._age >= self._rules.dwell_min

    @property
    def run(self) -> Run:
        """So far."""
        return Run(
            energy_j=self._energy_j,
            violating=self._violating,
            longest=self._longest,
            switches=self._switches,
            minutes=self._minutes,
        )


def clairvoyant(rules: Rules, demand: Sequence[float], start: str) -> list[str]:
    """The points of the minutes with the fewest violations and, of those, the least energy.

    A dynamic programme over (point, minutes since the switch): exact for the rules, dwell and switch
    loss included. Costs are (violating minutes, joules), compared in that order.
    """
    points, dwell = rules.profile.points, rules.dwell_min
    best: dict[tuple[int, int], tuple[int, float]] = {
        (index, dwell): (0, 0.0) for index, point in enumerate(points) if point.name == start
    }
    came: list[dict[tuple[int, int], tuple[int, int]]] = []
    for rps in demand:
        energy = [rules.energy_j(point, rps) for point in points]
        stay = [rules.violates(point, rps, switched=False) for point in points]
        move = [rules.violates(point, rps, switched=True) for point in points]
        following: dict[tuple[int, int], tuple[int, float]] = {}
        origin: dict[tuple[int, int], tuple[int, int]] = {}
        for (here, age), (broken, joules) in best.items():
            for there in range(len(points)) if age >= dwell else (here,):
                state = (there, min(age + 1, dwell) if there == here else 1)
                bad = stay[there] if there == here else move[there]
                cost = (broken + bad, joules + energy[there])
                if state not in following or cost < following[state]:
                    following[state], origin[state] = cost, (here, age)
        best = following
        came.append(origin)
    state = min(best, key=lambda one: best[one])
    path = []
    for origin in reversed(came):
        path.append(points[state[0]].name)
        state = origin[state]
    return path[::-1]


def lived(rules: Rules, demand: Sequence[float], wanted: Sequence[str], start: str) -> Run:
    """What a whole row of wishes comes to."""
    board = MinuteBoard(rules, start)
    for rps, wish in zip(demand, wanted, strict=True):
        board.minute(wish, rps)
    return board.run
