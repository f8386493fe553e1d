"""The wing of traffic: weights by marginal cost, the fleet's plan, and warnings of spot nodes."""

from collections.abc import Coroutine, Iterator

from fastapi import APIRouter
from prometheus_client.registry import Collector

from tidewatt_coordinator.hinting.metrics import PlanMetrics
from tidewatt_coordinator.hinting.rest import router as plan_router
from tidewatt_coordinator.hinting.setup import planned
from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.metrics import DispatchMetrics
from tidewatt_coordinator.steering.queue import Interruptions
from tidewatt_coordinator.steering.readings import Readings
from tidewatt_coordinator.steering.rest import router as dispatch_router
from tidewatt_coordinator.steering.setup import power
from tidewatt_coordinator.steering.wheel import Steering
from tidewatt_coordinator.wings.ground import Ground


class Traffic:
    """Who serves what."""

    def __init__(self, ground: Ground) -> None:
        config, engine = ground.config, ground.engine
        self.readings = Readings(config.dispatch, ground.clock)
        orders = Book(ground.ledger.engine, ground.name)
        self.steering = Steering(
            config.dispatch,
            engine.current,
            ground.fleet,
            power(config, ground.tariff),
            ground.clock,
            orders,
            self.readings.last,
            ground.has_heard,
        )
        self.plans = planned(
            config, ground.clock, self.steering, engine, ground.keys.signers, orders, ground.waker
        )
        self.interruptions = Interruptions(
            config.dispatch, self.steering, orders, ground.clock, engine.may_publish
        )

    def works(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """Its tasks by name."""
        yield "queries", self.readings.run(self.steering.call)
        yield "interruptions", self.interruptions.run()

    def collectors(self) -> Iterator[Collector]:
        """Its metrics."""
        yield DispatchMetrics(self.steering, self.interruptions)
        yield PlanMetrics(self.plans)

    def routers(self) -> Iterator[APIRouter]:
        """Its part of the REST API."""
        yield dispatch_router(self.steering)
        yield plan_router(self.plans.planner)
