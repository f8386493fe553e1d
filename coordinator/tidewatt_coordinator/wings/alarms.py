"""The wing of alarms: what somebody should be told, and the telling."""

from collections.abc import Coroutine, Iterator

from fastapi import APIRouter
from prometheus_client.registry import Collector

from tidewatt_coordinator.alerts.metrics import AlertMetrics
from tidewatt_coordinator.alerts.rest import router as alert_router
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.telling import Telling, tellers
from tidewatt_coordinator.alerts.wakewatch import WakeWatch
from tidewatt_coordinator.alerts.watch import Watch
from tidewatt_coordinator.anomalies.rest import router as anomaly_router
from tidewatt_coordinator.budgets.outlook import FORECAST
from tidewatt_coordinator.wings.ground import Ground


class Alarms:
    """Budgets and anomalies, boards that oversleep, and the outbox of all alerts."""

    def __init__(self, ground: Ground) -> None:
        config, connection, engine = ground.config, ground.connection, ground.engine
        self._ground, self._book = ground, AlertBook(ground.ledger.engine, ground.name)
        book = self._book
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
        self.telling = Telling(book, tellers(config.alerts, connection, ground.called), engine.may_publish)

    def works(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """Its tasks by name."""
        yield "costs", self.costs.run()
        yield "overdue boards", self.waking.run()
        yield "alerts", self.telling.run()

    def collectors(self) -> Iterator[Collector]:
        """Its metrics."""
        yield AlertMetrics(self.costs, self.telling)

    def routers(self) -> Iterator[APIRouter]:
        """Its part of the REST API."""
        yield alert_router(self._book, self._ground.now_ms)
        yield anomaly_router(self._ground.ledger, self._ground.config, self._ground.now_ms)
