"""Sleep as the running planner orders it: who may, on whose word, with what left awake, and who is called."""

import random
from collections.abc import Callable
from datetime import datetime

import pytest
from tests.hinted import BEGIN_MS, USABLE, World

from tidewatt_coordinator.hinting.explaining import explain
from tidewatt_coordinator.hinting.rounds import MINUTE_MS, Planner, Round
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.steering.wheel import Power
from tidewatt_governor.forecast.layout import AHEAD
from tidewatt_governor.forecast.value import Forecast
from tidewatt_wire.messages import Policy, PolicySet, Rule, SleepLimits
from tidewatt_wire.planned import PlanHint
from tidewatt_wire.sleeping import SleepHint, SleepState

MAC = "48:b0:2d:00:00:01"
RESUME_S = 20.0
LEAD_MS = 30_000


class Night(World):
    """Boards that do as they are hinted, in their own time: asleep after a minute, up before they must."""

    def __init__(
        self,
        *names: str,
        sites: tuple[str, ...] = ("roof",),
        floor: int = 1,
        foreseer: "Timetable | None" = None,
        wake: bool = False,
    ) -> None:
        super().__init__(foreseer=foreseer)
        limits = SleepLimits(longest_nap_s=1800.0, awake_per_site=floor, wake_neighbours=wake)
        rules = [Rule(policy=Policy(sleep=limits))]
        self.policies = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=rules)
        self.site = {name: sites[index % len(sites)] for index, name in enumerate(names)}
        self.at = dict.fromkeys(names, "25W")
        self.until_ms: dict[str, int] = {}
        self.bound: dict[str, SleepHint] = {}
        self.away: set[str] = set()
        self.slow: set[str] = set()
        self.lives = 0
        for name in names:
            self.wake(name)

    def wake(self, name: str, *, able: bool = True) -> None:
        self.until_ms.pop(name, None)
        self.lives += 1
        self.born(name, site=self.site[name], session=f"s{self.lives}")
        self.say(name, able=able)

    def say(self, name: str, *, able: bool = True, until_ms: int | None = None) -> None:
        self.fleet.slumbered(SleepState(
            device=name, session=f"s{self.lives}" if until_ms is None else self.session(name),
            at_ms=self.now_ms, state="awake" if until_ms is None else "asleep", until_ms=until_ms,
            expires_at_ms=until_ms and until_ms + 60_000, able=able, resume_s=RESUME_S, mac=MAC,
        ))  # fmt: skip

    def session(self, name: str) -> str:
        birth = self.fleet.devices[name].birth
        assert birth
        return birth.session

    @property
    def up(self) -> set[str]:
        return set(self.at) - set(self.until_ms)

    def minutes(self, count: int, rps: float) -> Round:
        """So many minutes with that demand on those who are up; the last plan."""
        for _ in range(count):
            for name, until_ms in list(self.until_ms.items()):
                if until_ms <= self.now_ms + MINUTE_MS and name not in self.away:
                    self.wake(name)
            for name, hint in self.bound.items():
                if name not in self.slow:
                    self.until_ms[name] = hint.serve_at_ms - LEAD_MS
                    self.say(name, until_ms=self.until_ms[name])
            self.bound = {name: hint for name, hint in self.bound.items() if name in self.slow}
            self.pass_minute({name: self.at[name] for name in sorted(self.up)}, rps / len(self.up))
            made = self.planner.make(self.now_ms)
            self.follow(made)
        return made

    def follow(self, made: Round) -> None:
        for name, hint in made.hints.items():
            if isinstance(hint, PlanHint):
                self.at[name] = hint.point
                self.bound.pop(name, None)
            elif name in self.up:
                self.bound[name] = hint
            elif name not in self.away:  # it looks before its alarm, and sleeps on
                self.until_ms[name] = hint.serve_at_ms - LEAD_MS
                self.say(name, until_ms=self.until_ms[name])


class Timetable:
    """Knows what comes."""

    def __init__(self, rps: Callable[[int], float]) -> None:
        self._rps = rps

    def minute(self, minute: int, rps: float | None, _local: datetime) -> Forecast | None:
        told = [self._rps(minute + ahead) for ahead in range(1, AHEAD + 1)]
        rows = tuple((one, one, one) for one in [*told, max(told[:3]), max(told)])
        return Forecast(minute=minute, rps=rows, trusted=rps is not None, reason="")


def test_whose_last_word_is_not_believed_is_not_let_sleep() -> None:
    night = Night("a", "b", "c")
    night.fleet.unproven("a", "it isn't signed")
    night.minutes(30, 20.0)
    assert "a" in night.up
    assert len(night.up) < 3, "the others are"


def test_who_is_not_needed_sleeps_with_its_time_to_serve_and_the_floor_and_a_spare_stay_awake() -> None:
    night = Night(*"abcde")
    seen: set[str] = set()
    for _ in range(90):
        made = night.minutes(1, 60.0)
        seen |= set(night.until_ms)
        for name, hint in made.hints.items():
            if isinstance(hint, SleepHint):
                assert 0 < hint.serve_at_ms - night.now_ms <= 32 * MINUTE_MS
                assert night.planner.capacities(night.now_ms)[name] == 0.0
        assert len(night.up) >= 2
    group = made.shown.groups[0]
    assert (len(night.up), group.asleep, group.missing, group.called) == (2, 3, [], [])
    serve = {one.device: one.serve_ms for one in made.shown.devices if one.point == "asleep"}
    assert set(serve) == set(night.until_ms)
    assert all(serve.values())
    assert group.assumed_watts == 1.5, "nobody has measured them"
    told = "\n".join(explain(made.shown))
    assert "  1.5 W of that are assumed: of sleepers that nobody has measured" in told
    assert "3 asleep, the first to serve again in " in told
    assert f"  {min(serve)} sleeps, or is to, and must serve again at " in told


