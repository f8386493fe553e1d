"""The sweep with the world in our hands, in virtual time: a simulated board and application behind it."""

import asyncio
import random
from collections.abc import Callable

import msgspec
import pytest
from tests.virtual import VirtualLoop, run_virtual

from tidewatt_agent.calibrate.drive import MOST_IN_FLIGHT, Driven, TooSlowToAskError, drive
from tidewatt_agent.calibrate.sweep import DisturbedError, Sweep, table
from tidewatt_agent.hands import NoReboots, Outcome, Stance
from tidewatt_agent.power import PowerRule
from tidewatt_agent.readers import TimedSample
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.calibrate import Plan
from tidewatt_governor.fitting import BadMeasurementError, Fit
from tidewatt_governor.points import usable_rps, watts_at
from tidewatt_governor.sample import Load, Rail, Sample, Temperature
from tidewatt_governor.simulate.board import advance, latency_s, set_point, switched_on
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import OperatingPoint, OutcomeKind


class Bench(NoReboots):
    """A simulated board with its application: hands, samples, load and answers."""

    acts = True

    def __init__(self, profile: BoardProfile) -> None:
        self.loop = VirtualLoop()
        self.clock = Clock(self.loop.time, lambda: 0.0)
        self.profile, self.state = profile, switched_on(profile)
        self.chance = random.Random(1)
        self.requests, self.foreign_rps, self.rps, self.counted = 0, 0.0, 0.0, 0
        self.sensor, self.good, self.hot, self.foreign_since = True, True, False, 0.0
        self.refuses: dict[str, OutcomeKind] = {}
        self.stolen: str | None = None
        self.samples: list[TimedSample] = []
        self.said: list[str] = []
        self.visited: list[str] = []

    def live(self) -> None:
        """Let the board live for the whole seconds that have passed, and take a sample of each."""
        seconds = int(self.loop.time() - self.state.clock_s + 1e-6)
        if seconds:
            self.rps, self.requests = self.requests / seconds, 0
        for _ in range(seconds):
            self.state = advance(self.state, self.profile, 1.0, self.rps)
            heat = 99.0 if self.hot else self.state.temperature_c
            sample = Sample(rails=(Rail("VDD_IN", self.state.watts),), temperatures={"tj": Temperature(heat)})
            self.samples.append(TimedSample(self.state.clock_s, sample, "fake"))

    async def ask(self) -> bool:
        self.requests += 1
        self.counted += 1
        self.live()
        took_s = latency_s(self.state, self.profile, self.rps, self.chance.random())
        if took_s is None or not self.good:
            return False
        await asyncio.sleep(took_s)
        return True

    def take(self) -> list[TimedSample]:
        self.live()
        taken, self.samples = self.samples, []
        return taken if self.sensor else []

    async def look(self) -> Stance:
        self.live()
        return Stance(self.stolen or self.state.point)

    async def go_to(self, point: str) -> Outcome:
        if point in self.refuses:
            return Outcome(self.refuses[point], self.state.point, "it says no")
        self.visited.append(point)
        self.state = set_point(self.state, self.profile, point)
        return Outcome("applied", point)

    async def restore(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, now_s: float) -> Load | None:
        requests = self.counted + round(self.foreign_rps * (now_s - self.foreign_since))
        interval_s, self.counted, self.foreign_since = now_s - self.foreign_since, 0, now_s
        return Load(requests=requests, interval_s=interval_s) if interval_s > 0 else None

    def sweep(self, points: list[OperatingPoint], here: str | None = None) -> list[Fit]:
        plan = Plan(points=points, slo_p95_ms=60.0, seconds=10.0)
        sweep = Sweep(self, self, self.ask, self.clock, PowerRule(), self.said.append, self, here)
        return run_virtual(sweep.run(plan), self.loop)


@pytest.fixture
def bench(profile: BoardProfile) -> Bench:
    return Bench(profile)


def test_a_board_is_measured(bench: Bench, profile: BoardProfile) -> None:
    points = [profile.point("25W"), profile.point("7W")]
    found = bench.sweep(points)
    assert [one.point.name for one in found] == ["25W", "7W"]
    assert bench.visited == ["7W"], "it stood at 25W, and no mode is visited twice without need"
    for one, truth in zip(found, points, strict=True):
        assert one.point.measured
        for rps in (0.0, 0.5 * truth.capacity_rps, 0.9 * truth.capacity_rps):
            assert watts_at(one.point, rps) == pytest.approx(watts_at(truth, rps), rel=0.05)
        assert usable_rps(one.point, 60.0) == pytest.approx(usable_rps(truth, 60.0), rel=0.12)
    assert len(bench.said) <= 15
    assert bench.said[0].split()[0] == "25W"
    assert "idle" in bench.said[0]
    assert len(table(found, lambda one: usable_rps(one.point, 60.0))) == 3


