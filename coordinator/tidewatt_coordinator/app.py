"""Everything the coordinator is, in order: broker, ledger, ingest, policy, publisher, API."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import sdnotify
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from tidewatt_coordinator import broker
from tidewatt_coordinator.alerts.metrics import AlertMetrics
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.telling import Telling, tellers
from tidewatt_coordinator.alerts.wakewatch import WakeWatch
from tidewatt_coordinator.alerts.watch import Watch
from tidewatt_coordinator.budgets.outlook import FORECAST
from tidewatt_coordinator.budgets.rest import router as budget_router
from tidewatt_coordinator.config import Config, host_port
from tidewatt_coordinator.costs.imports import Imports
from tidewatt_coordinator.electricity.settling import Settling
from tidewatt_coordinator.energytopic import EnergyTopics
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.hinting.metrics import PlanMetrics
from tidewatt_coordinator.hinting.rest import router as plan_router
from tidewatt_coordinator.hinting.setup import planned
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.ledger.account import Account, account
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tariff import Tariff, load_tariff
from tidewatt_coordinator.ledger.upkeep import Upkeep
from tidewatt_coordinator.metrics import CoordinatorMetrics
from tidewatt_coordinator.models.folder import ModelFolder
from tidewatt_coordinator.pki.door import Door
from tidewatt_coordinator.pki.folder import Folder
from tidewatt_coordinator.pki.issuing import Issuing
from tidewatt_coordinator.pki.listener import Listener, Server
from tidewatt_coordinator.pki.metrics import DoorMetrics
from tidewatt_coordinator.pki.register import Register
from tidewatt_coordinator.presence import Presence
from tidewatt_coordinator.proposals.rest import router as proposals_router
from tidewatt_coordinator.proposals.wheel import Wheel
from tidewatt_coordinator.publisher import Publisher
from tidewatt_coordinator.questions.answers import Answers
from tidewatt_coordinator.questions.rest import router as cost_router
from tidewatt_coordinator.reports.sending import Sending
from tidewatt_coordinator.rollout.engine import Engine
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.rollout.standing import Attached
from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.metrics import DispatchMetrics
from tidewatt_coordinator.steering.queue import Interruptions
from tidewatt_coordinator.steering.readings import Readings
from tidewatt_coordinator.steering.rest import router as dispatch_router
from tidewatt_coordinator.steering.setup import power
from tidewatt_coordinator.steering.wheel import Steering
from tidewatt_coordinator.waking import Waker
from tidewatt_coordinator.web import api
from tidewatt_coordinator.web.models import FleetNow
from tidewatt_coordinator.web.view import fleet_now
from tidewatt_link.connection import Connection
from tidewatt_link.stopping import eternal
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import PolicySet

log = logging.getLogger(__name__)

#: Real seconds between two looks at whether everything still lives.
CHECK_EVERY_S = 0.5
#: Real seconds that a part may take to end.
GOODBYE_S = 5.0


class Coordinator:
    """The parts of a running coordinator, built by `running` and by nobody else."""

    def __init__(
        self, config: Config, connection: Connection, progress: Callable[[int], float] | None
    ) -> None:
        self.clock = Clock(time.monotonic, time.time, config.clock)
        self.tariff: Tariff = load_tariff(config.ledger.tariff)
        self.ledger = Ledger(config.ledger.url, config.ledger.bucket_s * 1000)
        self.fleet = Fleet(round(config.dispatch.stale_after_s * 1000))
        self.lease = _lease(config, self.ledger)
        keys, models = KeyFolder(Path(config.policy_keys.folder)), ModelFolder(Path(config.models.folder))
        self.ingest = Ingest(
            connection,
            config.coordinator.fleet,
            self.fleet,
            self.ledger,
            self.clock.now_ms,
            config.coordinator.called,
        )
        self.engine = Engine(
            self.ledger,
            self.fleet,
            config.coordinator.fleet,
            config.policy,
            self.clock.now_ms,
            self.lease,
            lambda: Attached(keys=keys.told(), models=[one.model for one in models.offered()]),
            # A device counts as silent after so long: one that listens for less can't know.
            lambda: self.ingest.has_heard(self.fleet.stale_after_ms),
            lambda: self.publisher.policy.found,
        )
        self.upkeep = Upkeep(
            self.ledger,
            config.ledger,
            self.fleet.sites,
            self.clock.now_ms,
            lambda: partial(self.fleet.model, self.policies),
        )
        self.settling = Settling(
            self.ledger,
            self.clock.now_ms,
            fleet=config.coordinator.fleet,
            sites=config.edge.sites,
            tariff=config.ledger.tariff,
        )
        self.imports = Imports(self.ledger, config.costs, self.clock.now_ms)
        self.readings = Readings(config.dispatch, self.clock)
        orders = Book(self.ledger.engine, config.coordinator.fleet)
        self.steering = Steering(
            config.dispatch,
            self.engine.current,
            self.fleet,
            power(config, self.tariff),
            self.clock,
            orders,
            self.readings.last,
            lambda: self.ingest.has_heard(self.fleet.stale_after_ms),
        )
        self.plans = planned(config, self.clock, self.steering, self.engine, keys.signers, orders)
        self.interruptions = Interruptions(
            config.dispatch, self.steering, orders, self.clock, self.engine.may_publish
        )
        self.publisher = Publisher(
            connection,
            self.engine.current,
            self.steering,
            self.clock,
            self.engine.may_publish,
            keys.signers,
            models,
            config.coordinator.called,
            EnergyTopics(config, self.ledger.engine, self.clock),
            self.plans,
        )
        self.engine.tick()  # so that what stands is known, and may be published, from the first connection on
        self.presence = Presence(connection, config.coordinator.fleet, self.clock)
        book = AlertBook(self.ledger.engine, config.coordinator.fleet)
        self.costs = Watch(book, self.ledger.engine, config, self.clock, self.engine.may_publish, FORECAST)
        self.waking = WakeWatch(
            book,
            self.fleet,
            config.alerts.targets,
            self.clock.now_ms,
            self.engine.may_publish,
            lambda: self.ingest.has_heard(self.fleet.stale_after_ms),
            waker=Waker(
                connection,
                self.fleet,
                self.engine.current,
                keys.signers,
                self.clock.now_ms,
                config.coordinator.called,
            ),
        )
        self.telling = Telling(
            book, tellers(config.alerts, connection, config.coordinator.called), self.engine.may_publish
        )
        self.reports = Sending(self.ledger, config, self.clock, self.engine.may_publish)
        self._progress = progress
        self.metrics = CoordinatorMetrics(
            self.ingest, self.fleet, self.ledger, self.publisher, self.engine, self.imports, self.clock.now_ms
        )
        self.registry = CollectorRegistry()
        self.registry.register(self.metrics)
        self.registry.register(AlertMetrics(self.costs, self.telling))
        self.registry.register(DispatchMetrics(self.steering, self.interruptions))
        self.registry.register(PlanMetrics(self.plans))
        answers = Answers(self.ledger, config.coordinator.fleet, config.costs.bill, self.clock.now_ms)
        self.levers = Wheel(config, self.ledger, answers, self.engine.lease, self.clock.now_ms)
        self.registry.register(self.levers)
        self.web: FastAPI = api.build(
            self.now,
            self.registry,
            cost_router(answers),
            dispatch_router(self.steering),
            plan_router(self.plans.planner),
            proposals_router(self.levers.desk),
            budget_router(self.ledger, config, self.clock.now_ms),
        )

        self._tasks: list[asyncio.Task[None]] = []
        self._own_broker: broker.EmbeddedBroker | None = None

    def watch(self, tasks: "list[asyncio.Task[None]]", own_broker: broker.EmbeddedBroker | None) -> None:
        """Remember what must not end."""
        self._tasks, self._own_broker = tasks, own_broker

    def check(self) -> None:
        """Raise what broke if a task or the embedded broker has ended."""
        if self._own_broker:
            self._own_broker.check()
        for task in self._tasks:
            if task.done():
                task.result()

    @property
    def policies(self) -> PolicySet:
        """The policy set that stands."""
        return self.engine.current()

    def account(self) -> Account:
        """The fleet's account, from the ledger."""
        self.upkeep.catch_up()
        return account(self.ledger, self.tariff)

    def now(self) -> FleetNow:
        """The fleet as the API shows it."""
        progress = self._progress(self.clock.now_ms()) if self._progress else None
        return fleet_now(
            self.fleet,
            self.account(),
            self.policies,
            self.publisher.table,
            self.clock,
            progress,
            self.steering.obstacle,
        )


