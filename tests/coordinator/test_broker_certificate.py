"""When the broker's certificate ends, as the coordinator saw it on its own connection."""

import asyncio
import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.secured import Pki, SecuredMosquitto, now
from tests.websocket import websockets_before
from tests.world import Mosquitto, until

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S  # what tests/secured.py gives to each certificate


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path}/l.db", 60_000)
    yield ledger
    ledger.close()


@contextlib.asynccontextmanager
async def listening(connection: Connection, ledger: Ledger) -> AsyncIterator[Ingest]:
    ingest = Ingest(connection, "f", Fleet(60_000), ledger, lambda: 0)
    task = asyncio.create_task(ingest.run())
    try:
        await until(lambda: ingest.connected)
        yield ingest
    finally:
        await ended(task)


async def test_it_is_the_one_that_was_shown_last(
    guarded: SecuredMosquitto, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewatt_coordinator.ingest.RETRY_S", 0.05)
    made = now() - dt.timedelta(days=2)
    guarded.stop()
    guarded.serve_as("127.0.0.1", at=made)
    guarded.start()
    async with listening(Connection(guarded.url, guarded.pki.shown("coordinator")), ledger) as ingest:
        first = made.timestamp() + WEEK_S
        assert ingest.broker_ends_s == first
        guarded.serve_as("127.0.0.1")
        guarded.kill()
        await until(lambda: not ingest.connected)
        assert ingest.broker_ends_s == first, "an ended one keeps all connections away, and must be told"
        guarded.start()
        await until(lambda: ingest.connected)
        assert ingest.broker_ends_s is not None
        assert ingest.broker_ends_s > first + DAY_S


async def test_behind_a_websocket(mosquitto: Mosquitto, tmp_path: Path, ledger: Ledger) -> None:
    pki = Pki(tmp_path / "pki")
    server = pki.certificate("server", "127.0.0.1")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.ca)
    tls.load_cert_chain(pki.path / "127.0.0.1.pem")
    async with (
        websockets_before(mosquitto.address, tls) as port,
        listening(Connection(f"wss://127.0.0.1:{port}", pki.shown("coordinator")), ledger) as ingest,
    ):
        assert ingest.broker_ends_s == server.not_valid_after_utc.timestamp()
    pki.ledger.close()


async def test_a_broker_without_one(mosquitto: Mosquitto, ledger: Ledger) -> None:
    async with listening(Connection(mosquitto.url), ledger) as ingest:
        assert ingest.broker_ends_s is None
