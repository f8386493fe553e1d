"""What the commands on budgets, anomalies and alerts work with."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.configfile import read_config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.clock import Clock

#: What commands of other rooms print with, too.
__all__ = ["AsJson", "Desk", "as_json", "console", "desk"]


class Desk(msgspec.Struct, frozen=True):
    """A configuration, its ledger, and the time."""

    config: Config
    ledger: Ledger
    now_ms: int

    @property
    def book(self) -> AlertBook:
        """The fleet's alerts."""
        return AlertBook(self.ledger.engine, self.config.coordinator.fleet)


@contextlib.contextmanager
def desk(config: Path) -> Iterator[Desk]:
    """A desk for one command."""
    settings = read_config(config)
    ledger = Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)
    try:
        yield Desk(settings, ledger, Clock(time.monotonic, time.time, settings.clock).now_ms())
    finally:
        ledger.close()