def test_a_mode_that_needs_a_reboot_is_left_out(bench: Bench, profile: BoardProfile) -> None:
    bench.refuses = {"7W": "needs_reboot"}
    found = bench.sweep([profile.point("25W"), profile.point("7W")])
    assert [one.point.name for one in found] == ["25W"]
    assert "7W           left out: needs_reboot it says no" in bench.said


def test_the_present_mode_alone_is_measured_without_a_switch(bench: Bench, profile: BoardProfile) -> None:
    bench.refuses = dict.fromkeys((point.name for point in profile.points), "observed")
    (found,) = bench.sweep([profile.point("25W")], here="25W")
    assert found.point.name == "25W"
    assert bench.visited == []


def broken_sensor(bench: Bench) -> None:
    bench.sensor = False


def errors(bench: Bench) -> None:
    bench.good = False


def too_hot(bench: Bench) -> None:
    bench.hot = True


def other_traffic(bench: Bench) -> None:
    bench.foreign_rps = 40.0


def a_thief(bench: Bench) -> None:
    bench.loop.call_later(7.0, setattr, bench, "stolen", "15W")


@pytest.mark.parametrize(
    ("spoil", "kind", "sentence"),
    [
        (broken_sensor, BadMeasurementError, "25W at 0 requests/s: no power reading came"),
        (errors, BadMeasurementError, "the application answered no request well"),
        (too_hot, BadMeasurementError, "25W: 99 °C; let the board cool"),
        (other_traffic, BadMeasurementError, "serves 40 requests/s that aren't ours"),
        (a_thief, DisturbedError, "somebody set 15W while 25W was measured"),
    ],
)
def test_what_spoils_it_is_one_sentence(
    bench: Bench,
    profile: BoardProfile,
    spoil: Callable[[Bench], None],
    kind: type[Exception],
    sentence: str,
) -> None:
    spoil(bench)
    with pytest.raises(kind, match=sentence):
        bench.sweep([profile.point("25W")])


def driven(
    rps: float, took_s: Callable[[], float], good: Callable[[], bool] = lambda: True
) -> tuple[Driven, int]:
    """What 20 s at a rate came to, with answers that take so long; and the most that were in flight."""
    loop = VirtualLoop()
    flying, most = 0, 0

    async def ask() -> bool:
        nonlocal flying, most
        flying, most = flying + 1, max(most, flying + 1)
        try:
            await asyncio.sleep(took_s())
        finally:
            flying -= 1
        return good()

    clock = Clock(loop.time, lambda: 0.0)
    found = run_virtual(drive(ask, rps, 20.0, 3.0, 60.0, clock, random.Random(1)), loop)
    assert flying == 0, "nothing is left in flight"
    return found, most


def test_a_load_that_is_kept_up_with() -> None:
    chance = random.Random(1)
    found, most = driven(100.0, lambda: 0.01 + chance.expovariate(1 / 0.01))
    assert found.seconds == pytest.approx(20.0, abs=0.01)
    assert found.sent_rps == pytest.approx(100.0, rel=0.1)
    assert found.answered_rps == pytest.approx(found.sent_rps, rel=0.01)
    assert found.p95_ms == pytest.approx(40.0, rel=0.1)
    assert (found.failed, found.cut) == (0.0, False)
    assert most <= 16


def test_one_that_is_not_ends_early_and_is_bounded() -> None:
    found, most = driven(1000.0, lambda: 3600.0)
    assert found.cut
    assert found.answered_rps == 0.0
    assert most <= min(240, MOST_IN_FLIGHT), "a thousand a second, four promises of 60 ms"
    assert found.seconds < 1.0


def test_an_application_that_errs_is_not_pressed_on() -> None:
    found, _ = driven(50.0, lambda: 0.01, lambda: False)
    assert found.cut
    assert found.failed == 1.0
    assert found.seconds < 2.0
    some = random.Random(1)
    found, _ = driven(50.0, lambda: 0.01, lambda: some.random() > 0.1)
    assert not found.cut
    assert found.failed == pytest.approx(0.1, abs=0.03)


async def test_a_machine_that_cannot_send_in_time_says_so() -> None:
    now_s = [0.0]

    async def ask() -> bool:
        now_s[0] += 1.0  # every request costs a second of this machine
        return True

    clock = Clock(lambda: now_s[0], lambda: 0.0)
    with pytest.raises(TooSlowToAskError, match="this machine can't send 100 requests/s in time"):
        await drive(ask, 100.0, 20.0, 0.0, 60.0, clock, random.Random(1))


def test_idle_is_idle() -> None:
    found, most = driven(0.0, lambda: 1.0)
    assert (found.sent_rps, found.p95_ms, most) == (0.0, None, 0)
    assert msgspec.json.encode(found)
