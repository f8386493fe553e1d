"""Ten simulated boards in closed loop: planned together, or each agent alone with its even part."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
import numpy as np

from benchmarks.governor import POLICY
from tidewatt_coordinator.dispatch.overflow import spilled
from tidewatt_coordinator.planning.demand import DemandGuard, Guarded
from tidewatt_coordinator.planning.envelopes import envelopes_of
from tidewatt_coordinator.planning.plan import Device, Plan, PlanState, plan
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.decide import GovernorState, decide, moved
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.hints import Hint
from tidewatt_governor.points import strongest
from tidewatt_governor.sample import Load
from tidewatt_governor.simulate.minutes import MINUTE_S, MinuteBoard, Rules
from tidewatt_wire.messages import Policy

COUNT = 10
#: Whole minutes by which the coordinator's telemetry is older than the agent's own: the report interval,
#: rounded up.
STALE_MIN = 1
#: A limit is a hair below what keeps the promise: a sum's rounding is no overload.
NEARLY = 1.0 - 1e-7
#: Relative error of a sum of shares.
ROUNDING = 1e-9

#: Of an agent under a plan: the fleet's guard has the margin for what may come, the agent's own rule
#: answers what has come. Tuned on the 15 % before the last, as the planner's terms.
HINTED = msgspec.structs.replace(POLICY, tail_quantile=None, demand_window_s=60.0)


class Lived(msgspec.Struct, frozen=True, kw_only=True):
    """What a way of choosing came to, for the whole fleet."""

    energy_j: float
    minutes: int
    violating: int
    """Minutes in which at least one device was asked for more than it could serve within the promise."""
    violating_devices: int
    """Minutes summed over the devices that were."""
    excess: int
    """Of `violating`, those in which everybody at their strongest could have served what was asked."""
    excess_devices: int
    """Of `violating_devices`, those in such minutes."""
    unserved: float
    """Requests beyond what the device that got them could serve."""
    requests: float
    switches: int


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet's demand on boards of one kind."""

    rules: Rules
    rates: list[float]
    """Requests/s of the whole fleet, by minute."""
    begins: int
    """The first minute lived, at least 1."""
    first: int
    """The first minute reported."""

    @property
    def least_rps(self) -> float:
        """What a board can serve at its weakest point."""
        return min(point.capacity_rps for point in self.rules.profile.points)

    @property
    def most_rps(self) -> float:
        """What it can at its strongest."""
        return max(point.capacity_rps for point in self.rules.profile.points)


class Boards:
    """The fleet's boards with their agents, and what they did since `begin`."""

    def __init__(self, rules: Rules, policy: Policy, count: int = COUNT) -> None:
        start = strongest(rules.profile.points, rules.slo_p95_ms).name
        self._profile, self._policy = rules.profile, policy
        self._most_rps = max(point.capacity_rps for point in rules.profile.points)
        self.boards = [MinuteBoard(rules, start) for _ in range(count)]
        self._states = [GovernorState(point=start, since_s=-10 * MINUTE_S)] * count
        self.begin()

    def begin(self) -> None:
        """What was before isn't reported."""
        self._before = [board.run for board in self.boards]
        self._violating = self._violating_boards = self._excess = self._excess_boards = self._minutes = 0
        self._unserved = self._requests = 0.0

    def minute(
        self,
        minute: int,
        before: Sequence[float],
        offered: Sequence[float],
        hints: Sequence[Hint | None],
        forecast: Forecast | None = None,
        *,
        spills: bool = False,
    ) -> list[float]:
        """Every agent decides on its rate in the minute before, then `minute` is lived.

        The rates it was lived at: what is offered, or, if the proxy `spills`, what each can take of it.
        """
        wanted = self._decide(minute * MINUTE_S - 0.5, before, hints, forecast)
        now = self._spilled(wanted, offered) if spills else list(offered)
        self._live(minute, wanted, now)
        return now

    def _live(
        self,
        minute: int,
        wanted: Sequence[str],
        now: Sequence[float],
        out: Collection[int] = (),
        able: int = COUNT,
    ) -> None:
        """`minute` at those rates, counted; `out`: who serves nothing in it. The one place that counts.

        `able`: how many could have served, had everybody known; what is beyond them is nobody's excess.
        """
        broken = 0
        for index, (board, point, rps) in enumerate(zip(self.boards, wanted, now, strict=True)):
            if index in out:
                board.rest()
                broken += rps > 0.0
                self._unserved += MINUTE_S * rps
                continue
            broken += board.minute(point, rps)
            self._unserved += MINUTE_S * max(0.0, rps - board.point.capacity_rps)
        self._stand(minute * MINUTE_S - 0.5)
        self._minutes += 1
        self._violating += broken > 0
        self._violating_boards += broken
        if sum(now) <= able * self._most_rps * (1.0 + ROUNDING):
            self._excess += broken > 0
            self._excess_boards += broken
        self._requests += MINUTE_S * sum(now)

    def _spilled(self, wanted: Sequence[str], offered: Sequence[float]) -> list[float]:
        pairs = zip(self.boards, wanted, strict=True)
        most = [board.usable_rps(point) * NEARLY for board, point in pairs]
        if all(rps <= room for rps, room in zip(offered, most, strict=True)):
            return list(offered)
        column = np.array(offered)[:, None]
        loads: list[float] = spilled(column, column, np.array(most))[:, 0].tolist()
        return loads

    def _decide(
        self,
        now_s: float,
        before: Sequence[float],
        hints: Sequence[Hint | None],
        forecast: Forecast | None,
        out: Collection[int] = (),
    ) -> list[str]:
        """Where each wants to stand; who is `out` decides nothing, and stays where it is."""
        # Boards with one past, one load and one hint decide alike: once is enough.
        made: dict[tuple[int, float, Hint | None], tuple[GovernorState, str]] = {}
        wanted = []
        for index, (state, rps, hint) in enumerate(zip(self._states, before, hints, strict=True)):
            if index in out:
                wanted.append(self.boards[index].point.name)
                continue
            key = (id(state), rps, hint)
            if key not in made:
                load = Load(requests=rps * MINUTE_S, interval_s=MINUTE_S)  # type: ignore[arg-type]
                points, default = self._profile.points, self._profile.vendor_default
                after, decision = decide(
                    state, load, self._policy, points, default, now_s, forecast=forecast, hint=hint
                )
                made[key] = after, decision.point
            self._states[index], point = made[key]
            wanted.append(point)
        return wanted

    def _stand(self, now_s: float) -> None:
        made: dict[tuple[int, str], GovernorState] = {}
        for index, (state, board) in enumerate(zip(self._states, self.boards, strict=True)):
            key = (id(state), board.point.name)
            if key not in made:
                made[key] = moved(state, board.point.name, now_s)
            self._states[index] = made[key]

    @property
    def lived(self) -> Lived:
        """Since `begin`."""
        runs = [board.run for board in self.boards]
        pairs = list(zip(runs, self._before, strict=True))
        return Lived(
            energy_j=sum(run.energy_j - was.energy_j for run, was in pairs),
            minutes=self._minutes,
            violating=self._violating,
            violating_devices=self._violating_boards,
            excess=self._excess,
            excess_devices=self._excess_boards,
            unserved=self._unserved,
            requests=self._requests,
            switches=sum(run.switches - was.switches for run, was in pairs),
        )


