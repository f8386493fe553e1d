"""Everything the coordinator is, in order: broker, ledger, ingest, publisher, API."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

import sdnotify
import uvicorn
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from tidewatt_coordinator import broker
from tidewatt_coordinator.config import Config, broker_address, host_port
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.account import Account, account
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tariff import Tariff, load_tariff
from tidewatt_coordinator.metrics import CoordinatorMetrics
from tidewatt_coordinator.publisher import Publisher, policy_set
from tidewatt_coordinator.web import api
from tidewatt_coordinator.web.models import FleetNow
from tidewatt_coordinator.web.view import fleet_now
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import PolicySet

log = logging.getLogger(__name__)


class Coordinator:
    """The parts of a running coordinator, built by `running` and by nobody else."""

    def __init__(
        self, config: Config, address: tuple[str, int], progress: Callable[[int], float] | None
    ) -> None:
        self.clock = Clock(time.monotonic, time.time, config.clock)
        self.tariff: Tariff = load_tariff(config.ledger.tariff)
        self.ledger = Ledger(config.ledger.url, config.ledger.bucket_s * 1000)
        self.fleet = Fleet(round(config.dispatch.stale_after_s * 1000))
        self.policies: PolicySet = policy_set(
            config.coordinator.fleet, config.policy, self.ledger, self.clock.now_ms()
        )
        self.ingest = Ingest(address, config.coordinator.fleet, self.fleet, self.ledger, self.clock.now_ms)
        self.publisher = Publisher(
            address, self.policies, self.fleet, float(self.tariff.price_per_kwh), config.dispatch, self.clock
        )
        self._progress = progress
        registry = CollectorRegistry()
        registry.register(
            CoordinatorMetrics(self.ingest, self.fleet, self.ledger, self.publisher, self.clock.now_ms)
        )
        self.web: FastAPI = api.build(self.now, self.publisher, registry)

    def account(self) -> Account:
        """The fleet's account, from the ledger."""
        return account(self.ledger, self.tariff, self.fleet.models(self.policies))

    def now(self) -> FleetNow:
        """The fleet as the API shows it."""
        progress = self._progress(self.clock.now_ms()) if self._progress else None
        return fleet_now(
            self.fleet, self.account(), self.tariff, self.policies, self.publisher.table, self.clock, progress
        )


@contextlib.asynccontextmanager
async def running(
    config: Config, progress: Callable[[int], float] | None = None
) -> AsyncIterator[Coordinator]:
    """A coordinator at work while the context lasts.

    Raises broker.PortTakenError, LedgerError, DocumentError or OSError when it can't begin.
    """
    host, port = host_port(config.coordinator.listen)
    broker.check_port_free(host, port, "coordinator.listen")
    with contextlib.ExitStack() as stack:
        address = (
            broker_address(config.broker.url)
            if config.broker.url
            else stack.enter_context(broker.embedded(config.broker.embedded_port))
        )
        coordinator = Coordinator(config, address, progress)
        stack.callback(coordinator.ledger.close)
        server = _Server(
            uvicorn.Config(coordinator.web, host=host, port=port, log_level="warning", access_log=False)
        )
        tasks = [
            asyncio.create_task(_eternal("ingest", coordinator.ingest.run())),
            asyncio.create_task(_eternal("publisher", coordinator.publisher.run())),
            asyncio.create_task(_eternal("web", server.serve())),
        ]
        try:
            while not server.started:
                _raise_if_done(tasks)
                await asyncio.sleep(0.01)
            yield coordinator
            _raise_if_done(tasks)
        finally:
            server.should_exit = True
            await asyncio.wait(tasks[2:], timeout=3.0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Server(uvicorn.Server):
    """uvicorn, leaving signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(config: Config) -> None:
    """Be the coordinator until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running(config):
        log.info("coordinator on http://%s", config.coordinator.listen)
        systemd = sdnotify.SystemdNotifier()
        systemd.notify("READY=1")
        await stop.wait()
        systemd.notify("STOPPING=1")


async def _eternal(name: str, work: Coroutine[object, object, None]) -> None:
    # A task that should never end and does is an error with a name.
    await work
    raise RuntimeError(f"the {name} task ended by itself")


def _raise_if_done(tasks: "list[asyncio.Task[None]]") -> None:
    for task in tasks:
        if task.done():
            task.result()
