"""An entry for what a command changed in a folder: keys, models."""

import contextlib
from pathlib import Path
from typing import Any

from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.configfile import read_config
from tidewatt_coordinator.ledger.store import Ledger


def note(config: Path, what: str, subject: str, **told: Any) -> None:
    """Add it to the audit of this configuration's database; see store.record.

    The folder is changed by then: LedgerError and SQLAlchemyError say that the entry is missing.
    """
    settings = read_config(config)
    with contextlib.closing(Ledger(settings.ledger.url, settings.ledger.bucket_s * 1000)) as ledger:
        Trail(ledger.engine).record(what, subject, fleet=settings.coordinator.fleet, **told)