def test_those_who_sleep_are_up_before_the_demand_that_is_foreseen() -> None:
    begin, rise = BEGIN_MS // MINUTE_MS, BEGIN_MS // MINUTE_MS + 90

    def rps(minute: int) -> float:
        return 3.2 * USABLE["25W"] if minute >= rise else 50.0 + 5.0 * ((minute - begin) % 3)

    night = Night(*"abcde", foreseer=Timetable(rps))
    for minute in range(begin, rise + 5):
        made = night.minutes(1, rps(minute))
        assert not made.calls, "nobody has to be called"
        if minute == rise - 15:
            assert len(night.until_ms) == 3
        if minute >= rise - 1:
            assert len(night.up) >= 4


def test_who_is_not_qualified_or_held_or_forbidden_never_gets_a_hint_to_sleep() -> None:
    night = Night(*"abcde")
    night.say("a", able=False)
    night.fleet.devices["b"].sleep = None
    asleep: set[str] = set()
    for _ in range(20):
        made = night.minutes(1, 60.0)
        asleep |= {name for name, hint in made.hints.items() if isinstance(hint, SleepHint)}
    assert asleep == {"c", "d", "e"}
    forbidden = Night(*"abcde")
    forbidden.policies = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[Rule()])
    made = forbidden.minutes(20, 60.0)
    assert all(isinstance(hint, PlanHint) for hint in made.hints.values())


def test_a_surge_calls_those_who_sleep_and_takes_their_hints_away() -> None:
    night = Night(*"abcde", wake=True)
    night.minutes(25, 60.0)
    made = night.minutes(1, 2.2 * USABLE["25W"])
    soon_ms = night.now_ms + MINUTE_MS - LEAD_MS
    asleep = {name for name, until_ms in night.until_ms.items() if until_ms > soon_ms}
    assert made.calls < asleep, "as many as it takes, and a spare"
    assert len(made.calls) == 2
    assert made.hints.keys().isdisjoint(made.calls)
    assert made.calls.isdisjoint(night.planner.capacities(night.now_ms))
    assert made.shown.groups[0].called == sorted(made.calls)
    for name in made.calls:
        night.wake(name)
    again = night.minutes(1, 2.2 * USABLE["25W"])
    assert made.calls.isdisjoint(again.calls), "who is back is not called again"
    assert all(isinstance(again.hints[name], PlanHint) for name in made.calls)


def test_a_planner_that_begins_anew_knows_who_sleeps_by_their_own_word() -> None:
    night = Night(*"abcde")
    night.minutes(30, 60.0)
    asleep = set(night.until_ms)
    power = Power(0.15, "USD", {})
    planning = Planning(mode="hint")
    night.planner = Planner(
        planning, Dispatch(), night.fleet, lambda: night.policies, power, {}, lambda: None, lambda: True
    )
    made = night.planner.make(night.now_ms)
    group = made.shown.groups[0]
    assert (group.asleep, group.missing, made.calls) == (len(asleep), [], frozenset())
    for _ in range(40):
        made = night.minutes(1, 60.0)
        assert made.shown.groups[0].missing == []
        assert len(night.up) >= 2


def test_who_misses_its_time_is_missing_and_sleeps_no_more_until_it_says_that_it_may() -> None:
    night = Night(*"abcde")
    night.minutes(30, 60.0)
    lost = min(night.until_ms)
    night.away = {lost}
    for _ in range(40):
        made = night.minutes(1, 60.0)
        if made.shown.groups[0].missing:
            break
    assert made.shown.groups[0].missing == [lost]
    assert lost not in made.hints
    assert f"not back from sleep: {lost}" in made.shown.groups[0].reason
    night.away = set()
    night.wake(lost, able=False)
    for able in (False, True):
        hinted = set()
        for name in list(night.until_ms):
            night.wake(name)
        for _ in range(20):
            for name in night.up:
                night.say(name, able=able == (name == lost))
            made = night.minutes(1, 60.0)
            hinted |= {name for name, hint in made.hints.items() if isinstance(hint, SleepHint)}
        assert (lost in hinted) == able


def test_who_takes_its_time_to_bed_is_not_called_back_and_who_does_not_go_is_let_serve() -> None:
    night = Night(*"abc")
    night.slow = set("abc")
    runs: list[int] = []
    for _ in range(30):
        made = night.minutes(1, 30.0)
        hinted = [one for one in made.hints.values() if isinstance(one, SleepHint)]
        runs.append(len(hinted))
    assert max(runs) == 1, "one of three, beside the floor and the spare"
    assert "1111" in "".join(map(str, runs)), "it has time to go"
    assert runs.count(0) > 5, "it doesn't, so it serves"


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_asked_for_each_site_keeps_its_floor_and_a_spare_awake(seed: int) -> None:
    chance = random.Random(seed)
    night = Night(*"abcdefgh", sites=("roof", "cellar"), floor=chance.choice([1, 2]))
    floor, level = 2 + (night.policies.rules[0].policy.sleep or SleepLimits()).awake_per_site - 1, 300.0
    for _ in range(200):
        level = min(1500.0, max(5.0, level * chance.choice([0.7, 0.9, 1.0, 1.1, 1.5])))
        made = night.minutes(1, level)
        for site in ("roof", "cellar"):
            up = [name for name in night.up if night.site[name] == site]
            assert len(up) >= floor
        assert made.shown.groups[0].missing == []
        if chance.random() < 0.5:
            for name in made.calls & set(night.until_ms):
                night.wake(name)
    assert night.now_ms > BEGIN_MS
