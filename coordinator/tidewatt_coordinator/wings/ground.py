"""What every part of a coordinator stands on."""

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tariff import Tariff, load_tariff
from tidewatt_coordinator.ledger.upkeep import Upkeep
from tidewatt_coordinator.models.folder import ModelFolder
from tidewatt_coordinator.replicas import Replicas
from tidewatt_coordinator.rollout.engine import Engine
from tidewatt_coordinator.rollout.lease import Lease
from tidewatt_coordinator.rollout.standing import Attached
from tidewatt_coordinator.sleepwords import sleep_words
from tidewatt_coordinator.waking import Waker
from tidewatt_link.connection import Connection
from tidewatt_wire.clock import Clock


class Ground:
    """The ledger, the fleet as it reports, and the policy that stands.

    Raises LedgerError, DocumentError or OSError for one that can't be used.
    """

    def __init__(self, config: Config, connection: Connection) -> None:
        self.config, self.connection = config, connection
        self.name, self.called = config.coordinator.fleet, config.coordinator.called
        self.clock = Clock(time.monotonic, time.time, config.clock)
        self.now_ms = self.clock.now_ms
        self.tariff: Tariff = load_tariff(config.ledger.tariff)
        self.ledger = Ledger(config.ledger.url, config.ledger.bucket_s * 1000)
        self.fleet = Fleet(round(config.dispatch.stale_after_s * 1000))
        self.keys = KeyFolder(Path(config.policy_keys.folder))
        self.models = ModelFolder(Path(config.models.folder))
        self.words = sleep_words(config, self.ledger.engine)
        shares = config.coordinator.replicas == "share"
        self.ingest = Ingest(
            connection, self.name, self.fleet, self.ledger, self.now_ms, self.called,
            group=f"tidewatt-{self.name}" if shares else "", words=self.words,
        )  # fmt: skip
        self.replicas = Replicas(self.ledger, self.fleet, self.name, self.called) if shares else None
        if self.replicas:
            self.ingest.intake.told = self.replicas.tell
            self.fleet.dealt = True
        #: The newest revision of ours that stood on the topic; the publisher, made later, tells it here.
        self.found: Callable[[], int] = lambda: 0
        self.engine = Engine(
            self.ledger,
            self.fleet,
            self.name,
            config.policy,
            self.now_ms,
            _lease(config, self.ledger),
            lambda: Attached(keys=self.keys.told(), models=[one.model for one in self.models.offered()]),
            self.has_heard,
            self._newest,
        )
        self.waker = Waker(
            connection, self.fleet, self.engine.current, self.keys.signers, self.now_ms, self.called
        )
        self.upkeep = Upkeep(
            self.ledger,
            config.ledger,
            self.fleet.sites,
            self.now_ms,
            lambda: partial(self.fleet.model, self.engine.current()),
        )

    def _newest(self) -> int:
        return self.found()

    def has_heard(self) -> bool:
        """Whether it has listened for as long as after which a device counts as silent: before, who is
        silent can't be known.
        """
        heard = self.ingest.has_heard(self.fleet.stale_after_ms)
        return heard and (self.replicas is None or self.replicas.sees())


def _lease(config: Config, ledger: Ledger) -> Lease:
    # Real time even under a virtual clock: it is about processes that die, not about fleets.
    holder = f"{socket.gethostname()}:{os.getpid()}"[:100]
    lasts_ms = round(config.coordinator.lease_s * 1000)
    name = f"policy:{config.coordinator.fleet}"
    return Lease(ledger.engine, name, holder, lasts_ms, lambda: int(time.time() * 1000))
