"""The wing of money: what the edge and the cloud cost, the questions about it, and changes that save some."""

from collections.abc import Coroutine, Iterator

from fastapi import APIRouter
from prometheus_client.registry import Collector

from tidewatt_coordinator.budgets.rest import router as budget_router
from tidewatt_coordinator.costs.imports import Imports
from tidewatt_coordinator.electricity.settling import Settling
from tidewatt_coordinator.observing.spending import Spending
from tidewatt_coordinator.proposals.rest import router as proposals_router
from tidewatt_coordinator.proposals.wheel import Wheel
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.questions.rest import router as cost_router
from tidewatt_coordinator.reports.sending import Sending
from tidewatt_coordinator.simulate.rest import router as simulate_router
from tidewatt_coordinator.wings.ground import Ground


class Money:
    """What was spent, and how to spend less."""

    def __init__(self, ground: Ground) -> None:
        config, ledger, now_ms = ground.config, ground.ledger, ground.now_ms
        self.settling = Settling(
            ledger, now_ms, fleet=ground.name, sites=config.edge.sites, tariff=config.ledger.tariff
        )
        self.imports = Imports(ledger, config.costs, now_ms)
        self.reports = Sending(ledger, config, ground.clock, ground.engine.may_publish)
        self.answers = Answers(ledger, ground.name, config.costs.bill, now_ms)
        self.levers = Wheel(config, ledger, self.answers, ground.engine.lease, now_ms)
        self.spending = Spending(self.answers)
        self._ground = ground

    def works(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """Its tasks by name."""
        yield "edge charges", self.settling.run()
        yield "imports of costs", self.imports.run()
        yield "reports", self.reports.run()
        yield "levers", self.levers.run()
        yield "days' cost", self.spending.run()

    def collectors(self) -> Iterator[Collector]:
        """Its metrics."""
        yield self.levers
        yield self.spending

    def routers(self) -> Iterator[APIRouter]:
        """Its part of the REST API."""
        ground = self._ground
        yield cost_router(self.answers)
        yield proposals_router(self.levers.desk)
        yield budget_router(ground.ledger, ground.config, ground.now_ms)
        yield simulate_router(ground.config, ground.now_ms)
