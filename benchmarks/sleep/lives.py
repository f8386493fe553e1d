"""Ten simulated boards in closed loop, planned together with sleep.

A board that is told to sleep drains, sleeps, and wakes by its alarm, as early before its time as the agent
does, or by a neighbour's packet: at the start of a minute by the plan's order, or within one by its watch. A
minute before its time the planner may lengthen the nap; the board then wakes, looks, and sleeps on. A board
that fails to wake stays down until somebody comes.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from benchmarks.joint.lives import COUNT, HINTED, NEARLY, STALE_MIN, Boards, Lived, Scene
from tidewatt_coordinator.dispatch.overflow import spilled
from tidewatt_coordinator.hinting.calling import with_calls
from tidewatt_coordinator.planning.demand import Guarded
from tidewatt_coordinator.planning.envelopes import Envelope, envelopes_of
from tidewatt_coordinator.planning.naps import NapTerms, told
from tidewatt_coordinator.planning.outlook import Outlook
from tidewatt_coordinator.planning.plan import Device
from tidewatt_coordinator.planning.resting import RestPlan, RestState, plan_rest
from tidewatt_coordinator.planning.terms import SLEEPERS_WORTH, Terms
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.hints import Hint
from tidewatt_governor.simulate.minutes import MINUTE_S, Rules

#: Assumed: no board of ours was measured asleep.
ASLEEP_W, RESUME_S, WARM_UP_S = 0.5, 15.0, 20.0
#: The agent wakes earlier than it must by its slowest resume and a quarter.
LEAD_S = 1.25 * (RESUME_S + WARM_UP_S)
#: Awake for a look that finds a newer hint; and until requests in hand are done.
LOOK_S, DRAIN_S = RESUME_S + 5.0, 20.0
#: After so many seconds of a minute a rise is seen (by an awake board's own ticks of a second, or the
#: coordinator's reports of ten) and the packet sent: with 35 s to serve again it is there in the next one.
SEEN_S = 20.0
#: Beside naps, with fewer boards awake a minute beyond the modes is likelier: the margin is what it is worth,
#: in minutes of the whole fleet's room. Tuned on the 15 % before the last.
WORTH = SLEEPERS_WORTH
#: The board that doesn't wake, where one doesn't, and after how long somebody has helped it up.
FAILING, HELP_MIN = 3, 240
#: For so many minutes from its time on a board that doesn't come was counted on: the plan of the first knows
#: it, and whom that wakes serves from the next on. What is beyond them later is beyond a plan without it.
COUNTED_ON_MIN = 2
#: By minute, what to be ready for in it and in those after it, requests/s.
Needs = Mapping[int, tuple[float, ...]]
SLEEP = Envelope("sleep", 0.0, ASLEEP_W, wake_s=RESUME_S + WARM_UP_S)


class Rested(msgspec.Struct, frozen=True, kw_only=True):
    """What planning with sleep came to."""

    lived: Lived
    naps: int
    """Of all devices; a look between two is the end of one."""
    asleep_s: float
    failures: int
    """Times that a board did not come back."""
    lost: float
    """Requests that a missing board was counted on for and nobody awake, the spare included, could serve,
    while no more was asked than the plan was ready for: what the spare is there for.
    """
    surged: float
    """The same of what was asked beyond the plan: a spare that stands for another isn't there twice."""
    late: dict[int, float]
    """By minute, requests that nobody awake could serve while boards slept, or woke, that could have: also
    where nobody is missing. Minutes without any are left out.
    """
    fewest_up: int
    short: int
    """Boards' minutes that violated and that all ten could have served, but not those that there were: the
    price of a missing board, which no plan of the others can save.
    """


