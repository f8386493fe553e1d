"""The pipeline on a real database: whatever fails or dies, a change is applied once or not at all."""

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace
from tests.coordinator.test_drivers import a_recommendation

from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.driver import Context, Effect, Recommendation
from tidewatt_coordinator.levers.lever import Lever
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.levers.standing import canonical
from tidewatt_coordinator.levers.twin import Killed, Twin
from tidewatt_coordinator.proposals import orders
from tidewatt_coordinator.proposals.pipeline import Pipeline
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.proposals.store import Kept, Proposals, Stop, open_proposals
from tidewatt_coordinator.questions.changes import Changes, Selector
from tidewatt_coordinator.rollout.journal import Changed
from tidewatt_coordinator.rollout.lease import Lease, LeaseLost
from tidewatt_coordinator.rollout.orders import NothingToDo
from tidewatt_coordinator.sla.judging import Judge
from tidewatt_coordinator.sla.objectives import Metric, Service
from tidewatt_coordinator.sla.verdict import Series
from tidewatt_wire.messages import MaintenanceWindow

START_MS = 1_790_812_800_000
MINUTE_MS = 60_000
BEFORE = {"size": 4, "spare": {"n": 1}, "other": "theirs"}
AFTER = {"size": 2, "other": "theirs"}
SHOP = Service(service="shop", p95_ms=60.0, queries={"p95_ms": "p95"}, window_s=600.0)


class Lively(Levers, frozen=True, kw_only=True):
    """Levers with a section for the twin."""

    twin: Lever = Lever(enabled=True, dry_run=False, guard_s=300.0, every_s=600.0)


class Mortal(Proposals):
    """A store whose process dies at its n-th write: before it, or right after."""

    def __init__(self, *known: Any) -> None:
        super().__init__(*known)
        self.writes_left, self.after = 10**9, False

    def write(self, *known: Any, **named: Any) -> Kept:
        self.writes_left -= 1
        if self.writes_left == 0 and not self.after:
            raise Killed
        kept = super().write(*known, **named)
        if self.writes_left == 0:
            raise Killed
        return kept


class World:
    """One fleet on a database that others use, too; time is ours."""

    def __init__(self, ledger: Ledger, fleet: str, levers: Levers | None = None) -> None:
        self.ledger, self.fleet, self.levers = ledger, fleet, levers or Lively()
        self.now_ms = START_MS
        self.p95: float | None = 20.0
        """From now on, ms; None: not measured."""
        self._measured: dict[int, float] = {START_MS - at * MINUTE_MS: 20.0 for at in range(30)}
        self.told = [a_recommendation(selector=Selector(services=["shop"]))]
        self.twin = Twin("twin", {"t": dict(BEFORE)}, lambda _seen, _context: self._propose())
        self.start("one")

    def _propose(self) -> list[Recommendation]:
        return [one for one in self.told if self.twin.settings[one.target]["size"] == one.before["size"]]

    def start(self, holder: str) -> None:
        """A coordinator's process begins."""
        self.store = Mortal(self.ledger.engine, self.fleet)
        self.lease = Lease(self.ledger.engine, self.fleet, holder, 30_000, lambda: self.now_ms)
        judge = Judge([SHOP], self._measure, lambda: self.now_ms)
        self.pipeline = Pipeline(
            [self.twin],
            self.store,
            self.levers,
            judge,
            self.lease,
            lambda: Context(now_ms=self.now_ms),
            lambda: self.now_ms,
        )

    def run(self, minutes: int = 20) -> Proposal:
        """Tick so long, by a successor if the process dies; the proposal as it is then."""
        for minute in range(minutes):
            self.now_ms += MINUTE_MS
            if self.p95 is not None:
                self._measured[self.now_ms] = self.p95
            self.lease.keep()
            try:
                self.pipeline.tick()
            except Killed:
                self.start(f"successor {minute}")
        return self.one

    @property
    def one(self) -> Proposal:
        """The latest proposal."""
        return max((kept.proposal for kept in self.store.page("", 10)), key=lambda one: one.made_ms)

    def order(self, following: Any) -> None:
        self.store.order(self.one.id, following, "me", self.now_ms)

    def approved(self, *, without_verdict: bool = False) -> "World":
        self.run(1)
        self.order(lambda one: orders.approve(one, "me", self.now_ms, without_verdict=without_verdict))
        return self

    @property
    def bytes(self) -> bytes:
        return canonical(self.twin.settings["t"])

    def _measure(self, _service: Service, _until_ms: int) -> Mapping[Metric, Series]:
        return {"p95_ms": dict(self._measured)}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path_factory.mktemp('proposals') / 'l.db'}", 300_000)
    yield opened
    opened.close()


