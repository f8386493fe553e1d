"""An agent that was cut off, restarted, and is heard again: nothing lost, and the present shown first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.world import HandClock, Mosquitto, ignore, until

from tidewatt_agent import outbox as outboxes
from tidewatt_agent.link import Link
from tidewatt_agent.outbox import Outbox
from tidewatt_agent.spool import Spool
from tidewatt_coordinator.broker import embedded
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.presence import Presence
from tidewatt_link.connection import Connection
from tidewatt_link.connection import Connection as AgentConnection
from tidewatt_link.ending import ended
from tidewatt_wire.messages import Birth, Counters, Gauges, Report

EPOCHS = {"first": 7_000, "second": 12_000}


class Device:
    """An agent's link with its outbox and spool."""

    def __init__(self, folder: Path, broker: AgentConnection, clock: HandClock, run: str) -> None:
        self._clock, self._run, self._seq = clock, run, 0
        self.link = Link(
            broker, "f", self._birth, ignore,
            Outbox(Spool(folder / "spool.db", "f", "d", 10**7), 1000.0),
        )  # fmt: skip

    def _birth(self) -> Birth:
        return Birth(
            device="d", session=f"connection of {self._run}", epoch="", at_ms=self._clock.now_ms(),
            version="0", board="b", control="observe", capabilities=["spool"],
        )  # fmt: skip

    def report(self, epoch: str, energy_mj: int) -> Report:
        self._seq += 1
        return self.link.send(
            Report(
                device="d", session=self._run, epoch=epoch, seq=self._seq, at_ms=self._clock.now_ms(),
                counters=Counters(energy_mj=energy_mj), gauges=Gauges(),
            )
        )  # fmt: skip


@contextlib.asynccontextmanager
async def running(device: Device) -> AsyncIterator[Link]:
    tasks = [asyncio.create_task(device.link.run()), asyncio.create_task(device.link.outbox.keep())]
    try:
        yield device.link
    finally:
        await ended(*tasks)
        await device.link.outbox.close()


async def test_cut_off_and_restarted_it_loses_nothing(
    mosquitto: Mosquitto, clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "KEEP_EVERY_S", 0.02)
    broker = AgentConnection(mosquitto.url)
    mosquitto.kill()
    before = Device(tmp_path, broker, clock, "before")
    async with running(before):
        for epoch, energy_mj in EPOCHS.items():
            for step in range(1, 51):
                before.report(epoch, energy_mj * step // 50)
                clock.move(10.0)
    assert before.link.outbox.stored == 100

    mosquitto.start()
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 60_000)
    fleet = Fleet(60_000)
    ingest = Ingest(Connection(mosquitto.url), "f", fleet, ledger, clock.now_ms)
    presence = Presence(Connection(mosquitto.url), "f", clock)
    serving = [asyncio.create_task(ingest.run()), asyncio.create_task(presence.run())]
    after = Device(tmp_path, broker, clock, "after")
    try:
        await until(lambda: ingest.connected)
        clock.move(3600.0)
        now = after.report("second", 20_000)
        assert now.gauges.waiting == 0, "the spool is looked at when it is kept"
        async with running(after) as link:
            await until(lambda: ingest.messages["report"] == 101)
            await until(lambda: link.outbox.stored == 0)
            await until(lambda: link.coordinators.online)
        await ingest.merge()
        assert ledger.totals()[0].values[0] == 27_000
        device = fleet.devices["d"]
        assert device.report == now, "what was replayed is not the present"
        assert device.skew.ms == 0
        assert device.birth
        assert device.birth.capabilities == ["spool"]
        await until(lambda: fleet.status("d", clock.now_ms()) == "stopped")
    finally:
        await ended(*serving)
        ledger.close()
    again = Spool(tmp_path / "spool.db", "f", "d", 10**7)
    assert again.settle((), ()).waiting == 0, "acknowledged is forgotten, also on the disk"
    again.close()


async def test_the_embedded_broker_carries_replays_too(
    clock: HandClock, tmp_path: Path, unused_tcp_port: int
) -> None:
    with embedded(unused_tcp_port) as broker:
        address = AgentConnection(broker.url)
        ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 60_000)
        ingest = Ingest(Connection(broker.url), "f", Fleet(60_000), ledger, clock.now_ms)
        serving = asyncio.create_task(ingest.run())
        device = Device(tmp_path, address, clock, "run")
        device.report("first", 5)
        await device.link.outbox.settle(at_once=True)
        try:
            await until(lambda: ingest.connected)
            async with running(device):
                await until(lambda: ingest.messages["report"] == 1)
        finally:
            await ended(serving)
            ledger.close()