def alone(scene: Scene, forecasts: Mapping[int, Forecast], policy: Policy = POLICY) -> Lived:
    """Each agent on its own, traffic split evenly. `forecasts`: of one device's part, by the minute for
    which it is used, in the loop's own count.
    """
    boards = Boards(scene.rules, policy)
    for minute in range(scene.begins, len(scene.rates)):
        if minute == scene.first:
            boards.begin()
        before, now = scene.rates[minute - 1] / COUNT, scene.rates[minute] / COUNT
        boards.minute(minute, [before] * COUNT, [now] * COUNT, [None] * COUNT, forecasts.get(minute))
    return boards.lived


def expected(scene: Scene, forecasts: Mapping[int, Forecast], terms: Terms) -> dict[int, Guarded | None]:
    """What the planner expects in each minute, from telemetry that is `STALE_MIN` older than the agents'."""
    guard = DemandGuard(terms, COUNT * scene.least_rps / 6.0)
    made = {}
    for minute in range(scene.begins, len(scene.rates)):
        known = minute - 1 - STALE_MIN
        if known >= 0:
            guard.came(known, scene.rates[known])
        made[minute] = guard.ready(minute, forecasts.get(known))
    return made


def planned(
    scene: Scene,
    demands: Mapping[int, Guarded | None],
    terms: Terms,
    policy: Policy = HINTED,
    *,
    spills: bool = True,
) -> Lived:
    """The fleet planned together, a plan a minute; each agent decides under its hint.

    `spills`: the proxy holds every board to what it can take and gives the rest to the others.
    """
    boards, state = Boards(scene.rules, policy), PlanState()
    envelopes = envelopes_of(scene.rules.profile.points, scene.rules.slo_p95_ms)
    names = [f"device-{index}" for index in range(COUNT)]
    seen = [[board.point.name for board in boards.boards]] * (STALE_MIN + 1)
    before = [scene.rates[scene.begins - 1] / COUNT] * COUNT
    for minute in range(scene.begins, len(scene.rates)):
        if minute == scene.first:
            boards.begin()
        devices = [
            Device(name, envelopes, at=point, age_min=STALE_MIN + 1)
            for name, point in zip(names, seen[0], strict=True)
        ]
        state, made = plan(state, devices, demands[minute], minute, terms)
        hints = [_hint(made, name, minute) for name in names]
        offered = [scene.rates[minute] * made.devices[name].share for name in names]
        before = boards.minute(minute, before, offered, hints, spills=spills)
        seen = [*seen[1:], [board.point.name for board in boards.boards]]
    return boards.lived


def _hint(made: Plan, name: str, minute: int) -> Hint:
    asked = made.devices[name]
    return Hint(
        point=asked.point,
        until_s=(minute + 2) * MINUTE_S,
        reason="planned",
        enough=asked.enough,
    )