@pytest.fixture
def world(ledger: Ledger, request: pytest.FixtureRequest) -> World:
    return World(ledger, hashlib.sha256(request.node.name.encode()).hexdigest()[:32])


def test_from_a_proposal_to_a_saving_in_the_ledger(world: World) -> None:
    assert world.run(1).stage == "open"
    assert [one.id for one in open_proposals(world.ledger.engine, world.fleet)] == [world.one.id]
    one = world.approved().run()
    assert (one.stage, world.bytes, world.twin.changes) == ("kept", canonical(AFTER), 1)
    stages = [event.stage for event in world.store.history(one.id)]
    assert stages == ["kept", "guarding", "applying", "approved", "open"]
    assert {event.fencing for event in world.store.history(one.id)} == {0, 1}  # a person's order has none
    change = next(it for it in Changes(world.ledger.engine).all() if it.id == f"lever-{one.id}")
    assert (change.predicted_per_month, change.selector.services) == (Decimal(2), ["shop"])
    world.order(lambda one: orders.roll_back(one, "me", "too slow", world.now_ms))
    assert (world.run(2).stage, world.bytes) == ("rolled_back", canonical(BEFORE))
    change = next(it for it in Changes(world.ledger.engine).all() if it.id == f"lever-{one.id}")
    assert change.undone_ms is not None
    assert len(world.store.page("", 10)) == 1  # what was taken back isn't proposed again for a while


