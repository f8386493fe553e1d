"""What REST and the commands may do with proposals: look, approve, reject, take back, freeze."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.proposals import orders
from tidewatt_coordinator.proposals.pipeline import Pipeline
from tidewatt_coordinator.proposals.score import score
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.proposals.store import Kept, Proposals, Stop
from tidewatt_coordinator.sla.judging import Judge


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal as people and programs are shown it. Money is a decimal string."""

    id: str
    version: int
    """Rises with every change: the ETag."""
    service: str
    driver: str
    target: str
    what: str
    stage: str
    reason: str
    saving_low: Decimal
    saving_middle: Decimal
    saving_high: Decimal
    currency: str
    spending: Decimal | None
    score: float | None
    disruption: float
    risk: str
    irreversible: bool
    final: str
    """Not empty: it can't be taken back, and this says how to get back what it does away with."""
    dry_run: bool
    """It would not be applied, whoever approves."""
    verdict: str
    margin: float | None
    why: str
    """The verdict's sentence."""
    evidence: list[str]
    before: dict[str, Any]
    after: dict[str, Any]
    made_ms: int
    since_ms: int
    approved_by: str


class Desk:
    """One fleet's proposals, at hand. `pipeline`: None where no coordinator runs."""

    def __init__(
        self,
        store: Proposals,
        levers: Levers,
        judge: Judge | None,
        pipeline: Pipeline | None,
        now_ms: Callable[[], int],
    ) -> None:
        self.store, self.levers, self.judge, self.now_ms = store, levers, judge, now_ms
        self._pipeline = pipeline

    def shown(self, kept: Kept) -> Shown:
        """One as it is shown."""
        one, told = kept.proposal, kept.proposal.recommendation
        return Shown(
            id=one.id,
            version=kept.version,
            service=told.service,
            driver=told.driver,
            target=told.target,
            what=told.what,
            stage=one.stage,
            reason=one.reason,
            saving_low=told.saving.low,
            saving_middle=told.saving.middle,
            saving_high=told.saving.high,
            currency=told.saving.currency,
            spending=told.spending,
            score=score(told),
            disruption=told.disruption,
            risk=told.risk,
            irreversible=told.irreversible,
            final=told.final,
            dry_run=self.levers.of(told.driver).dry_run,
            verdict=one.verdict.word if one.verdict else "unknown",
            margin=one.verdict.margin if one.verdict else None,
            why=one.verdict.sentence if one.verdict else "",
            evidence=told.evidence,
            before=told.before,
            after=told.after,
            made_ms=one.made_ms,
            since_ms=one.since_ms,
            approved_by=one.approved_by,
        )

    def approve(self, name: str, by: str, *, without_verdict: bool = False, final: bool = False) -> Kept:
        """Let it be applied. NothingToDo if it can't be, ValueError for an unknown one."""
        said = {"without_verdict": without_verdict, "final": final}
        return self._order(name, by, lambda one: orders.approve(one, by, self.now_ms(), **said))

    def reject(self, name: str, by: str, why: str) -> Kept:
        """Don't do it."""
        return self._order(name, by, lambda one: orders.reject(one, by, why, self.now_ms()))

    def roll_back(self, name: str, by: str, why: str) -> Kept:
        """Take it back."""
        return self._order(name, by, lambda one: orders.roll_back(one, by, why, self.now_ms()))

    def freeze(self, by: str, why: str) -> None:
        """Stop everything but what is being taken back."""
        self.store.freeze(Stop(since_ms=self.now_ms(), author=by, reason=why))

    def look(self, driver: str = "") -> bool:
        """Have the drivers look at the next tick; False where there are none."""
        if self._pipeline is None:
            return False
        return self._pipeline.look_soon(driver)

    def _order(self, name: str, by: str, following: Callable[[Proposal], Proposal]) -> Kept:
        return self.store.order(name, following, by, self.now_ms())
