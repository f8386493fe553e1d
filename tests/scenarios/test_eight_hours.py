"""Eight virtual hours of a fleet, in seconds, without a sleep: one assertion per promise.

Three boards under real traffic. Each agent reads tegrastats lines and a metrics page and
speaks to the coordinator's ingest over a real broker, which is killed in the middle and
loses everything it held. Only the boards and the clock are simulated.
"""

import asyncio
from functools import partial
from pathlib import Path

import pytest
from tests.sealing import FLEETS_KEY
from tests.steered import steering_of
from tests.world import HandClock, Mosquitto, until

from tidewatt_agent.hands import NoReboots, Outcome, Stance
from tidewatt_agent.link import Link
from tidewatt_agent.load.pages import Exposition
from tidewatt_agent.load.reading import Reading, load_between
from tidewatt_agent.policies import Policies
from tidewatt_agent.readers import TimedSample
from tidewatt_agent.standin.room import Room
from tidewatt_agent.standin.run import follow_dispatch
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_agent.tick import Identity, Tick
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.account import account
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.compared import compare_changed
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tariff import load_tariff
from tidewatt_coordinator.publisher import Publisher
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.sample import Load
from tidewatt_governor.simulate.printing import application_metrics, tegrastats_line
from tidewatt_governor.traffic import scaled, shipped_day
from tidewatt_link.connection import Connection
from tidewatt_link.connection import Connection as CoordinatorConnection
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Birth, Policy, PolicySet, Report, Rule

DEVICES = ["jetson-01", "jetson-02", "jetson-03"]
MINUTES = 8 * 60
DIES, LIVES_AGAIN = 200, 245
POLICIES = PolicySet(fleet="f", revision=7, issued_at_ms=0, rules=[Rule(policy=Policy(slo_p95_ms=65.0))])
PAGES = Exposition("akidb_requests_total", "akidb_request_seconds", {"cluster": "jetson"})


class Door(NoReboots):
    """One board as its agent meets it: a tegrastats line a tick, a metrics page, a mode to set."""

    acts = True

    def __init__(self, room: Room, device: str, clock: Clock) -> None:
        self._room, self._device, self._clock = room, device, clock
        self._energy_j = self._clock_s = 0.0
        self._page: tuple[float, Reading] | None = None

    def take(self) -> list[TimedSample]:
        state = self._room.boards[self._device].state
        seconds = state.clock_s - self._clock_s
        if seconds <= 0:
            return []
        watts = (state.energy_j - self._energy_j) / seconds
        self._energy_j, self._clock_s = state.energy_j, state.clock_s
        line = tegrastats_line(state, self._room.profile, self._clock.now_ms(), watts, watts)
        return [TimedSample(self._clock.monotonic_s(), parse_line(line + "\n"))]

    def ask(self) -> None:
        pass

    async def read(self, now_s: float) -> Load | None:
        page = application_metrics(self._room.boards[self._device].state)
        reading = Exposition("akidb_requests_total", "akidb_request_seconds", {"cluster": "jetson"}).read(
            page
        )
        before, self._page = self._page, (now_s, reading)
        return load_between(before[1], reading, now_s - before[0]) if before else None

    async def look(self) -> Stance:
        return Stance(self._room.boards[self._device].state.point)

    async def go_to(self, point: str) -> Outcome:
        refusal = self._room.set_mode(self._device, self._room.profile.point(point).mode_id)
        return (
            Outcome("refused", (await self.look()).point, refusal) if refusal else Outcome("applied", point)
        )

    async def restore(self) -> None: ...

    async def close(self) -> None: ...


class Agent:
    """An agent's tick and link, as the daemon builds them."""

    def __init__(self, room: Room, device: str, clock: Clock, broker: Connection) -> None:
        self.device = device
        identity = Identity(device, f"session-{device}", f"epoch-{device}")
        self.policies = Policies("f", device, {"site": "demo"}, [FLEETS_KEY.trusted])
        door = Door(room, device, clock)
        self.tick = Tick(identity, room.profile, clock, door, door, door, self.policies, 180.0)
        self.last: Report | None = None

        def birth() -> Birth:
            return Birth(
                device=device,
                session=identity.session,
                epoch=identity.epoch,
                at_ms=clock.now_ms(),
                version="0",
                board="orin-nano-super",
                control="enforce",
                labels={"site": "demo"},
                points=room.profile.points,
                vendor_default=room.profile.vendor_default,
            )

        self.link = Link(
            broker,
            "f",
            birth,
            lambda envelope: self.policies.offer(envelope, clock.now_ms()),
            acks=self.policies.acks,
        )

    async def live(self) -> None:
        self.last = self.link.send(await self.tick())


