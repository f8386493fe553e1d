"""Whatever happens on the way to the ledger: once the last report is through, totals are the device's."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidewatt_agent import outbox as outboxes
from tidewatt_agent.outbox import Outbox
from tidewatt_agent.spool import Spool
from tidewatt_coordinator.ledger.arithmetic import COUNTERS, slices
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.codec import decode
from tidewatt_wire.messages import Counters, Gauges, Report

ENERGY = COUNTERS.index("energy_mj")
NUMBERS = itertools.count()


class World:
    """A device, its outbox and its spool, and a broker that lets through what the test lets it."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.device = f"d{next(NUMBERS)}"
        self._folder, self._ledger = folder, ledger
        self.energy = {"e0": 0}
        self.epoch, self.at_ms, self.seq, self.real_s = "e0", 1_800_000_000_000, 0, 0.0
        self.outbox = self._outbox()
        self.spool.settle((), ())

    def _outbox(self) -> Outbox:
        self.spool = Spool(self._folder / f"{self.device}.db", "f", self.device, 60_000)
        return Outbox(self.spool, 1e6, lambda: self.real_s)

    def report(self, energy_mj: int, step_ms: int) -> None:
        """The device counts on and reports; its clock may step back."""
        self.energy[self.epoch] += energy_mj
        self.at_ms += step_ms
        self.seq += 1
        counters = Counters(energy_mj=self.energy[self.epoch], mode_ms={"15W": self.seq})
        self.outbox.put(
            Report(
                device=self.device, session="s", epoch=self.epoch, seq=self.seq, at_ms=self.at_ms,
                counters=counters, gauges=Gauges(leases=["x" * 600]),
            )
        )  # fmt: skip

    async def send(self, count: int, *, acknowledged: bool) -> None:
        """So many reports reach the broker; without an acknowledgement the device doesn't know."""
        for _ in range(count):
            self.real_s += 1.0
            if not (self.outbox.fresh or self.outbox.stored):
                return
            parcel = await self.outbox.next()
            self._ledger.take([decode(Report, parcel.payload)])
            if not acknowledged:
                return
            self.outbox.sent(parcel)

    async def new_epoch(self) -> None:
        # What was counted and neither told nor on the disk belongs to no epoch (see CounterFile).
        # After a death it reports first; a disk that failed is tried again after half a minute.
        self.report(0, 1_000)
        self.real_s += 60.0
        await self.outbox.settle(at_once=True)
        self.epoch = f"e{len(self.energy)}"
        self.energy[self.epoch] = 0

    async def restart(self, *, clean: bool) -> None:
        """A death loses what lies in memory; the counters are on the disk."""
        if clean:
            await self.outbox.close()
        self.spool.close()
        self.outbox = self._outbox()

    async def settle(self, *, fails: bool) -> None:
        self.real_s += 10.0
        path = self._folder / f"{self.device}.db"
        if fails:
            self.spool.close()
            path.rename(f"{path}.away")
            path.mkdir()
        await self.outbox.settle()
        if fails:
            path.rmdir()
            Path(f"{path}.away").rename(path)

    async def drain(self) -> None:
        """The last report, and then all that waits."""
        self.report(0, 1_000)
        await self.outbox.settle()
        await self.send(1, acknowledged=True)
        while self.outbox.fresh or self.outbox.stored:
            await self.send(1, acknowledged=True)
            await self.outbox.settle()
        self.spool.close()

    def in_ledger(self) -> int:
        return next(total.values[ENERGY] for total in self._ledger.totals() if total.device == self.device)

    def in_slices(self) -> int:
        return sum(
            piece.values[ENERGY]
            for life in self._ledger.lives()
            if life.device == self.device
            for piece in slices(life.spans, self._ledger.bucket_ms)
        )


STEPS = st.one_of(
    st.tuples(st.just("report"), st.integers(0, 10**6), st.integers(-400_000, 400_000)),
    st.tuples(st.just("report"), st.integers(0, 10**6), st.just(10_000)),
    st.tuples(st.just("reports"), st.integers(1, 60)),
    st.tuples(st.just("send"), st.integers(1, 10), st.booleans()),
    st.tuples(st.just("settle"), st.booleans()),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("epoch")),
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'l.db'}", 60_000)
    yield ledger
    ledger.close()


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEPS, max_size=25))
def test_totals_are_the_devices_own(
    steps: list[tuple[object, ...]], ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outboxes, "MOST_IN_MEMORY", 12)
    world = World(tmp_path, ledger)

    async def play() -> None:
        for step in steps:
            match step:
                case ("report", int(energy_mj), int(step_ms)):
                    world.report(energy_mj, step_ms)
                case ("reports", int(count)):
                    for _ in range(count):
                        world.report(7, 10_000)
                        await world.outbox.settle()
                case ("send", int(count), bool(acknowledged)):
                    await world.send(count, acknowledged=acknowledged)
                case ("settle", bool(fails)):
                    await world.settle(fails=fails)
                case ("restart", bool(clean)):
                    await world.restart(clean=clean)
                case ("epoch",):
                    await world.new_epoch()
        await world.drain()

    asyncio.run(play())
    assert world.in_ledger() == sum(world.energy.values())
    assert world.in_slices() == sum(world.energy.values())


def test_a_month_without_a_broker_thins_to_its_bound_and_loses_no_joule(
    ledger: Ledger, tmp_path: Path
) -> None:
    world = World(tmp_path, ledger)

    async def play() -> None:
        for day in range(30):
            for _ in range(100):
                world.report(1000, 864_000)
                world.real_s += 10.0
            await world.outbox.settle()
            if day == 12:
                await world.new_epoch()
            assert world.outbox.size <= 60_000
        assert world.outbox.thinned > 2800
        await world.drain()

    asyncio.run(play())
    assert world.in_ledger() == world.in_slices() == 3_000_000