class Fleet(Boards):
    """Boards of which some rest; what resting draws and loses is counted beside."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules, HINTED)

    def begin(self) -> None:
        """What was before isn't reported."""
        super().begin()
        self.resting_j = self.asleep_s = self.lost = self.surged = 0.0
        self.naps = self.failures = self.short = 0
        self.late: dict[int, float] = {}
        self.fewest_up = COUNT

    def rest_minute(
        self,
        minute: int,
        before: Sequence[float],
        offered: Sequence[float],
        hints: Sequence[Hint | None],
        resting: Mapping[int, float],
        missing: int = 0,
    ) -> list[float]:
        """One minute; `resting`: seconds awake of each board that doesn't serve in it, of which so many are
        `missing`. The rates it had.
        """
        wanted = self._decide(minute * MINUTE_S - 0.5, before, hints, None, resting)
        most = [
            0.0 if index in resting else board.usable_rps(point) * NEARLY
            for index, (board, point) in enumerate(zip(self.boards, wanted, strict=True))
        ]
        now = list(offered)
        if any(rps > room for rps, room in zip(now, most, strict=True)):
            column = np.array(offered)[:, None]
            now = spilled(column, column, np.array(most))[:, 0].tolist()
        for index, awake_s in resting.items():
            self._rests(index, awake_s)
        counted = self._violating_boards - self._excess_boards
        self._live(minute, wanted, now, resting, COUNT - missing)
        if sum(now) <= COUNT * self._most_rps:
            self.short += self._violating_boards - self._excess_boards - counted
        return now

    def _rests(self, index: int, awake_s: float) -> None:
        self.asleep_s += MINUTE_S - awake_s
        self.resting_j += awake_s * self.boards[index].point.idle_watts + (MINUTE_S - awake_s) * ASLEEP_W

    @property
    def rested(self) -> Rested:
        """Since `begin`."""
        lived = self.lived
        return Rested(
            lived=msgspec.structs.replace(lived, energy_j=lived.energy_j + self.resting_j),
            naps=self.naps,
            asleep_s=self.asleep_s,
            failures=self.failures,
            lost=self.lost,
            surged=self.surged,
            late=self.late,
            fewest_up=self.fewest_up,
            short=self.short,
        )


class Alarms:
    """Who is asleep in truth, and when each alarm goes off; `failing`: whose doesn't."""

    def __init__(self, failing: int | None) -> None:
        self._failing = failing
        self.serve: dict[int, int] = {}
        self.helped: dict[int, int] = {}

    def ring(self, minute: int) -> tuple[list[int], list[int]]:
        """Wake who is due at the start of `minute`: who failed to, and who was helped up."""
        due = [index for index, serve in self.serve.items() if serve == minute]
        failed = [index for index in due if index == self._failing]
        for index in due:
            del self.serve[index]
        helped = [index for index, at in self.helped.items() if at == minute]
        for index in helped:
            del self.helped[index]
        self.helped.update(dict.fromkeys(failed, minute + HELP_MIN))
        return failed, helped

    def fresh(self, minute: int) -> int:
        """How many are missing that were counted on."""
        return sum(minute < at - HELP_MIN + COUNTED_ON_MIN for at in self.helped.values())

    def follow(self, made: RestPlan, names: Sequence[str], minute: int) -> tuple[dict[int, float], int]:
        """Do as the plan says: seconds awake in this minute of each that rests, and how many naps begin."""
        resting, begun = dict.fromkeys(self.helped, 0.0), 0
        for index, name in enumerate(names):
            serve, alarm = made.serve.get(name), self.serve.get(index)
            if serve is not None and index not in self.helped:
                resting[index] = DRAIN_S if alarm is None else 0.0
                begun += alarm is None or serve > alarm
                if name in made.calls:
                    serve, resting[index] = minute + 1, MINUTE_S
                elif alarm is not None and alarm != serve:
                    resting[index] = LOOK_S
                elif serve == minute + 1:
                    resting[index] = LEAD_S
                self.serve[index] = serve
        return resting, begun

    def watched(
        self, made: RestPlan, names: Sequence[str], minute: int, rps: float, resting: dict[int, float]
    ) -> dict[str, int]:
        """Wake who must be for the rate that this minute turns out to have: they serve from the next on.

        How long each who was called takes, in ms; who is missing is called in vain.
        """
        called = {one.device: round(1000 * SLEEP.wake_s) for one in made.watch if rps > one.rps}
        for name in called:
            index = names.index(name)
            if index in self.serve:
                self.serve[index] = minute + 1
                resting[index] = MINUTE_S - SEEN_S
        return called

    @property
    def down(self) -> set[int]:
        """Who sleeps or is missing."""
        return {*self.serve, *self.helped}


