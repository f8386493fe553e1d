"""The scheduled imports of costs: each source when its time has come, and how that went."""

import asyncio
import logging
import random
from collections.abc import Callable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.collect import Collector, configured
from tidewatt_coordinator.costs.schedule import Standing, failed, next_ms, succeeded
from tidewatt_coordinator.costs.settings import Costs
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.merging import Rule, merge_rows
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import cost_import

log = logging.getLogger(__name__)

#: Real seconds between two looks at whether something is due.
LOOK_EVERY_S = 30.0
HOUR_MS = 3_600_000

_COLUMNS = ("source", "tried_ms", "succeeded_ms", "failures", "charges", "error")
_NEW: dict[str, Rule] = dict.fromkeys(_COLUMNS[1:], "new")


def standings(ledger: Ledger) -> dict[str, Standing]:
    """How the imports of every source stand that was tried."""
    with ledger.engine.connect() as connection:
        rows = connection.execute(select(*(cost_import.c[name] for name in _COLUMNS))).mappings()
        return {row["source"]: Standing(**row) for row in rows}


class Imports:
    """One coordinator's; of several, one imports a source when it is due. `run` never ends by itself."""

    def __init__(
        self,
        ledger: Ledger,
        settings: Costs,
        now_ms: Callable[[], int],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`chance` gives numbers from 0 to 1."""
        self._ledger, self._settings, self._now_ms = ledger, settings, now_ms
        self._every_ms = round(settings.import_every_h * HOUR_MS)
        self._chance = {source: chance() for source in configured(settings)}

    async def run(self) -> None:
        """Import for ever what is due."""
        blind = False
        while True:
            try:
                await asyncio.to_thread(self.round)
                blind = False
            except SQLAlchemyError as error:
                if not blind:
                    log.error("imports of costs: %s", str(error).partition("\n")[0])  # noqa: TRY400
                blind = True
            await asyncio.sleep(LOOK_EVERY_S)

    def round(self) -> list[str]:
        """Import the sources that are due; which those were."""
        if not self._every_ms:
            return []
        return [source for source in self._chance if self._import(source)]

    def families(self) -> Iterator[Metric]:
        """What Prometheus sees of it."""
        known = standings(self._ledger)
        for name, meaning, value in (
            ("last_success_timestamp_seconds", "When a source's costs were last imported", _success_s),
            ("failures", "Scheduled imports in a row that failed", _failures),
            ("charges", "Charges that the last import brought", _charges),
        ):
            family = GaugeMetricFamily(f"tidewatt_costs_import_{name}", meaning, labels=["source"])
            for source in self._chance:
                family.add_metric([source], value(known.get(source, Standing(source=source))))
            yield family

    def _import(self, source: str) -> bool:
        before = self._claimed(source)
        if before is None:
            return False
        now_ms = self._now_ms()
        try:
            taken = Collector(self._settings, Charges(self._ledger.engine), now_ms).take(source, None)
        except (CostError, OSError) as error:
            after = failed(before, str(error), self._now_ms())
            if not before.failures:
                log.error("import of %s: %s", source, after.error)  # noqa: TRY400
        else:
            after = succeeded(before, taken.charges, self._now_ms())
            if before.failures:
                log.warning("import of %s: recovered", source)
        self._ledger.transact(lambda connection: _keep(connection, after))
        return True

    def _claimed(self, source: str) -> Standing | None:
        """How it stood, if it is due and nobody else has begun; it counts as tried from now on."""

        def claimed(connection: Connection) -> Standing | None:
            columns = (cost_import.c[name] for name in _COLUMNS)
            mine = select(*columns).where(cost_import.c.source == source).with_for_update()
            row = connection.execute(mine).mappings().first()
            before = Standing(**row) if row else Standing(source=source)
            now_ms = self._now_ms()
            if now_ms < next_ms(before, self._every_ms, self._chance[source]):
                return None
            tried = failed(before, before.error or "it was broken off", now_ms)
            _keep(connection, tried)
            return before

        found: Standing | None = self._ledger.transact(claimed)
        return found


def _keep(connection: Connection, standing: Standing) -> None:
    merge_rows(connection, cost_import, _NEW, [tuple(getattr(standing, name) for name in _COLUMNS)])


def _success_s(standing: Standing) -> float:
    return standing.succeeded_ms / 1000


def _failures(standing: Standing) -> float:
    return standing.failures


def _charges(standing: Standing) -> float:
    return standing.charges
