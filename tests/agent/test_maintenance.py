"""When a reboot is planned, told and done, and what stops it. The hands are the world's edge here."""

import pytest

from tidewatt_agent.hands import NoReboots, Outcome, Stance
from tidewatt_agent.maintenance import ANNOUNCE_S, COMES_WITHIN_S, Answer, Maintenance
from tidewatt_wire.messages import MaintenanceWindow, OutcomeKind, Policy

#: Saturday, 2026-11-21, 02:30 UTC.
NIGHT_MS = 1_795_228_200_000
POLICY = Policy(mode="7W", maintenance=MaintenanceWindow(start="02:00", minutes=60))
DAY = Policy(mode="7W", maintenance=MaintenanceWindow(start="12:00", minutes=60))


class Hands(NoReboots):
    """Hands that can reboot, and say what they were asked."""

    acts = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.planning: OutcomeKind = "reboot_planned"
        self.rebooting: OutcomeKind = "rebooting"
        self.ended: Outcome | None = None

    async def look(self) -> Stance:
        return Stance("15W")

    async def go_to(self, point: str) -> Outcome:
        return Outcome("needs_reboot", "15W", point)

    async def plan_reboot(self, point: str) -> Outcome:
        self.asked.append(f"plan {point}")
        return Outcome(self.planning, point, "as the test wants it")

    async def reboot(self, point: str) -> Outcome:
        self.asked.append(f"reboot {point}")
        return Outcome(self.rebooting, point, "as the test wants it")

    def reboot_ended(self) -> Outcome | None:
        return self.ended

    async def reboot_seen(self) -> None:
        self.asked.append("seen")
        self.ended = None

    async def restore(self) -> None: ...

    async def close(self) -> None: ...


class Night:
    """A night of ticks, ten seconds apart."""

    def __init__(self) -> None:
        self.hands, self.now_s, self.heard_ms = Hands(), 0.0, 10**15
        self.maintenance = Maintenance(lambda at_ms: self.heard_ms >= at_ms)
        self.leases: list[str] = []

    async def tick(self, policy: Policy = POLICY, target: str | None = "7W") -> Answer | None:
        self.now_s += 10.0
        at_ms = NIGHT_MS + int(self.now_s * 1000)
        return await self.maintenance.step(self.hands, target, policy, at_ms, self.now_s, self.leases)

    async def ticks(self, number: int, policy: Policy = POLICY) -> list[str]:
        answers = [await self.tick(policy) for _ in range(number)]
        return [answer[1].kind for answer in answers if answer]


@pytest.fixture
def night() -> Night:
    return Night()


async def test_it_is_announced_for_a_minute_and_done_once(night: Night) -> None:
    assert await night.ticks(int(ANNOUNCE_S / 10.0)) == ["reboot_planned"] * 6
    assert night.hands.asked == ["plan 7W"]
    answer = await night.tick()
    assert answer
    assert answer[0].rule == "maintenance"
    assert answer[0].reason.endswith("one into 7W begins")
    assert night.maintenance.under_way(night.now_s)
    assert await night.ticks(20) == []
    assert night.hands.asked == ["plan 7W", "reboot 7W"]
    assert not night.maintenance.under_way(night.now_s + COMES_WITHIN_S), "the machine didn't go down"


async def test_nobody_who_should_know_it_is_left_in_the_dark(night: Night) -> None:
    night.heard_ms = 0  # the broker is away
    assert set(await night.ticks(60)) == {"reboot_planned"}
    assert night.hands.asked == ["plan 7W"]
    night.heard_ms = 10**15
    assert await night.ticks(1) == ["rebooting"]


@pytest.mark.parametrize("policy", [DAY, Policy(mode="7W")])
async def test_never_outside_the_window(night: Night, policy: Policy) -> None:
    assert await night.ticks(100, policy) == []
    assert night.hands.asked == []


async def test_a_zone_that_is_not_known_has_no_window(night: Night) -> None:
    window = MaintenanceWindow(start="00:00", minutes=1440, zone="Europe/Atlantis")
    assert await night.ticks(3, Policy(mode="7W", maintenance=window)) == []
    assert night.hands.asked == []


async def test_who_objects_in_time_is_heard(night: Night) -> None:
    for objection in ("lease", "window", "target"):
        night.hands.asked.clear()
        assert await night.ticks(4) == ["reboot_planned"] * 4
        if objection == "lease":
            night.leases = ["batch"]
        answer = await night.tick(
            DAY if objection == "window" else POLICY, None if objection == "target" else "7W"
        )
        assert answer is None
        night.leases = []
        # It starts again from the announcement.
        assert await night.ticks(6) == ["reboot_planned"] * 6
        assert night.hands.asked == ["plan 7W", "plan 7W"]
        await night.tick(DAY)


@pytest.mark.parametrize("step", ["planning", "rebooting"])
async def test_what_is_refused_is_not_asked_for_at_every_tick(night: Night, step: str) -> None:
    setattr(night.hands, step, "refused")
    kinds = await night.ticks(100)
    assert kinds.count("refused") == 1
    assert len(night.hands.asked) <= 2
    assert not night.maintenance.under_way(night.now_s)


async def test_how_it_ended_is_told_until_it_has_been_heard(night: Night) -> None:
    night.heard_ms = 0
    night.hands.ended = Outcome("reboot_missed", "7W")
    for at_ms in (1000, 2000, 3000):
        answer = await night.maintenance.after_boot(night.hands, at_ms)
        assert answer
        assert answer[0].reason == "the planned reboot did not bring 7W"
        assert answer[1].kind == "reboot_missed"
    assert night.hands.asked == []
    night.heard_ms = 1000
    assert await night.maintenance.after_boot(night.hands, 4000)
    assert night.hands.asked == ["seen"]
    assert await night.maintenance.after_boot(night.hands, 5000) is None