@contextlib.asynccontextmanager
async def running(
    config: Config, progress: Callable[[int], float] | None = None
) -> AsyncIterator[Coordinator]:
    """A coordinator at work while the context lasts; `check` it now and then.

    Raises broker.PortTakenError, BrokerEndedError, LedgerError, DocumentError or OSError when
    it can't begin.
    """
    host, port = host_port(config.coordinator.listen)
    with contextlib.ExitStack() as stack:
        door_socket = _door_socket(config, stack)
        listener = stack.enter_context(broker.listening_socket(host, port, "coordinator.listen"))
        own_broker = None
        if not config.broker.url:
            own_broker = stack.enter_context(broker.embedded(config.broker.embedded_port))
        url = own_broker.url if own_broker else config.broker.url
        coordinator = Coordinator(config, Connection(url, config.broker, setting="broker.url"), progress)
        stack.callback(coordinator.ledger.close)
        server = Server(
            uvicorn.Config(coordinator.web, log_level="warning", access_log=False, log_config=None)
        )
        door = _door(config, coordinator) if door_socket else None
        serving = [asyncio.create_task(eternal("web", server.serve(sockets=[listener])))]
        if door and door_socket:
            serving.append(asyncio.create_task(eternal("enrolment", door.run(door_socket))))
        tasks = [
            *serving,
            asyncio.create_task(eternal("ingest", coordinator.ingest.run())),
            asyncio.create_task(eternal("upkeep", coordinator.upkeep.run())),
            asyncio.create_task(eternal("edge charges", coordinator.settling.run())),
            asyncio.create_task(eternal("imports of costs", coordinator.imports.run())),
            asyncio.create_task(eternal("policy", coordinator.engine.run())),
            asyncio.create_task(eternal("publisher", coordinator.publisher.run())),
            asyncio.create_task(eternal("queries", coordinator.readings.run(coordinator.steering.call))),
            asyncio.create_task(eternal("interruptions", coordinator.interruptions.run())),
            asyncio.create_task(eternal("costs", coordinator.costs.run())),
            asyncio.create_task(eternal("overdue boards", coordinator.waking.run())),
            asyncio.create_task(eternal("alerts", coordinator.telling.run())),
            asyncio.create_task(eternal("reports", coordinator.reports.run())),
            asyncio.create_task(eternal("levers", coordinator.levers.run())),
            asyncio.create_task(eternal("presence", coordinator.presence.run())),
        ]
        coordinator.watch(tasks, own_broker)
        try:
            while not (server.started and (door is None or door.server.started)):
                coordinator.check()
                await asyncio.sleep(0.01)
            yield coordinator
        finally:
            server.should_exit = True
            if door:
                door.server.should_exit = True
            await asyncio.wait(serving, timeout=3.0)
            await _end(tasks)


