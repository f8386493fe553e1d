"""The look at changes of settings that went wrong: alerts raised and ended, as those of money are."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.alerts.episodes import Standing, changes
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.stuck import TOLD_MS, Trouble, of_troubles, trouble
from tidewatt_coordinator.alerts.telling import real_time_ms
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.proposals.state import BEGUN
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_wire.messages import AlertKind

log = logging.getLogger(__name__)

KINDS: tuple[AlertKind, ...] = ("proposal",)
#: Real seconds between two looks.
EVERY_S = 30.0


class LeverWatch:
    """Of several coordinators the one that may, looks. `run` never ends by itself."""

    def __init__(
        self,
        book: AlertBook,
        store: Proposals,
        levers: Levers,
        targets: Sequence[str],
        now_ms: Callable[[], int],
        may: Callable[[], bool] = lambda: True,
        real_ms: Callable[[], int] = real_time_ms,
    ) -> None:
        self._book, self._store, self._levers, self._targets = book, store, levers, targets
        self._now_ms, self._may, self._real_ms = now_ms, may, real_ms
        self._failing = False

    async def run(self) -> None:
        """Look for ever; a failed look is news once, and the next one tries again."""
        while True:
            try:
                if self._may():
                    await asyncio.to_thread(self.look)
            except (SQLAlchemyError, msgspec.ValidationError) as error:
                if not self._failing:
                    log.error("which changes went wrong can't be seen: %s", str(error).partition("\n")[0])  # noqa: TRY400
                self._failing = True
            else:
                if self._failing:
                    log.warning("which changes went wrong is seen again")
                self._failing = False
            await asyncio.sleep(EVERY_S)

    def look(self) -> list[Standing]:
        """One look; the alerts that are news."""
        now_ms, last = self._now_ms(), self._book.last()
        found = list(self._found(now_ms))
        opened = [one for one in last.values() if one.kind in KINDS and one.ended_ms is None]
        if not found and not opened:
            return []
        over = {one.name: self._became(one) for one in opened}
        told = self._book.apply(
            list(changes(last, of_troubles(found, over, last), KINDS, now_ms)),
            self._targets,
            now_ms,
            self._real_ms(),
        )
        for one in told:
            log.warning("alert %s %s: %s", one.name, one.state, one.summary)
        return told

    def _found(self, now_ms: int) -> Iterator[Trouble]:
        ended = self._store.lately(("failed", "foreign", "kept"), now_ms - TOLD_MS)
        for one in (kept.proposal for kept in (*self._store.of(BEGUN), *ended)):
            lever = self._levers.of(one.recommendation.driver)
            terms = round(lever.deadline_s * 1000), round(lever.guard_s * 1000)
            if wrong := trouble(one, *terms, now_ms):
                yield wrong

    def _became(self, alert: Standing) -> str:
        if "proposal" not in alert.details:
            return f"{alert.details['driver']}: the rest of its changes have alerts of their own, or are over"
        try:
            one = self._store.get(alert.details["proposal"]).proposal
        except ValueError:
            return "its proposal is gone"
        if one.stage in ("failed", "foreign", "kept"):
            return f"{alert.details['driver']}: {one.id} is {one.stage}, and has been told for three days"
        return f"{alert.details['driver']}: {one.id} is {one.stage}: {one.reason}"
