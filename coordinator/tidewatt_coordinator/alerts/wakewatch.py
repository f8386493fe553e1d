"""The look at who should be awake by now, and who woke unwell: alerts raised and ended, as those of money."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.alerts.episodes import Standing, changes
from tidewatt_coordinator.alerts.overdue import of_sleepers
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.telling import real_time_ms
from tidewatt_coordinator.alerts.troubles import Sleeper
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.waking import Waker
from tidewatt_wire.messages import AlertKind

log = logging.getLogger(__name__)

KINDS: tuple[AlertKind, ...] = ("sleep", "unwell")
#: Real seconds between two looks: they are cheap, and somebody has to go there.
EVERY_S = 2.0


class WakeWatch:
    """Of several coordinators the one that may, looks. `run` never ends by itself."""

    def __init__(
        self,
        book: AlertBook,
        fleet: Fleet,
        targets: Sequence[str],
        now_ms: Callable[[], int],
        may: Callable[[], bool] = lambda: True,
        has_heard: Callable[[], bool] = lambda: True,
        real_ms: Callable[[], int] = real_time_ms,
        waker: Waker | None = None,
    ) -> None:
        """`has_heard`: whether the coordinator has listened for long enough to know who is awake."""
        self._waker = waker
        self._book, self._fleet, self._targets, self._now_ms = book, fleet, targets, now_ms
        self._may, self._has_heard, self._real_ms = may, has_heard, real_ms
        self._failing = False
        self._judged: list[Sleeper] | None = None
        self.overdue: list[str] = []
        """Who was overdue at the last look."""

    async def run(self) -> None:
        """Look for ever; a failed look is news once, and the next one tries again."""
        while True:
            try:
                if not self._may():
                    self._judged = None  # another one looks, and may leave us its alerts
                elif self._has_heard():
                    await asyncio.to_thread(self.look)
                    if self._waker:
                        await self._waker.wake(self.overdue, "it has missed its wake time")
            except SQLAlchemyError as error:
                if not self._failing:
                    log.error("who is overdue can't be kept: %s", str(error).partition("\n")[0])  # noqa: TRY400
                self._failing = True
            else:
                self._failing = False
            await asyncio.sleep(EVERY_S)

    def look(self) -> list[Standing]:
        """One look; the alerts that are news."""
        now_ms, sites = self._now_ms(), self._fleet.sites()
        sleepers = [
            Sleeper(
                device=name,
                site=sites.get(name, ""),
                overdue=self._fleet.status(name, now_ms) == "overdue",
                state=device.sleep,
            )
            for name, device in self._fleet.known()
            if device.sleep
        ]
        self.overdue = [one.device for one in sleepers if one.overdue]
        if sleepers == self._judged:
            return []  # no database is asked while nothing is new
        last = self._book.last()
        found = list(changes(last, of_sleepers(sleepers, last), KINDS, now_ms))
        told = self._book.apply(found, self._targets, now_ms, self._real_ms())
        self._judged = sleepers
        for one in told:
            log.warning("alert %s %s: %s", one.name, one.state, one.summary)
        return told