def _door_socket(config: Config, stack: contextlib.ExitStack) -> socket.socket | None:
    if not config.enroll.listen:
        return None
    host, port = host_port(config.enroll.listen)
    return stack.enter_context(broker.listening_socket(host, port, "enroll.listen"))


def _lease(config: Config, ledger: Ledger) -> Lease:
    # Real time even under a virtual clock: it is about processes that die, not about fleets.
    holder = f"{socket.gethostname()}:{os.getpid()}"[:100]
    lasts_ms = round(config.coordinator.lease_s * 1000)
    name = f"policy:{config.coordinator.fleet}"
    return Lease(ledger.engine, name, holder, lasts_ms, lambda: int(time.time() * 1000))


def _door(config: Config, coordinator: Coordinator) -> Listener:
    folder = Folder(config.enroll.folder)
    issuing = Issuing(
        folder.authority(),
        Register(coordinator.ledger.engine),
        fleet=config.coordinator.fleet,
        broker=config.enroll.broker or config.broker.url,
        days=config.enroll.device_days,
        policy_keys=lambda: [one.trusted for one in KeyFolder(Path(config.policy_keys.folder)).signers()],
        now_ms=lambda: round(time.time() * 1000),  # TLS lives in real time, whatever the fleet's is
    )
    door = Door(issuing)
    coordinator.registry.register(DoorMetrics(door.answers))
    return Listener(door, folder, config.enroll)


async def serve(config: Config) -> None:
    """Be the coordinator until SIGTERM or SIGINT; raises what broke if a part of it ends."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(config) as coordinator:
        log.info("coordinator on http://%s", config.coordinator.listen)
        if not config.broker.url:
            log.warning(
                "the embedded broker is for laptops and demos only: no TLS, no access control, nothing kept; "
                "set broker.url for a fleet"
            )
        systemd = sdnotify.SystemdNotifier()
        systemd.notify("READY=1")
        while not stop.is_set():
            coordinator.check()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), CHECK_EVERY_S)
        systemd.notify("STOPPING=1")


async def _end(tasks: "list[asyncio.Task[None]]") -> None:
    # Twice, because a client whose broker is gone may turn the first cancellation into an error.
    for _ in range(2):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=GOODBYE_S)
