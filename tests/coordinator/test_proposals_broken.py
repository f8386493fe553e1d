"""The pipeline as an enemy treats it: clocks that jump, stops at the worst moment, two at once."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.coordinator.test_drivers import a_recommendation
from tests.coordinator.test_proposals import AFTER, BEFORE, MINUTE_MS, Lively, World, ledger

from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.driver import Context, Order, Recommendation, Setting
from tidewatt_coordinator.levers.lever import Lever
from tidewatt_coordinator.levers.standing import canonical
from tidewatt_coordinator.levers.twin import Killed, Twin
from tidewatt_coordinator.proposals import orders
from tidewatt_coordinator.proposals.state import LIVE
from tidewatt_coordinator.proposals.store import Stop
from tidewatt_coordinator.rollout.journal import Changed
from tidewatt_coordinator.rollout.lease import LeaseLost
from tidewatt_coordinator.rollout.orders import NothingToDo

__all__ = ["ledger"]  # the fixture

DAY_MS = 86_400_000
_numbers = itertools.count()


def whole(world: World, stage: str) -> bool:
    """Applied if it is kept, else untouched: never anything between."""
    return world.bytes == canonical(AFTER if stage == "kept" else BEFORE)


def test_a_clock_that_goes_back_holds_up_neither_the_guard_nor_the_way_back(ledger: Ledger) -> None:
    guarded = World(ledger, "back while guarded").approved()
    assert guarded.run(2).stage == "guarding"
    guarded.now_ms -= DAY_MS
    guarded.start("after a restart")
    guarded._measured.clear()
    guarded.p95 = 300.0
    assert guarded.run(15).stage == "rolled_back"
    undone = World(ledger, "back while undone").approved()
    undone.run(2)
    undone.p95, undone.twin.faults = 300.0, ["throttled"] * 6
    undone.run(9)
    assert undone.one.stage == "undoing"
    undone.now_ms -= DAY_MS
    undone.start("after a restart")
    undone.twin.faults = []
    assert (undone.run(10).stage, undone.bytes) == ("rolled_back", canonical(BEFORE))


def test_changes_of_a_future_that_never_was_hold_up_nothing_for_long(ledger: Ledger) -> None:
    world = World(ledger, "future", Lively(changes_per_hour=1)).approved()
    assert world.run(15).stage == "kept"
    world.now_ms -= 30 * DAY_MS
    world.start("after a restart")
    world._measured = {world.now_ms - at * MINUTE_MS: 20.0 for at in range(30)}
    world.twin.settings["t2"] = dict(BEFORE)
    world.told = [a_recommendation(target="t2")]
    world.run(1)
    (kept,) = world.store.of(["open"])
    world.store.order(
        kept.proposal.id, lambda one: orders.approve(one, "me", world.now_ms), "me", world.now_ms
    )
    world.run(3)
    assert world.store.get(kept.proposal.id).proposal.stage == "guarding"


class Odd:
    """A driver that says what no JSON can hold."""

    name = "odd"

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self.probe, self.observe, self.send = twin.probe, twin.observe, twin.send

    def read(self, target: str) -> Setting:
        return Setting(target=target, content={"size": object()})

    def propose(self, settings: Any, _context: Context) -> list[Recommendation]:
        return [a_recommendation(driver="odd", after={"size": object(), "spare": settings})]


def test_a_driver_that_says_what_cannot_be_kept_ends_nobody_else(ledger: Ledger) -> None:
    world = World(ledger, "odd").approved()
    world.pipeline.drivers = {"odd": Odd(world.twin), **world.pipeline.drivers}
    assert world.run(15).stage == "kept"
    assert set(world.pipeline.failing) == {"odd"}


class Meddled(Twin):
    """Before and after each call somebody else gets his turn, once at the n-th."""

    turn: Callable[[], None] | None = None
    calls_left = 10**9

    def _meddle(self) -> None:
        self.calls_left -= 1
        if self.calls_left == 0 and self.turn:
            self.turn()

    def read(self, target: str) -> Setting:
        self._meddle()
        found = super().read(target)
        self._meddle()
        return found

    def send(self, order: Order) -> None:
        self._meddle()
        super().send(order)
        self._meddle()


PATIENT = Lively(twin=Lever(enabled=True, dry_run=False, guard_s=1800.0))


def proposing(world: World) -> Callable[[Any, Context], list[Recommendation]]:
    return lambda _seen, _context: world._propose()


def turning(world: World, minutes: int) -> None:
    """As the wheel does it."""
    for _ in range(minutes):
        try:
            world.run(1)
        except (Changed, LeaseLost):
            continue


@pytest.mark.parametrize("breaks", [False, True])
def test_a_second_replica_that_takes_over_in_the_midst_of_a_call(ledger: Ledger, breaks: bool) -> None:
    """The first hangs in a call for longer than its lease; when it goes on the other has acted."""
    for number in range(1, 13):
        world = World(ledger, f"hangs {number} {breaks}", PATIENT)
        world.twin = Meddled("twin", {"t": dict(BEFORE)}, proposing(world))
        world.start("first")
        world.approved()

        def turn(world: World = world) -> None:
            first, store, lease = world.pipeline, world.store, world.lease
            world.start("second")
            world.run(3)
            world.pipeline, world.store, world.lease = first, store, lease

        world.twin.turn, world.twin.calls_left = turn, number
        turning(world, 4)
        world.p95 = 200.0 if breaks else 20.0
        world.start("third")
        world.now_ms += 2 * MINUTE_MS
        turning(world, 40)
        one = world.one
        assert one.stage == ("rolled_back" if breaks else "kept"), (number, one.reason)
        assert whole(world, one.stage), number
        assert world.twin.changes == (2 if breaks else 1), number
        # The journal tells whose each step was: numbers never fall, so nobody wrote after his successor.
        numbers = [event.fencing for event in world.store.history(one.id) if event.fencing][::-1]
        assert numbers == sorted(numbers), number
        assert len(set(numbers)) > 1, number


EVENTS = st.one_of(
    st.sampled_from(["stop", "go", "break", "mend", "rollback", "restart", "blind"]),
    st.sampled_from(["partial", "timeout_after", "timeout_before", "throttled", "refused", "crash"]),
    st.sampled_from([-DAY_MS, -MINUTE_MS, 3 * MINUTE_MS, 3_600_000, DAY_MS]),
    st.tuples(st.integers(1, 3), st.booleans()),
)


def happen(world: World, event: Any) -> None:
    """One misfortune."""
    if isinstance(event, int):
        world.now_ms += event
        world.start(f"jumped {next(_numbers)}")
    elif isinstance(event, tuple):
        world.store.writes_left, world.store.after = event
    elif event == "stop":
        world.store.freeze(Stop(since_ms=world.now_ms, author="me", reason="x"))
    elif event == "go":
        world.store.unfreeze()
    elif event in ("break", "mend", "blind"):
        world.p95 = {"break": 300.0, "mend": 20.0, "blind": None}[event]
    elif event == "restart":
        world.start(f"restarted {next(_numbers)}")
    elif event == "rollback":
        try:
            world.order(lambda one: orders.roll_back(one, "me", "", world.now_ms))
        except (NothingToDo, Killed):
            return  # the person's own process may be what dies
    else:
        world.twin.faults = [event]


@settings(max_examples=25)
@given(st.lists(EVENTS, min_size=1, max_size=7))
def test_whatever_happens_in_whatever_order_nothing_is_left_half_done(
    ledger_of_enemies: Ledger, script: list[Any]
) -> None:
    world = World(ledger_of_enemies, f"enemy {next(_numbers)}").approved()
    for event in script:
        happen(world, event)
        world.run(2)
    # Everything is well again.
    world.store.unfreeze()
    world.twin.faults, world.store.writes_left = [], 10**9
    world.p95, world.told = 20.0, []
    world.now_ms += MINUTE_MS
    world.start(f"at last {next(_numbers)}")
    world.run(30)
    left = [kept.proposal for kept in world.store.of(LIVE)]
    assert not left, (left[0].stage, left[0].reason)
    stages = [kept.proposal.stage for kept in world.store.page("", 99)]
    assert whole(world, "kept" if "kept" in stages else ""), stages
    assert "foreign" not in stages


@pytest.fixture(scope="module")
def ledger_of_enemies(ledger: Ledger) -> Ledger:
    return ledger
