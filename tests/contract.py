"""What every driver must do, whatever it drives. Register one in tests/coordinator/test_drivers_*.py."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from tests.between import Between, Fault

from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    Driver,
    LeverError,
    Lost,
    Order,
    Recommendation,
    Setting,
    Throttled,
    Unsure,
)
from tidewatt_coordinator.levers.lever import Lever
from tidewatt_coordinator.levers.standing import canonical, standing
from tidewatt_coordinator.proposals.limits import by_rule
from tidewatt_coordinator.proposals.orders import approve
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.rollout.orders import NothingToDo
from tidewatt_coordinator.sla.verdict import Verdict


class World(msgspec.Struct, frozen=True, kw_only=True):
    """A driver before a world of its own, in which it has at least one thing to propose."""

    driver: Driver
    context: Context
    raw: Callable[[], Any]
    """All of the target as its API tells it, foreign parts too: what must be as before after a rollback."""
    disturb: Callable[[], None]
    """Somebody else changes what the driver owns."""
    add_foreign: Callable[[], None] | None = None
    """Somebody else adds a part of his own beside it; None: there is nothing beside it."""
    settle: Callable[[], None] = lambda: None
    """What was ordered takes effect."""


def proposed(world: World) -> Recommendation:
    assert world.driver.probe().ready == "ok"
    found = world.driver.propose(world.driver.observe(), world.context)
    assert found, "the world must give the driver something to propose"
    return found[0]


def order(one: Recommendation, expect: Setting, put: Content, *, undo: bool = False) -> Order:
    parts = {part: expect.content.get(part) for part in one.after}
    key = "abc-undo" if undo else "abc-apply"
    put = {part: put.get(part) for part in one.after}
    return Order(
        target=one.target, expect=parts, put=put, version=expect.version, key=key, undo=undo, by="me"
    )


def applied(world: World) -> Recommendation:
    one = proposed(world)
    world.driver.send(order(one, world.driver.read(one.target), one.after))
    return one


def how(world: World, one: Recommendation) -> str:
    return standing(one.before, one.after, world.driver.read(one.target).content)


class Contract:
    """Subclass it with a fixture `world`."""

    def test_what_is_proposed_is_whole(self, world: World) -> None:
        one = proposed(world)
        assert one.driver == world.driver.name
        assert one.before.keys() == one.after.keys()
        assert canonical(one.before) != canonical(one.after)
        assert one.saving.low <= one.saving.middle <= one.saving.high
        assert one.saving.middle > 0
        assert 0 <= one.disruption <= 1
        assert one.evidence
        assert msgspec.json.decode(msgspec.json.encode(one), type=Recommendation) == one
        assert how(world, one) == "untouched"

    def test_proposing_is_pure(self, world: World) -> None:
        settings, before = world.driver.observe(), world.raw()
        told = [msgspec.json.encode(world.driver.propose(settings, world.context)) for _ in range(2)]
        assert told[0] == told[1]
        assert world.raw() == before

    def test_applying_and_rolling_back_restores_the_bytes(self, world: World) -> None:
        before = world.raw()
        one = applied(world)
        assert how(world, one) == "applied"
        world.settle()
        now = world.driver.read(one.target)
        assert now.settled
        world.driver.send(order(one, now, one.before, undo=True))
        world.settle()
        assert how(world, one) == "untouched"
        assert world.raw() == before

    def test_what_was_applied_is_not_proposed_again(self, world: World) -> None:
        one = applied(world)
        world.settle()
        again = world.driver.propose(world.driver.observe(), world.context)
        assert all(canonical(other.after) != canonical(one.after) for other in again)

    def test_a_lost_precondition_changes_nothing(self, world: World) -> None:
        one = proposed(world)
        seen = world.driver.read(one.target)
        world.disturb()
        before = world.raw()
        with pytest.raises(Lost):
            world.driver.send(order(one, seen, one.after))
        assert world.raw() == before

    def test_the_same_order_twice_is_done_once(self, world: World) -> None:
        one = proposed(world)
        seen = world.driver.read(one.target)
        world.driver.send(order(one, seen, one.after))
        once = world.raw()
        with pytest.raises(Lost):
            world.driver.send(order(one, seen, one.after))
        assert world.raw() == once

    def test_what_others_own_stays(self, world: World) -> None:
        if world.add_foreign is None:
            return
        one = applied(world)
        world.settle()
        world.add_foreign()
        world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
        world.settle()
        assert how(world, one) == "untouched"
        kept = world.raw()
        world.driver.send(order(one, world.driver.read(one.target), one.after))
        world.settle()
        world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
        world.settle()
        assert world.raw() == kept


PAIRS: list[tuple[Fault, Fault]] = [
    ("cut_after", "throttled"),
    ("cut_before", "cut_after"),
    ("throttled", "cut_before"),
]


class Enduring(Contract):
    """Whatever request breaks, in whatever way: the change is done once, or taken back whole."""

    def test_a_line_that_breaks_anywhere_leaves_nothing_half_done(self, world: World, fresh: Between) -> None:
        before = world.raw()
        one = applied(world)
        world.settle()
        count, there = len(fresh.changes), world.raw()
        world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
        world.settle()
        for at in range(count):
            # Every prefix of the requests is met, answered and unanswered; the first request in every way.
            for there_and_back in PAIRS if at == 0 else PAIRS[:1]:
                self.carry(world, fresh, one, at, there_and_back[0], "applied")
                assert world.raw() == there, (at, there_and_back)
                self.carry(world, fresh, one, at, there_and_back[1], "untouched")
                assert world.raw() == before, (at, there_and_back)

    @staticmethod
    def carry(world: World, line: Between, one: Any, at: int, fault: Fault, goal: str) -> None:
        good: list[Fault] = [""] * at
        line.faults[:] = [*good, fault]
        put = one.after if goal == "applied" else one.before
        for _ in range(5):
            seen = world.driver.read(one.target)
            stands = standing(one.before, one.after, seen.content)
            if stands == goal:
                return
            assert stands != "foreign", (at, fault, seen.content)
            with suppress(Lost, Throttled, Unsure):
                world.driver.send(order(one, seen, put, undo=goal != "applied"))
            world.settle()
        raise AssertionError(f"never {goal}: {fault} at {at}")


def is_advice(driver: Any, one: Recommendation) -> None:
    """What is only recommended can't be sent, by any way."""
    assert one.irreversible
    with pytest.raises(LeverError):
        driver.send(Order(target=one.target, expect=one.before, put=one.after))


