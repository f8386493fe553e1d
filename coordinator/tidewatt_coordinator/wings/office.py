"""The wing of the office: what people look up, and whether all is well."""

from collections.abc import Coroutine, Iterator

from fastapi import APIRouter
from prometheus_client.registry import Collector

from tidewatt_coordinator.audit.guard import Guard
from tidewatt_coordinator.audit.metrics import AuditMetrics
from tidewatt_coordinator.audit.rest import router as audit_router
from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.rollout.journal import Journal
from tidewatt_coordinator.rollout.roster import Roster
from tidewatt_coordinator.steering.wheel import Steering
from tidewatt_coordinator.web import devices, health, quarantine, rollouts
from tidewatt_coordinator.wings.ground import Ground
from tidewatt_wire.messages import DispatchTable


class Office:
    """Devices, rollouts, the quarantine, and the coordinator's own health."""

    def __init__(self, ground: Ground, steering: Steering) -> None:
        self._ground, self._steering = ground, steering
        self._database = ground.ledger.engine
        self.trail = Trail(self._database)
        self.guard = Guard(self.trail, ground.connection, ground.config, ground.engine.may_publish)

    def works(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """Its tasks by name."""
        yield "audit", self.guard.run()
        if self._ground.replicas:
            yield "replicas", self._ground.replicas.run()

    def collectors(self) -> Iterator[Collector]:
        """Its metrics."""
        yield AuditMetrics(self.guard)

    def routers(self) -> Iterator[APIRouter]:
        """Its part of the REST API."""
        ground, engine = self._ground, self._ground.engine
        yield health.router(ground.ledger, lambda: ground.ingest.connected, engine.lease.held)
        yield devices.router(ground.fleet, ground.ledger, engine.current, self._table, ground.now_ms)
        yield quarantine.router(ground.ledger)
        yield audit_router(self.trail)
        journal, roster = Journal(self._database, ground.name), Roster(self._database, ground.name)
        yield rollouts.router(journal, roster, lambda: engine.standing)

    def _table(self) -> DispatchTable | None:
        return self._steering.last.message if self._steering.last else None