async def test_eight_hours(
    mosquitto: Mosquitto, clock: HandClock, profile: BoardProfile, tmp_path: Path
) -> None:
    # The evening's ebb and the rise after it: 16:00 to 24:00.
    trace = scaled(shipped_day(), 300.0 * len(DEVICES))
    start_ms = trace.start_ms + 16 * 3_600_000
    clock.begin(start_ms)
    broker, door = Connection(mosquitto.url), CoordinatorConnection(mosquitto.url)

    room = Room(DEVICES, profile, trace, start_ms, seed=1)
    agents = [Agent(room, device, clock, broker) for device in DEVICES]
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 60_000)
    fleet = Fleet(stale_after_ms=3_600_000)
    ingest = Ingest(door, "f", fleet, ledger, clock.now_ms)
    publisher = Publisher(
        door,
        lambda: POLICIES,
        steering_of(fleet, clock, Dispatch(valid_s=3600.0), lambda: POLICIES),
        clock,
        signers=lambda: [FLEETS_KEY],
    )
    tasks = [
        asyncio.create_task(work)
        for work in (
            ingest.run(),
            publisher.run(),
            follow_dispatch(broker, "f", room, [FLEETS_KEY.trusted]),
            *(agent.link.run() for agent in agents),
        )
    ]
    try:
        await until(lambda: ingest.connected and all(agent.policies.revision == 7 for agent in agents))
        await until(lambda: len(fleet.devices) == len(DEVICES))
        for minute in range(MINUTES):
            clock.move(60.0)
            room.advance(clock.now_ms())
            for agent in agents:
                await agent.live()
            if minute == DIES:
                mosquitto.kill()
                await until(
                    lambda: not ingest.connected and not any(agent.link.connected for agent in agents)
                )
            if minute == LIVES_AGAIN:
                mosquitto.start()
                # What agents send before the coordinator is back is lost in the broker; the
                # next report makes up for it, because its counters are cumulative.
                await until(lambda: ingest.connected and all(agent.link.connected for agent in agents))
            if DIES <= minute <= LIVES_AGAIN:
                continue
            await until(lambda: all(fleet.devices[agent.device].report == agent.last for agent in agents))
            if minute % 60 == 59:
                await until(lambda: room.table and room.table.issued_at_ms >= clock.now_ms())
        last = {agent.device: agent.last for agent in agents if agent.last}
        await ingest.merge()
    finally:
        await ended(*tasks)

    ledger_says = {total.device: dict(zip(COUNTERS, total.values, strict=True)) for total in ledger.totals()}
    roll_up(ledger)
    compare_changed(ledger, partial(fleet.model, POLICIES))
    drawn = account(ledger, load_tariff(""))
    ledger.close()
    assert set(ledger_says) == set(DEVICES)
    # Promise 7: the policy is signed, and every device has said that it decides under it.
    answers = {name: device.ack for name, device in fleet.devices.items()}
    assert {(ack.status, ack.revision) for ack in answers.values() if ack} == {("applied", 7)}
    for device, report in last.items():
        # Promise 5: energy and requests are conserved from the device's counters to the ledger.
        assert ledger_says[device] == {name: getattr(report.counters, name) for name in COUNTERS}
        truth = room.boards[device].state
        # What the agent measured is what the board drew, but for the first minute, which it can't know.
        assert report.counters.energy_mj / 1000 == pytest.approx(truth.energy_j, rel=0.004)
        assert report.counters.requests == pytest.approx(truth.requests, rel=0.004)
        assert sum(report.counters.mode_ms.values()) == (MINUTES - 1) * 60_000
        assert report.counters.unmeasured_ms == 0
        # The promise to the users, minutes of switching included.
        assert report.counters.violating_ms <= 0.005 * MINUTES * 60_000
        ack = fleet.devices[device].ack
        assert ack is not None
        assert (ack.status, ack.revision) == ("applied", 7)
        assert report.verdict is not None
        assert report.verdict.reason
    # The traffic came by the published weights.
    assert room.table is not None
    assert sum(room.table.weights.values()) == 10_000 * len(DEVICES)
    # And it was worth it.
    assert drawn.baselines is not None
    assert drawn.total("energy_mj") < 0.9 * drawn.baselines.max_freq.energy_mj
    assert drawn.total("energy_mj") < drawn.baselines.vendor_default.energy_mj
    assert drawn.baselines.modelled_mj == pytest.approx(drawn.total("energy_mj"), rel=0.02)
    # The broker's death did happen.
    assert all(agent.link.connections == 2 for agent in agents)