class AdviceOnly(Contract):
    """The contract of drivers that apply nothing: what is proposed is whole and pure, and never sent."""

    def test_applying_and_rolling_back_restores_the_bytes(self, world: World) -> None:
        before = world.raw()
        is_advice(world.driver, proposed(world))
        assert world.raw() == before

    test_what_was_applied_is_not_proposed_again = None  # type: ignore[assignment]
    test_a_lost_precondition_changes_nothing = None  # type: ignore[assignment]
    test_the_same_order_twice_is_done_once = None  # type: ignore[assignment]
    test_what_others_own_stays = None  # type: ignore[assignment]


class Final(Contract):
    """The contract of what can't be taken back: said to be so, secured, a person's alone, done once."""

    def test_it_says_how_to_get_back_what_it_does_away_with(self, world: World) -> None:
        one = proposed(world)
        assert one.final
        assert not one.irreversible
        assert not one.routine
        assert one.risk != "low"

    def test_applying_and_rolling_back_restores_the_bytes(self, world: World) -> None:
        one = applied(world)
        world.settle()
        after = world.raw()
        with pytest.raises(LeverError, match="can't be taken back") as refused:
            world.driver.send(order(one, world.driver.read(one.target), one.before, undo=True))
        assert not isinstance(refused.value, Unsure)
        assert (world.raw(), how(world, one)) == (after, "applied")

    def test_no_rule_approves_it(self, world: World) -> None:
        told = Proposal(id="p", recommendation=proposed(world), made_ms=0, verdict=WELL)
        assert by_rule(told, Lever(dry_run=False, approve="rule", least_score=0.0, most_disruption=1.0)) == ""
        with pytest.raises(NothingToDo, match="final"):
            approve(told, "me", 0)
        assert approve(told, "me", 0, final=True).stage == "approved"


WELL = Verdict(word="ok", sentence="well within", margin=0.5)
