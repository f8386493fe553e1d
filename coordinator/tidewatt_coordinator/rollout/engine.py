"""The planner at work: reads what stands, steps it, keeps the result, and only then lets it be published.

Everything is in the database before anybody hears of it, so a coordinator that is killed at
any point goes on from what was kept: the worst that can happen is that the same revision is
published again. Only the holder of the lease steps and publishes.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions.changes import record
from tidewatt_coordinator.questions.rollouts import change_of
from tidewatt_coordinator.rollout.gates import Tally
from tidewatt_coordinator.rollout.journal import Changed, Event, Journal, Kept
from tidewatt_coordinator.rollout.lease import Lease, LeaseLost
from tidewatt_coordinator.rollout.outcomes import Interval, tallies
from tidewatt_coordinator.rollout.plan import Content, Evidence, Facts, State, step, wants_evidence
from tidewatt_coordinator.rollout.roster import Roster, glimpses, known_of
from tidewatt_coordinator.rollout.sight import evidence
from tidewatt_coordinator.rollout.standing import (
    Attached,
    Standing,
    carrying,
    first,
    moved,
    overtaking,
    policy_set_of,
    put,
)
from tidewatt_coordinator.rollout.windows import open_now
from tidewatt_wire.messages import PolicySet, Rule

log = logging.getLogger(__name__)

#: Real seconds between two ticks: how soon an operator's order is noticed.
TICK_S = 1.0
#: The ledger is asked for evidence no more often than this; it reads every bucket of the interval.
LOOK_EVERY_MS = 10_000
#: The roster is kept this often, in ticks.
ROSTER_EVERY = 5
#: Who did it, where nobody told it to.
COORDINATOR = "coordinator"


class Engine:
    """One coordinator's part in one fleet's policy. `tick` may be called from a test; `run` never ends."""

    def __init__(
        self,
        ledger: Ledger,
        fleet: Fleet,
        name: str,
        rules: list[Rule],
        now_ms: Callable[[], int],
        lease: Lease,
        attached: Callable[[], Attached] = Attached,
        sees: Callable[[], bool] = lambda: True,
        found: Callable[[], int] = lambda: 0,
    ) -> None:
        """`attached`: what is to go with every set now; asked every tick.

        `sees`: whether `fleet` shows who is there; who was deaf can't tell a silent device from others.
        `found`: the newest revision of ours that stood on the topic when we came to it.
        """
        self._ledger, self._fleet, self._now_ms, self._attached = ledger, fleet, now_ms, attached
        self._sees, self._found = sees, found
        self._journal = Journal(ledger.engine, name)
        self._roster = Roster(ledger.engine, name)
        self._initial = Content(rules=rules)
        self.lease = lease
        self._kept: Kept | None = None
        self._planned = first(name, self._initial, 0, now_ms())
        self._looked_ms: int | None = None
        self._earlier: tuple[Interval, dict[str, Tally]] | None = None
        """What every device did before the present rollout, as first read."""
        self._ticks = 0
        self._configured = False
        self.failing = False
        """Whether the last tick failed."""

    def current(self) -> PolicySet:
        """The policy set that stands. It is only to be published while `may_publish`."""
        return policy_set_of(self.standing)

    def may_publish(self) -> bool:
        """Whether this coordinator is the one to publish, at this very moment."""
        return self._kept is not None and self.lease.held()

    @property
    def standing(self) -> Standing:
        """What stands, as last read; before the first read what the configuration says."""
        return self._kept.standing if self._kept else self._planned

    async def run(self) -> None:
        """Tick for ever; ends only by cancellation, and then lets go of the lease."""
        ticking: asyncio.Future[None] | None = None
        try:
            while True:
                await asyncio.sleep(TICK_S)
                ticking = asyncio.ensure_future(asyncio.to_thread(self.tick))
                await asyncio.shield(ticking)
        finally:
            if ticking:
                await asyncio.wait([ticking])  # its thread would take the lease again
            self._let_go()

    def tick(self) -> None:
        """Look, step, keep. What fails is logged once and tried again by the next tick."""
        try:
            self._tick()
        except (Changed, LeaseLost) as error:
            log.info("policy: %s; looking again", error)
            self._kept = self._journal.read()
        except (SQLAlchemyError, OSError) as error:
            if not self.failing:
                log.error("policy: %s; trying again", str(error).partition("\n")[0])  # noqa: TRY400
            self.failing = True
        else:
            if self.failing:
                log.warning("policy: recovered")
            self.failing = False

    def _tick(self) -> None:
        holds = self.lease.keep()
        version = self._journal.version()
        if version != (self._kept.version if self._kept else 0):
            self._kept = self._journal.read()
        if not holds:
            self._configured = False
            return
        if not self._configured:
            self._configure()
        if self._kept:
            self._overtake(self._kept)
        if self._kept:
            self._attach(self._kept)
        if self._kept:
            self._step(self._kept)
        if self._ticks % ROSTER_EVERY == 0:
            now_ms = self._now_ms()
            self._roster.write(known_of(self._fleet, now_ms), now_ms)
        self._ticks += 1

    def _configure(self) -> None:
        """Begin with the configuration's rules; later they hold only until a document does."""
        now_ms = self._now_ms()
        event = Event(at_ms=now_ms, what="configured", author=COORDINATOR, reason="the configuration's rules")
        kept = self._kept
        if kept is None:
            known = int(
                self._ledger.fact("policy_revision") or 0
            )  # of a ledger that is older than these tables
            standing = first(self._planned.fleet, self._initial, known, now_ms)
            self._kept = self._journal.write(None, standing, event, lease=self.lease)
        elif kept.standing.content.document:
            log.info("policy: document %s is in force, not the configuration", kept.standing.content.name)
        elif kept.standing.content != self._initial and not kept.standing.live:
            standing = put(kept.standing, self._initial, now_ms)
            self._kept = self._journal.write(kept, standing, event, lease=self.lease)
        self._configured = True

    def _overtake(self, kept: Kept) -> None:
        """Where the database is older than what devices hold, go on above it: else they refuse every set."""
        found, now_ms = self._found(), self._now_ms()
        if found <= kept.standing.revision:
            return
        reason = f"revision {found} stood on the topic, which this database doesn't know"
        event = Event(at_ms=now_ms, what="overtaken", author=COORDINATOR, reason=reason)
        standing = overtaking(kept.standing, found, now_ms)
        self._kept = self._journal.write(kept, standing, event, lease=self.lease)
        log.warning("policy: %s: it goes on as revision %d", reason, standing.revision)

    def _attach(self, kept: Kept) -> None:
        try:
            attached, now_ms = self._attached(), self._now_ms()
        except (OSError, ValueError):
            return  # a key or a model that can't be read: the publisher, which needs it, says so
        if attached == kept.standing.attached:
            return
        event = Event(at_ms=now_ms, what="attached", author=COORDINATOR, reason="other keys or models")
        standing = carrying(kept.standing, attached, now_ms)
        self._kept = self._journal.write(kept, standing, event, lease=self.lease)

    def _step(self, kept: Kept) -> None:
        state = kept.standing.live
        if state is None:
            return
        now_ms = self._now_ms()
        facts = Facts(
            window_open=open_now(state.plan.window, now_ms), evidence=self._look(state, kept.standing, now_ms)
        )
        after, reason = step(state, facts, now_ms)
        if after == state:
            return
        news = (after.stage, after.wave) != (state.stage, state.wave)
        event = Event(
            at_ms=now_ms,
            what=_what(state, after),
            author=COORDINATOR,
            reason=reason,
            document=state.new.document,
        )
        standing = moved(kept.standing, after, now_ms)
        done = partial(record, change=change_of(after, now_ms)) if after.stage == "complete" else None
        self._kept = self._journal.write(kept, standing, event if news else None, lease=self.lease, also=done)
        if news:
            log.info("rollout %s: %s", state.id, reason)

    def _look(self, state: State, standing: Standing, now_ms: int) -> Evidence | None:
        due = self._looked_ms is None or not 0 <= now_ms - self._looked_ms < LOOK_EVERY_MS
        if not due or not wants_evidence(state, now_ms) or not self._sees():
            return None
        self._looked_ms = now_ms
        fleet = glimpses(self._fleet, now_ms)
        if not state.wave:
            return evidence(state, standing.revision, fleet, {}, {})
        begun_ms = state.reached_ms[0]
        earlier = Interval(max(0, begun_ms - round(state.plan.baseline_s * 1000)), begun_ms)
        # The past hardly changes, and an hour of 10,000 devices takes more than a second to read.
        if self._earlier is None or self._earlier[0] != earlier:
            self._earlier = earlier, tallies(self._ledger.engine, self._ledger.bucket_ms, earlier)
        before = self._earlier[1]
        after = tallies(self._ledger.engine, self._ledger.bucket_ms, Interval(state.since_ms, now_ms))
        return evidence(state, standing.revision, fleet, before, after)

    def _let_go(self) -> None:
        try:
            self.lease.release()
        except SQLAlchemyError as error:
            log.warning("policy: the lease ends by itself: %s", str(error).partition("\n")[0])


def _what(before: State, after: State) -> str:
    return f"wave {after.wave}" if after.wave != before.wave else after.stage
