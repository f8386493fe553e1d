"""Everything the coordinator is, in order: broker, ledger, ingest, policy, publisher, API."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from itertools import chain

import sdnotify
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from tidewatt_coordinator import broker
from tidewatt_coordinator.access.first import show_first_key
from tidewatt_coordinator.access.serving import served
from tidewatt_coordinator.audit.actor import Actor, act_as
from tidewatt_coordinator.collecting import collect_seldom
from tidewatt_coordinator.config import Config, host_port
from tidewatt_coordinator.energytopic import EnergyTopics
from tidewatt_coordinator.ledger.account import Account, account
from tidewatt_coordinator.metrics import CoordinatorMetrics
from tidewatt_coordinator.pki.door import Door
from tidewatt_coordinator.pki.folder import Folder
from tidewatt_coordinator.pki.issuing import Issuing
from tidewatt_coordinator.pki.listener import Listener
from tidewatt_coordinator.pki.metrics import DoorMetrics
from tidewatt_coordinator.pki.register import Register
from tidewatt_coordinator.presence import Presence
from tidewatt_coordinator.publisher import Publisher
from tidewatt_coordinator.web import api
from tidewatt_coordinator.web.models import FleetNow
from tidewatt_coordinator.web.view import fleet_now
from tidewatt_coordinator.wings import Wing
from tidewatt_coordinator.wings.alarms import Alarms
from tidewatt_coordinator.wings.entry import Entry
from tidewatt_coordinator.wings.ground import Ground
from tidewatt_coordinator.wings.money import Money
from tidewatt_coordinator.wings.office import Office
from tidewatt_coordinator.wings.traffic import Traffic
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended, within
from tidewatt_link.stopping import eternal
from tidewatt_wire.messages import PolicySet

log = logging.getLogger(__name__)

#: Real seconds between two looks at whether everything still lives.
CHECK_EVERY_S = 0.5
#: Real seconds that a part may take to end.
GOODBYE_S = 5.0


class Coordinator:
    """A running coordinator, built by `running` and by nobody else."""

    def __init__(
        self, config: Config, connection: Connection, progress: Callable[[int], float] | None
    ) -> None:
        self.ground = ground = Ground(config, connection)
        self.clock, self.ledger, self.fleet = ground.clock, ground.ledger, ground.fleet
        self.ingest, self.engine = ground.ingest, ground.engine
        self.traffic, self.money, self.alarms = Traffic(ground), Money(ground), Alarms(ground)
        self.entry, self.office = Entry(ground), Office(ground, self.traffic.steering)
        self.publisher = Publisher(
            connection,
            ground.engine.current,
            self.traffic.steering,
            ground.clock,
            ground.engine.may_publish,
            ground.keys.signers,
            ground.models,
            ground.called,
            EnergyTopics(config, ground.ledger.engine, ground.clock),
            self.traffic.plans,
        )
        ground.found = lambda: self.publisher.policy.found
        # So that what stands is known, and may be published, from the first connection on.
        ground.engine.tick()
        self.presence = Presence(connection, ground.name, ground.clock)
        self._progress = progress
        self.metrics = CoordinatorMetrics(
            ground.ingest, ground.fleet, ground.ledger, self.publisher, ground.engine, self.money.imports,
            ground.now_ms,
        )  # fmt: skip
        self.registry = CollectorRegistry()
        for collector in (self.metrics, *chain.from_iterable(wing.collectors() for wing in self.wings)):
            self.registry.register(collector)
        routers = chain.from_iterable(wing.routers() for wing in self.wings)
        self.web: FastAPI = api.build(
            self.now, self.registry, self.entry.gate, *routers, settings=config.rest
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._own_broker: broker.EmbeddedBroker | None = None

    @property
    def wings(self) -> tuple[Wing, ...]:
        """All of them."""
        return self.traffic, self.money, self.alarms, self.entry, self.office

    def works(self) -> Iterator[tuple[str, Coroutine[object, object, None]]]:
        """Every task that should never end, by name, but for the doors'."""
        yield "ingest", self.ingest.run()
        yield "upkeep", self.ground.upkeep.run()
        yield "policy", self.engine.run()
        yield "publisher", self.publisher.run()
        yield "presence", self.presence.run()
        if self.ground.words.trust:
            yield "device trust", self.ground.words.trust.run()
        for wing in self.wings:
            yield from wing.works()

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
        self.ground.upkeep.catch_up()
        return account(self.ledger, self.ground.tariff)

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
            self.traffic.steering.obstacle,
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
    act_as(Actor(config.coordinator.called, "coordinator"))
    with contextlib.ExitStack() as stack:
        door_socket = _door_socket(config, stack)
        listener = stack.enter_context(broker.listening_socket(host, port, "coordinator.listen"))
        own_broker = None
        if not config.broker.url:
            own_broker = stack.enter_context(broker.embedded(config.broker.embedded_port))
        url = own_broker.url if own_broker else config.broker.url
        coordinator = Coordinator(config, Connection(url, config.broker, setting="broker.url"), progress)
        stack.callback(coordinator.ledger.close)
        server = served(coordinator.web, config.web)
        door = _door(config, coordinator) if door_socket else None
        serving = [asyncio.create_task(eternal("web", server.serve(sockets=[listener])))]
        if door and door_socket:
            serving.append(asyncio.create_task(eternal("enrolment", door.run(door_socket))))
        tasks = [
            *serving,
            *(asyncio.create_task(eternal(name, work)) for name, work in coordinator.works()),
        ]
        coordinator.watch(tasks, own_broker)
        try:
            while not (server.started and (door is None or door.server.started)):
                coordinator.check()
                await asyncio.sleep(0.01)
            yield coordinator
        finally:
            coordinator.web.state.streams.end()
            server.should_exit = True
            if door:
                door.server.should_exit = True
            await asyncio.wait(serving, timeout=3.0)
            await ended(*tasks, times=2, again_s=GOODBYE_S)


def _door_socket(config: Config, stack: contextlib.ExitStack) -> socket.socket | None:
    if not config.enroll.listen:
        return None
    host, port = host_port(config.enroll.listen)
    return stack.enter_context(broker.listening_socket(host, port, "enroll.listen"))


def _door(config: Config, coordinator: Coordinator) -> Listener:
    folder = Folder(config.enroll.folder)
    issuing = Issuing(
        folder.authority(),
        Register(coordinator.ledger.engine),
        fleet=config.coordinator.fleet,
        broker=config.enroll.broker or config.broker.url,
        days=config.enroll.device_days,
        policy_keys=lambda: [one.trusted for one in coordinator.ground.keys.signers()],
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
        collect_seldom()
        show_first_key(coordinator.entry.keys)
        scheme = "https" if config.web.tls_certificate else "http"
        log.info("coordinator on %s://%s", scheme, config.coordinator.listen)
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
                await within(stop.wait(), CHECK_EVERY_S)
        systemd.notify("STOPPING=1")
