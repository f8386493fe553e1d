"""The pipeline at work: looks at every driver now and then, and takes every live proposal a step further.

What is decided is kept, bound to the lease, before it is sent. Whoever dies at any point goes on from what
was kept.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from tidewatt_coordinator.levers.driver import (
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
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.levers.standing import canonical, standing
from tidewatt_coordinator.proposals.limits import RULE, Busy, by_rule, held
from tidewatt_coordinator.proposals.orders import approve
from tidewatt_coordinator.proposals.realised import record_kept, record_undone
from tidewatt_coordinator.proposals.score import same
from tidewatt_coordinator.proposals.state import (
    BEGUN,
    LIVE,
    WAITING,
    Deed,
    Failure,
    Proposal,
    Seen,
    Terms,
    moved,
    needs_verdict,
    outcome,
    rebased,
    step,
)
from tidewatt_coordinator.proposals.store import Kept, Proposals
from tidewatt_coordinator.rollout.journal import Changed
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.rollout.windows import open_now
from tidewatt_coordinator.sla.judging import Judge

log = logging.getLogger(__name__)

#: Who did it, where nobody told it to.
COORDINATOR = "coordinator"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
#: Whoever asks, no driver looks again sooner: looking costs calls.
LEAST_MS = 60_000
#: A proposal that nobody touched is stepped again after so long: each step reads its setting.
STEP_MS = 15_000


class Pipeline:
    """One coordinator's part in one fleet's proposals. `tick` may be called from a test."""

    def __init__(
        self,
        drivers: Sequence[Driver],
        store: Proposals,
        settings: Levers,
        judge: Judge,
        lease: Lease,
        context: Callable[[], Context],
        now_ms: Callable[[], int],
    ) -> None:
        self.drivers = {driver.name: driver for driver in drivers}
        self.store, self.settings, self.judge = store, settings, judge
        self._lease, self._context, self._now_ms = lease, context, now_ms
        self._looked_ms: dict[str, int] = {}
        self._stepped: dict[str, tuple[int, int]] = {}
        """By proposal, its version when it was last stepped, and when that was."""
        self._unread: set[tuple[str, str]] = set()
        self.failing: dict[str, str] = {}
        """By driver, why it could not look the last time."""

    def tick(self) -> None:
        """Look where a look is due, then step what lives. Nothing happens without the lease."""
        for name, driver in self.drivers.items():
            now_ms, every_ms = self._now_ms(), round(self.settings.of(name).every_s * 1000)
            last_ms = self._looked_ms.get(name)
            if self._lease.held() and (last_ms is None or not 0 <= now_ms - last_ms < every_ms):
                self._looked_ms[name] = now_ms
                self.look(driver)
        for kept in self.store.of(LIVE):
            if not self._lease.held():
                return
            if not self._due(kept):
                continue
            try:
                self._step(kept)
            except Changed as error:
                log.info("proposals: %s; looking again", error)

    def _due(self, kept: Kept) -> bool:
        """Whether to step it again: somebody has written it, or it is a while ago."""
        name, now_ms = kept.proposal.id, self._now_ms()
        version, at_ms = self._stepped.get(name, (0, 0))
        if version == kept.version and 0 <= now_ms - at_ms < STEP_MS:
            return False
        self._stepped[name] = kept.version, now_ms
        return True

    def look_soon(self, name: str = "") -> bool:
        """Let one driver, or all, look at the next tick; False if there is none."""
        named = [one for one in self.drivers if name in ("", one)]
        for one in named:
            if self._now_ms() - self._looked_ms.get(one, 0) > LEAST_MS:
                self._looked_ms.pop(one, None)
        return bool(named)

    def look(self, driver: Driver) -> None:
        """Have one driver propose, and keep what it says. If it fails nothing is withdrawn."""
        try:
            probe = driver.probe()
            if probe.ready != "ok":
                raise LeverError(probe.why or f"not ready: {probe.ready}")  # noqa: TRY301 - told as the others
            told = driver.propose(driver.observe(), self._context())
            msgspec.json.encode(told)  # what can't be kept is the driver's defect, too
        except Exception as error:  # noqa: BLE001 - a driver's defect must not end the others
            if driver.name not in self.failing:
                log.warning("driver %s: %s", driver.name, error or type(error).__name__)
            self.failing[driver.name] = str(error) or type(error).__name__
            return
        if self.failing.pop(driver.name, None):
            log.warning("driver %s: recovered", driver.name)
        try:
            self._keep(driver.name, told)
        except Changed as error:
            self._looked_ms.pop(driver.name, None)
            log.info("proposals: %s; looking again", error)

    def _keep(self, driver: str, told: Sequence[Recommendation]) -> None:
        for one in told:
            self._propose(one)
        digests = {same(one) for one in told}
        # Approved ones, too: what waited for a window to end must not be done when its reason is gone.
        for kept in self.store.of(WAITING, driver):
            if same(kept.proposal.recommendation) not in digests:
                now_ms = self._now_ms()
                gone = moved(kept.proposal, "withdrawn", "no longer proposed", now_ms)
                self.store.write(kept, gone, COORDINATOR, now_ms, lease=self._lease)

    def _propose(self, one: Recommendation) -> None:
        now_ms, digest = self._now_ms(), same(one)
        verdict = self.judge.verdict(one.service, one.effects)
        kept = self.store.latest(digest)
        if kept is None or not self._stands(kept.proposal, now_ms):
            name = hashlib.sha256(f"{self.store.fleet} {digest} {now_ms}".encode()).hexdigest()[:12]
            new = Proposal(id=name, recommendation=one, made_ms=now_ms, since_ms=now_ms, verdict=verdict)
            kept = self.store.make(replace(new, reason=one.what), COORDINATOR, lease=self._lease)
        if kept.proposal.stage not in WAITING:
            return
        after = replace(kept.proposal, recommendation=one, verdict=verdict)
        rule = by_rule(after, self.settings.of(one.driver))
        if after.stage == "open" and rule:
            after = approve(after, rule, now_ms)
        elif after.stage == "approved":
            after = _still(kept.proposal, after, rule, now_ms)
        if after != kept.proposal:
            self.store.write(kept, after, COORDINATOR, now_ms, lease=self._lease)

    def _stands(self, known: Proposal, now_ms: int) -> bool:
        """Whether what is told now is that proposal, or too soon after it ended."""
        if known.stage in ("withdrawn", "kept"):
            return False
        ended = known.stage in ("rejected", "failed", "rolled_back", "foreign")
        # Demand comes again tomorrow, so routine that went wrong is tried again; not what was rejected.
        again = known.recommendation.routine and known.stage != "rejected"
        quiet_ms = HOUR_MS if again else self.settings.quiet_days * DAY_MS
        return not ended or now_ms - known.since_ms < quiet_ms

    def _step(self, kept: Kept) -> None:
        before = rebased(kept.proposal, self._terms(kept.proposal), self._now_ms())
        driver = self.drivers.get(before.recommendation.driver)
        setting = self._read(driver, before.recommendation.target) if driver else None
        now_ms = self._now_ms()
        after, deed = step(before, self._see(before, setting), self._terms(before), now_ms)
        if after is kept.proposal:
            return
        also = _also(before, after)
        kept = self.store.write(kept, after, COORDINATOR, now_ms, lease=self._lease, also=also)
        if after.stage != before.stage:
            log.info("proposal %s: %s: %s", after.id, after.stage, after.reason)
        if deed and driver and setting and self._lease.held():
            self._answered(kept, *self._send(driver, after, setting, deed), before.unanswered_ms)

    def _see(self, one: Proposal, setting: Setting | None) -> Seen:
        told = one.recommendation
        if setting is None:
            return Seen(held="" if told.driver in self.drivers else f"waits: driver {told.driver} is off")
        stop = self.store.stop()
        effects, since_ms = ({}, one.stood_ms) if one.stage == "guarding" else (told.effects, None)
        window = any(open_now(one, self._now_ms()) for one in self.settings.freeze)
        busy = Busy(
            begun=[other.proposal for other in self.store.of(BEGUN)],
            lately=self.store.begun_since(self._now_ms() - HOUR_MS),
            window=window,
            stop=f"everything is frozen by {stop.author}: {stop.reason}" if stop else "",
        )
        return Seen(
            standing=standing(told.before, told.after, setting.content),
            settled=setting.settled,
            verdict=self.judge.verdict(told.service, effects, since_ms),
            held=held(one, busy, self.settings, self.settings.of(told.driver)),
            stopped=stop is not None,
            followed="" if stop or window or one.stage != "guarding" else self._follower(one),
        )

    def _follower(self, one: Proposal) -> str:
        """Which approved routine waits for this one's guard and must not: more is needed than it left."""
        for other in (kept.proposal for kept in self.store.of(["approved"], one.recommendation.driver)):
            told = other.recommendation
            here = told.target == one.recommendation.target and told.before == one.recommendation.after
            if here and one.recommendation.routine and not needs_verdict(told):
                return other.id
        return ""

    def _terms(self, one: Proposal) -> Terms:
        lever = self.settings.of(one.recommendation.driver)
        return Terms(
            approval_ms=round(self.settings.approval_h * HOUR_MS),
            deadline_ms=round(lever.deadline_s * 1000),
            guard_ms=round(lever.guard_s * 1000),
        )

    def _read(self, driver: Driver, target: str) -> Setting | None:
        try:
            setting = driver.read(target)
            canonical(setting.content)
        except Exception as error:  # noqa: BLE001 - unread is unread, whatever the driver stumbled on
            if (driver.name, target) not in self._unread:
                log.warning("driver %s: %s can't be read: %s", driver.name, target, error)
            self._unread.add((driver.name, target))
            return None
        self._unread.discard((driver.name, target))
        return setting

    def _send(self, driver: Driver, one: Proposal, setting: Setting, deed: Deed) -> tuple[Failure, str, bool]:
        """How it ended: the failure, its sentence, and whether that is for sure."""
        told = one.recommendation
        order = Order(
            target=told.target,
            expect={part: setting.content.get(part) for part in told.after},
            put={part: (told.after if deed == "apply" else told.before).get(part) for part in told.after},
            version=setting.version,
            key=f"{one.id}-{deed}",
            undo=deed == "undo",
            by=one.approved_by,
        )
        try:
            driver.send(order)
        except (Lost, Throttled) as error:
            return "again", str(error), True
        except Unsure as error:
            return "again", str(error), False
        except LeverError as error:
            # What must be taken back is tried for ever: somebody may give us the right to do it.
            return "refused" if deed == "apply" else "again", str(error), True
        except Exception as error:
            log.exception("driver %s broke", driver.name)
            return "again", f"{type(error).__name__}: {error}", False
        return "", "", True

    def _answered(self, kept: Kept, failure: Failure, said: str, sure: bool, earlier_ms: int) -> None:
        unanswered_ms = earlier_ms if sure else kept.proposal.unanswered_ms
        after = outcome(kept.proposal, failure, said, unanswered_ms)
        self.store.write(kept, after, COORDINATOR, self._now_ms(), lease=self._lease)


def _still(before: Proposal, after: Proposal, rule: str, now_ms: int) -> Proposal:
    """An approved proposal as it is told now; open again if it is no longer what was approved."""
    was, told = before.recommendation, after.recommendation
    if before.approved_by.startswith(RULE) and not rule:
        why = "the rule that approved it would not do so now"
    elif told.irreversible or (told.final and not was.final):
        why = "it was approved as one that can be taken back"
    else:
        return after
    return moved(replace(after, approved_by="", without_verdict=False), "open", why, now_ms)


def _also(before: Proposal, after: Proposal) -> Callable[[Connection], None] | None:
    if after.stage == before.stage:
        return None
    if after.stage == "kept":
        return partial(record_kept, one=after)
    return partial(record_undone, one=after) if after.stage == "rolled_back" else None
