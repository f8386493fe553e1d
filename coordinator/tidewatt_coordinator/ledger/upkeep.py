"""What keeps the ledger in order: rolling up, partitions, retention, the copy of the hours."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.ledger.compared import Models, compare_changed, trim, waiting
from tidewatt_coordinator.ledger.daybook import place
from tidewatt_coordinator.ledger.keeping import forget, part
from tidewatt_coordinator.ledger.rolled import DAY_MS
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger

log = logging.getLogger(__name__)

#: Real seconds between two rounds, at the least; and a round's own length so often, in between: of
#: 10,000 devices it takes seconds of one core, which belong to the merging first.
EVERY_S, REST = 10.0, 9.0
#: Comparing with fixed modes takes a minute of a core for 10,000 devices: it rests so many times as long.
COMPARING_REST = 19.0
#: So few lives that changed are reckoned with at once when somebody looks.
FEW = 20
#: Partitions, retention and the copy of the hours: real seconds between two times.
SELDOM_S = 600.0


class Upkeep:
    """One coordinator's; several may do it at once. `run` never ends by itself."""

    def __init__(
        self,
        ledger: Ledger,
        config: LedgerConfig,
        sites: Callable[[], Mapping[str, str]],
        now_ms: Callable[[], int],
        models: Callable[[], Models],
    ) -> None:
        """`sites`: where each device stands, as far as it has said so; `models`: what each can do."""
        self._models = models
        self._compared_s = (float("-inf"), 0.0)
        self._ledger, self._config = ledger, config
        self._sites, self._now_ms = sites, now_ms
        self._seldom_s = float("-inf")
        self.failing = False
        """Whether the last round failed."""

    async def run(self) -> None:
        """Keep it up for ever; a failed round is news once, and the next one tries again."""
        while True:
            start = time.monotonic()
            try:
                await asyncio.to_thread(self.round, start)
            except (SQLAlchemyError, OSError, RuntimeError) as error:
                if not self.failing:
                    log.error("ledger upkeep: %s", str(error).partition("\n")[0])  # noqa: TRY400
                self.failing = True
            else:
                if self.failing:
                    log.warning("ledger upkeep: recovered")
                self.failing = False
            await asyncio.sleep(max(EVERY_S, REST * (time.monotonic() - start)))

    def catch_up(self) -> None:
        """Reckon with what changed since the last round if it is little: a small fleet is up to date."""
        if 0 < waiting(self._ledger, FEW + 1) <= FEW:
            roll_up(self._ledger)
            compare_changed(self._ledger, self._models())

    def round(self, at_s: float) -> None:
        """One round; `at_s` is monotonic real time."""
        seldom = at_s - self._seldom_s >= SELDOM_S
        if seldom:
            part(self._ledger, self._now_ms())
        place(self._ledger, self._sites())
        roll_up(self._ledger)
        ended_s, took_s = self._compared_s
        if at_s - ended_s >= COMPARING_REST * took_s:
            begun_s = time.monotonic()
            compare_changed(self._ledger, self._models())
            self._compared_s = (at_s, time.monotonic() - begun_s)
        if seldom:
            trim(self._ledger)
            forget(self._ledger, self._now_ms() - self._config.keep_days * DAY_MS)
            if self._config.hours_folder:
                from tidewatt_coordinator.ledger.adhoc import HourCopy  # noqa: PLC0415 - DuckDB is large

                HourCopy(self._ledger, Path(self._config.hours_folder)).refresh()
            self._seldom_s = at_s
