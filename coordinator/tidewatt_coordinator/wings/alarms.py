"""The wing of alarms: what somebody should be told, and the telling."""

from collections.abc import Coroutine, Iterator

from fastapi import APIRouter
from prometheus_client import ProcessCollector
from prometheus_client.registry import Collector

from tidewatt_coordinator.alerts.leverwatch import LeverWatch
from tidewatt_coordinator.alerts.metrics import AlertMetrics
from tidewatt_coordinator.alerts.rest import router as alert_router
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.telling import Telling, tellers
from tidewatt_coordinator.alerts.wakewatch import WakeWatch
from tidewatt_coordinator.alerts.watch import Watch
from tidewatt_coordinator.anomalies.rest import router as anomaly_router
from tidewatt_coordinator.budgets.outlook import FORECAST
from tidewatt_coordinator.observing.database import DatabaseMetrics
from tidewatt_coordinator.observing.health import HealthMetrics
from tidewatt_coordinator.observing.rest import router as discovery_router
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.wings.ground import Ground


class Alarms:
    """Budgets and anomalies, boards that oversleep, changes that went wrong, and the outbox of all alerts."""

    def __init__(self, ground: Ground) -> None:
        config, connection, engine = ground.config, ground.connection, ground.engine
        self._ground, self._database = ground, DatabaseMetrics(ground.ledger.engine)
        self._book = book = AlertBook(ground.ledger.engine, ground.name)
        self.costs = Watch(book, ground.ledger.engine, config, ground.clock, engine.may_publish, FORECAST)
        self.waking = WakeWatch(
            book,
            ground.fleet,
            config.alerts.targets,
            ground.now_ms,
            engine.may_publish,
            ground.has_heard,
            waker=ground.waker,
        )
        store = Proposals(ground.ledger.engine, ground.name)
        targets = config.alerts.targets
        self.levers = LeverWatch(book, store, config.levers, targets, ground.now_ms, engine.may_publish)
        self.telling = Telling(book, tellers(config.alerts, connection, ground.called), engine.may_publish)

    def works(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """Its tasks by name."""
        yield "costs", self.costs.run()
        yield "overdue boards", self.waking.run()
        yield "changes that went wrong", self.levers.run()
        yield "alerts", self.telling.run()

    def collectors(self) -> Iterator[Collector]:
        """Its metrics."""
        ground = self._ground
        yield AlertMetrics(self.costs, self.telling)
        yield HealthMetrics(ground.ingest, ground.fleet, ground.now_ms)
        yield self._database
        yield ProcessCollector(registry=None)

    def routers(self) -> Iterator[APIRouter]:
        """Its part of the REST API."""
        yield discovery_router(self._ground.name, self._ground.fleet, self._ground.now_ms)
        yield alert_router(self._book, self._ground.now_ms)
        yield anomaly_router(self._ground.ledger, self._ground.config, self._ground.now_ms)