@pytest.mark.parametrize(
    ("faults", "stage", "changes"),
    [
        (["lost"], "kept", 1),
        (["throttled", "throttled"], "kept", 1),
        (["foreign"], "failed", 0),
        (["refused"], "failed", 0),
        (["timeout_before"], "kept", 1),
        (["timeout_after"], "kept", 1),
        (["partial"], "kept", 2),
        (["partial", "refused"], "rolled_back", 2),
        (["timeout_before", "refused"], "failed", 0),
        (["crash"], "kept", 1),
        (["crash", "timeout_after"], "kept", 1),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else str(value),
)
def test_every_failure_ends_applied_once_or_untouched(
    world: World, faults: list[Any], stage: str, changes: int
) -> None:
    world.twin.faults = faults
    one = world.approved().run()
    assert (one.stage, world.twin.changes) == (stage, changes), one.reason
    assert world.bytes == canonical(AFTER if stage == "kept" else BEFORE)
    assert len({order.key for order in world.twin.sent if not order.undo}) == 1


@pytest.mark.parametrize("breaks", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_every_interrupted_prefix_goes_on_from_the_journal(ledger: Ledger, after: bool, breaks: bool) -> None:
    for number in range(1, 9):
        world = World(ledger, f"prefix {number} {after} {breaks}").approved()
        world.store.writes_left, world.store.after = number, after
        world.run(2)
        world.p95 = 200.0 if breaks else 20.0
        one = world.run(18)
        assert one.stage == ("rolled_back" if breaks else "kept"), (number, one.reason)
        assert world.bytes == canonical(BEFORE if breaks else AFTER)
        assert world.twin.changes == (2 if breaks else 1)


def test_the_guard_takes_back_what_breaks_the_promise_or_cannot_be_judged(ledger: Ledger) -> None:
    broken = World(ledger, "broken").approved()
    broken.run(3)
    broken.p95 = 80.0
    assert broken.run().stage == "rolled_back"
    assert "p95_ms 80, promised is at most 60" in broken.one.reason
    blind = World(ledger, "blind").approved()
    blind.run(2)
    blind.p95 = None
    one = blind.run(30)
    assert (one.stage, blind.bytes) == ("rolled_back", canonical(BEFORE))
    assert "nobody can say" in one.reason
    taken = World(ledger, "taken").approved(without_verdict=True)
    taken.run(2)
    taken.p95 = None
    assert taken.run().stage == "kept"


def test_what_others_changed_is_left_alone(ledger: Ledger) -> None:
    early = World(ledger, "early").approved()
    early.twin.settings["t"]["size"] = 3
    assert early.run(2).stage == "withdrawn"
    watched = World(ledger, "watched").approved()
    watched.run(2)
    watched.twin.settings["t"]["size"] = 3
    theirs = watched.bytes
    assert (watched.run().stage, watched.bytes) == ("foreign", theirs)


def test_an_unknown_or_broken_promise_is_not_approved(ledger: Ledger) -> None:
    world = World(ledger, "unknown")
    world.told = [a_recommendation(effects=None)]
    world.run(1)
    with pytest.raises(NothingToDo, match="unknown"):
        world.order(lambda one: orders.approve(one, "me", world.now_ms))
    slow = World(ledger, "slow")
    slow.told = [a_recommendation(effects={"p95_ms": Effect(factor=3.5)})]
    slow.run(1)
    with pytest.raises(NothingToDo, match="p95_ms 70, promised is at most 60"):
        slow.order(lambda one: orders.approve(one, "me", slow.now_ms, without_verdict=True))
    bought = World(ledger, "bought")
    bought.told = [a_recommendation(irreversible=True)]
    bought.run(1)
    with pytest.raises(NothingToDo, match="recommended only"):
        bought.order(lambda one: orders.approve(one, "me", bought.now_ms))


def test_the_global_stop_holds_what_applies_and_not_what_undoes(world: World) -> None:
    world.approved()
    world.store.freeze(Stop(since_ms=world.now_ms, author="me", reason="launch day"))
    assert "frozen by me: launch day" in world.run(5).reason
    assert not world.twin.sent
    assert world.store.unfreeze()
    assert world.run(2).stage == "guarding"
    world.store.freeze(Stop(since_ms=world.now_ms, author="me", reason="launch day"))
    world.p95 = 300.0
    assert (world.run().stage, world.bytes) == ("rolled_back", canonical(BEFORE))


@pytest.mark.parametrize(
    ("levers", "why"),
    [
        (Levers(), "dry run: levers.twin.dry_run is true"),
        (Lively(changes_per_hour=0), "0 may be"),
        (Lively(most_capacity=0.1), "20% of the capacity would be changing, 10% may be"),
        (Lively(freeze=[MaintenanceWindow(start="00:00", minutes=1440)]), "a freeze window is open"),
    ],
)
def test_limits_hold(ledger: Ledger, levers: Levers, why: str) -> None:
    world = World(ledger, f"limits {why}"[:60], levers)
    world.told = [a_recommendation(capacity=0.2)]
    world.approved()
    one = world.run(5)
    assert (one.stage, world.twin.sent) == ("approved", [])
    assert why in one.reason
    world.now_ms += 86_400_000
    assert world.run(1).stage == "open"  # an old approval is none


def test_a_rule_approves_only_what_is_surely_good(ledger: Ledger) -> None:
    ruled = Lively(twin=Lever(dry_run=False, approve="rule", guard_s=60.0))
    good = World(ledger, "good", ruled)
    assert (good.run().stage, good.one.approved_by[:16]) == ("kept", "the rule: score ")
    odds: list[dict[str, Any]] = [{"risk": "medium"}, {"spending": None}, {"irreversible": True}]
    odds += [{"disruption": 0.5}, {"effects": None}]
    for number, odd in enumerate(odds):
        world = World(ledger, f"odd {number}", ruled)
        world.told = [a_recommendation(**odd)]
        assert world.run(3).stage == "open"


def test_what_is_final_waits_for_a_person_and_stays_when_the_promise_breaks(ledger: Ledger) -> None:
    world = World(ledger, "final", Lively(twin=Lever(dry_run=False, approve="rule", guard_s=300.0)))
    world.told = [a_recommendation(final="its copy is snapshot 7")]
    assert world.run(3).stage == "open"
    world.order(lambda one: orders.approve(one, "me", world.now_ms, final=True))
    assert world.run(3).stage == "guarding"
    world.p95 = 300.0
    one = world.run()
    assert (one.stage, world.bytes, world.twin.changes) == ("kept", canonical(AFTER), 1)
    assert "the promise broke" in one.reason
    assert "its copy is snapshot 7" in one.reason


def test_only_the_holder_of_the_lease_acts(world: World) -> None:
    world.approved()
    old_pipeline, old_lease = world.pipeline, world.lease
    world.now_ms += 100_000
    world.start("two")
    old_pipeline.tick()  # its lease has run out
    assert not world.twin.sent
    assert world.run(2).stage == "guarding"
    with pytest.raises(LeaseLost):
        world.store.write(
            world.store.get(world.one.id), replace(world.one, reason="late"), "one", 0, lease=old_lease
        )


def test_what_is_no_longer_proposed_is_withdrawn_and_may_come_again(world: World) -> None:
    first = world.run(1)
    told, world.told = world.told, []
    assert world.run(11).stage == "withdrawn"
    world.told = told
    world.run(11)
    found = {kept.proposal.stage: kept.proposal.id for kept in world.store.page("", 10)}
    assert found.keys() == {"withdrawn", "open"}
    assert found["withdrawn"] == first.id


def test_an_approval_ends_with_its_reason_and_not_only_by_age(ledger: Ledger) -> None:
    """What waits for a window or a guard is held against each look: a spike ends, demand comes back."""
    closed = [MaintenanceWindow(start="00:00", minutes=1440)]
    gone = World(ledger, "gone", Lively(freeze=closed)).approved()
    assert gone.run(2).stage == "approved"
    gone.told = []
    assert (gone.run(11).stage, gone.one.reason) == ("withdrawn", "no longer proposed")
    ruled = Lively(twin=Lever(dry_run=False, approve="rule", every_s=60.0), freeze=closed)
    riskier = World(ledger, "riskier", ruled)
    assert riskier.run(2).stage == "approved"
    riskier.told = [replace(one, risk="high") for one in riskier.told]
    assert (riskier.run(2).stage, riskier.one.approved_by) == ("open", "")
    worse = World(ledger, "worse", Lively(freeze=closed)).approved()
    worse.told = [replace(one, effects={"p95_ms": Effect(factor=9.0)}) for one in worse.told]
    worse.run(11)
    worse.levers = Lively()
    worse.start("an open window")
    assert worse.run(3).stage == "approved"
    assert "the promise would be broken" in worse.one.reason
    lost = World(ledger, "lost", Lively(freeze=closed)).approved()
    lost.told = [replace(one, final="its copy is snapshot 7") for one in lost.told]
    assert lost.run(11).stage == "open"
    assert not any(world.twin.sent for world in (gone, riskier, worse, lost))


def test_a_look_that_somebody_crossed_is_taken_again_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run(1)
    world.told = []

    def crossed(*_known: Any, **_named: Any) -> Kept:
        raise Changed("somebody else was quicker")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "write", crossed)
        world.run(10)  # a look is due within them
    assert world.one.stage == "open"
    assert world.run(1).stage == "withdrawn"
