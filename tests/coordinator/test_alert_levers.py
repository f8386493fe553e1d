"""A change that went wrong is an alert: told once, and over when it is solved or history."""

from collections.abc import Callable

import pytest
from tests.coordinator.test_drivers import a_recommendation
from tests.coordinator.test_proposals import BEFORE, MINUTE_MS, Lively, World, ledger

from tidewatt_coordinator.alerts.leverwatch import LeverWatch
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.stuck import MOST_EACH, TOLD_MS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.driver import LeverError
from tidewatt_coordinator.levers.lever import Lever
from tidewatt_coordinator.proposals import orders

__all__ = ["ledger"]  # the fixture

Told = list[tuple[str, str, str]]


def watching(world: World) -> Callable[[], Told]:
    book = AlertBook(world.ledger.engine, world.fleet)
    watch = LeverWatch(
        book, world.store, world.levers, ["pager"], lambda: world.now_ms, real_ms=lambda: world.now_ms
    )

    def look() -> Told:
        told: Told = [(one.state, one.severity, one.summary) for one in watch.look()]
        assert len([one for one in book.due(world.now_ms) if one.target == "pager"]) >= bool(told)
        return told

    return look


@pytest.mark.parametrize(("fault", "stage"), [("refused", "failed"), ("foreign", "failed"), ("", "foreign")])
def test_what_ended_badly_is_told_once_and_is_history_three_days_later(
    ledger: Ledger, fault: str, stage: str
) -> None:
    world = World(ledger, f"ended {fault or 'theirs'}").approved()
    look = watching(world)
    assert look() == []
    world.twin.faults = [fault]  # type: ignore[list-item]
    world.run(2)
    if not fault:
        world.twin.settings["t"]["size"] = 3
        world.run(2)
    ((state, severity, said),) = look()
    assert (state, severity) == ("firing", "warning")
    assert f"has ended as {stage}: " in said
    assert look() == []
    world.now_ms += TOLD_MS + MINUTE_MS
    ((state, _, said),) = look()
    assert (state, said.rpartition(", ")[2]) == ("recovered", "and has been told for three days")


def test_what_cannot_be_taken_back_is_critical_until_it_is(ledger: Ledger) -> None:
    world = World(ledger, "no way back").approved()
    look = watching(world)
    world.run(3)
    world.twin.faults = ["refused"] * 30
    world.p95 = 300.0
    assert world.run(40).stage == "undoing"
    assert look() == [], "it has not taken longer than applying may"
    world.run(30)
    ((state, severity, said),) = look()
    assert (state, severity) == ("firing", "critical")
    assert "is being taken back for 6" in said
    assert "the twin was told to be refused" in said
    world.run(1)
    assert look() == [], "more minutes are no news"
    world.twin.faults = []
    assert world.run(8).stage == "rolled_back"
    ((state, _, said),) = look()
    assert (state, "is rolled_back: the promise broke" in said) == ("recovered", True)


def test_what_is_final_and_broke_the_promise_is_critical(ledger: Ledger) -> None:
    world = World(ledger, "final and broken")
    world.told = [a_recommendation(final="its copy is snapshot 7")]
    world.run(1)
    world.order(lambda one: orders.approve(one, "me", world.now_ms, final=True))
    world.run(2)
    world.p95 = 300.0
    assert world.run(8).stage == "kept"
    ((_, severity, said),) = watching(world)()
    assert severity == "critical"
    assert said.endswith("it is final: its copy is snapshot 7")


def test_a_driver_without_rights_is_a_few_alerts_and_not_hundreds(ledger: Ledger) -> None:
    world = World(ledger, "without rights", Lively(changes_per_hour=50))
    many = MOST_EACH + 4
    world.twin.settings = {f"t{number}": dict(BEFORE) for number in range(many)}
    world.told = [a_recommendation(target=name) for name in world.twin.settings]
    world.run(1)
    for kept in world.store.of(["open"]):
        world.store.order(
            kept.proposal.id, lambda one: orders.approve(one, "me", world.now_ms), "me", world.now_ms
        )
    world.twin.faults = ["refused"] * many
    world.run(3)
    look = watching(world)
    told = look()
    assert len(told) == MOST_EACH + 1
    assert any("4 more of its changes went wrong" in said for _, _, said in told)
    assert look() == []
    world.now_ms += TOLD_MS + MINUTE_MS
    assert len(look()) == MOST_EACH + 1


def test_it_is_told_of_drivers_that_are_off_too(ledger: Ledger) -> None:
    """An undoing whose driver nobody runs any more would stand for ever, unseen."""
    world = World(ledger, "off", Lively(twin=Lever(enabled=True, dry_run=False, guard_s=300.0))).approved()
    world.run(3)
    world.order(lambda one: orders.roll_back(one, "me", "", world.now_ms))
    world.twin.read_faults = [LeverError("gone")] * 200
    world.run(70)
    ((state, severity, _),) = watching(world)()
    assert (state, severity) == ("firing", "critical")