def outlooks(
    scene: Scene, forecasts: Mapping[int, Forecast], quantile: float, worth: float | None = None
) -> Needs:
    """What may be asked for from each minute on, from telemetry that is as old as the planner's."""
    outlook = Outlook(quantile, COUNT * scene.least_rps / 6.0, worth and worth * COUNT * scene.most_rps)
    made = {}
    for minute in range(scene.begins, len(scene.rates)):
        known = minute - 1 - STALE_MIN
        if known >= 0:
            outlook.came(known, scene.rates[known], forecasts.get(known))
        made[minute] = outlook.ahead(minute)
    return made


def rested(
    scene: Scene,
    demands: Mapping[int, Guarded | None],
    needs: Needs,
    terms: Terms,
    naps: NapTerms,
    *,
    likely: Needs | None = None,
    calls: bool = False,
    watched: bool = False,
    failing: bool = False,
) -> Rested:
    """The fleet planned together, and who isn't needed sleeps. `failing`: one of the ten never wakes."""
    fleet, state, alarms = Fleet(scene.rules), RestState(), Alarms(FAILING if failing else None)
    envelopes = (*envelopes_of(scene.rules.profile.points, scene.rules.slo_p95_ms), SLEEP)
    names = [f"device-{index}" for index in range(COUNT)]
    callable_ = frozenset(names if calls else ())
    seen = [[board.point.name for board in fleet.boards]] * (STALE_MIN + 1)
    before = [scene.rates[scene.begins - 1] / COUNT] * COUNT
    for minute in range(scene.begins, len(scene.rates)):
        if minute == scene.first:
            fleet.begin()
        failed, helped = alarms.ring(minute)
        fleet.failures += len(failed)
        for index in helped:
            state = RestState(state.plan, told(state.naps, names[index]))
        up = frozenset(name for index, name in enumerate(names) if index not in alarms.down)
        devices = [
            Device(name, envelopes, at=point, age_min=STALE_MIN + 1)
            for name, point in zip(names, seen[0], strict=True)
        ]
        state, made = plan_rest(
            state, devices, up, demands[minute], needs[minute], minute, terms, naps,
            likely=likely[minute] if likely else None, callable_=callable_,
        )  # fmt: skip
        resting, begun = alarms.follow(made, names, minute)
        called = alarms.watched(made, names, minute, scene.rates[minute] if watched else 0.0, resting)
        state = RestState(
            state.plan, with_calls(state.naps, called, round(1000 * (minute * MINUTE_S + SEEN_S)))
        )
        fleet.naps += begun
        fleet.fewest_up = min(fleet.fewest_up, COUNT - len(resting))
        fresh = alarms.fresh(minute)
        lost = [
            _lost(scene, asked, COUNT - len(resting), fresh, fresh)
            for asked in (min((scene.rates[minute], *needs[minute][:1])), scene.rates[minute])
        ]
        fleet.lost, fleet.surged = fleet.lost + lost[0], fleet.surged + lost[1] - lost[0]
        if late := _lost(scene, scene.rates[minute], COUNT - len(resting), len(resting), len(alarms.helped)):
            fleet.late[minute] = late
        hints = [_hint(made, name, minute) for name in names]
        offered = [scene.rates[minute] * made.plan.devices[name].share for name in names]
        before = fleet.rest_minute(minute, before, offered, hints, resting, len(alarms.helped))
        seen = [*seen[1:], [board.point.name for board in fleet.boards]]
    return fleet.rested


def _hint(made: RestPlan, name: str, minute: int) -> Hint | None:
    if name in made.serve or name in made.missing:
        return None
    return Hint(point=made.plan.devices[name].point, until_s=(minute + 2) * MINUTE_S, reason="planned")


def _lost(scene: Scene, asked_rps: float, serving: int, others: int, gone: int) -> float:
    """Requests of a minute beyond what all who serve could take, up to what so many `others` could have.

    What nobody could have served even with everybody awake but those who are `gone` isn't theirs.
    """
    most = scene.most_rps
    asked = min(asked_rps, (COUNT - gone) * most)
    return MINUTE_S * min(max(0.0, asked - serving * most), others * most)
