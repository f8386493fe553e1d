"""The coordinator's metric families, from one that has been through everything once."""

import asyncio
import tempfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import httpx
from prometheus_client import Metric

from pages.reported import REPORT, birth
from tidewatt_coordinator.alerts.episodes import Standing
from tidewatt_coordinator.alerts.watch import Judged
from tidewatt_coordinator.app import Coordinator
from tidewatt_coordinator.budgets.settings import Budget
from tidewatt_coordinator.budgets.standing import Foreseen
from tidewatt_coordinator.budgets.standing import Standing as BudgetStanding
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.config import Ledger as LedgerConfig
from tidewatt_coordinator.hinting.book import PlanBook
from tidewatt_coordinator.hinting.rounds import Planner
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.hinting.topic import PlanTopics
from tidewatt_coordinator.levers.driver import Recommendation, Saving
from tidewatt_coordinator.levers.settings import Levers, PowerPolicy
from tidewatt_coordinator.observing.spending import Spent
from tidewatt_coordinator.pki.metrics import DoorMetrics
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.steering.pools import PoolPrice
from tidewatt_coordinator.steering.settings import Dispatch, Pool
from tidewatt_coordinator.steering.wheel import Power
from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Timebase


def coordinator_families() -> Iterator[Metric]:
    """Every family that a coordinator shows."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(
            ledger=LedgerConfig(url=f"sqlite:///{folder}/l.db"),
            clock=Timebase(0, 0.0, 1e-9),
            levers=Levers(power_policy=PowerPolicy(enabled=True)),
        )
        coordinator = Coordinator(config, Connection("mqtt://broker"), None)
        try:
            coordinator.fleet.born(birth(), 0)
            coordinator.fleet.reported(REPORT, 1)
            coordinator.ingest.messages["report"] += 1
            coordinator.ingest.refused["invalid"] += 1
            coordinator.ledger.take([REPORT])
            traffic, money, alarms = coordinator.traffic, coordinator.money, coordinator.alarms
            traffic.steering.said(traffic.steering.make())
            traffic.interruptions.events["interruption"] += 1
            traffic.interruptions.warned_s = traffic.interruptions.followed_s = 0.0
            traffic.plans = _plans(coordinator)
            coordinator.publisher.policy.displaced["cleared"] += 1
            alarms.costs.judged = _judged()
            amounts = {("AmazonEC2", "USD"): Decimal(1)}
            money.spending.spent = Spent(date(2026, 11, 1), amounts, amounts)
            asyncio.run(_asked(coordinator))
            money.levers.store.make(_proposal(), "")
            money.levers.tick()
            yield from (one for one in coordinator.registry.collect() if one.name.startswith("tidewatt_http"))
            yield from coordinator.metrics.collect()
            for wing in coordinator.wings:
                for collector in wing.collectors():
                    yield from (one for one in collector.collect() if one.name.startswith("tidewatt"))
            yield from DoorMetrics({"enrolled": 1}).collect()
        finally:
            coordinator.ledger.close()


async def _asked(coordinator: Coordinator) -> None:
    """One request, so that there is something to count."""
    transport = httpx.ASGITransport(coordinator.web)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        await client.get("/healthz")


def _plans(coordinator: Coordinator) -> PlanTopics:
    """A plan of that one device, with a pool of nodes."""
    pool = Pool(name="spot", kind="spot", capacity_rps=100.0, node_rps=100.0)
    power = Power(0.15, "USD", {"spot": PoolPrice(1e-6, 0.0, "")})
    planner = Planner(
        Planning(mode="observe"), Dispatch(pools=[pool]), coordinator.fleet, coordinator.engine.current,
        power, {}, lambda: None,
    )  # fmt: skip
    for minute in range(2):
        planner.make(minute * 60_000)
    book = PlanBook(coordinator.ledger.engine, "fleet")
    return PlanTopics(planner, book, coordinator.clock, lambda: False, list, "fleet")


def _judged() -> Judged:
    """A budget with an outlook, and an alert."""
    one = Decimal(1)
    budget = BudgetStanding(
        budget=Budget(name="cloud", amount=one),
        month=date(2026, 11, 1),
        spent=one,
        missing_days=0,
        foreseen=Foreseen(one, one, one),
        thresholds=(),
    )
    alert = Standing(name="a", episode=1, kind="budget", severity="warning", summary="", since_ms=0)
    return Judged([budget], [alert])


def _proposal() -> Proposal:
    one = Decimal(1)
    told = Recommendation(
        driver="driver",
        target="",
        service="",
        what="",
        before={},
        after={},
        saving=Saving(low=one, middle=one, high=one),
        disruption=0.0,
        risk="low",
        evidence=[],
    )
    return Proposal(id="p", recommendation=told, made_ms=0)
