"""The agent's loop: reports wait for a set clock; whatever broke, the board is given back."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest
from tests.world import HandClock, until

from tidewatt_agent.config import Agent, Config
from tidewatt_agent.counterfile import CounterFile, Kept
from tidewatt_agent.daemon import _last_words, _loop
from tidewatt_agent.farewells import Farewell
from tidewatt_agent.hands import FoldedHands, Outcome
from tidewatt_agent.host import Host
from tidewatt_agent.metrics import AgentMetrics
from tidewatt_agent.outbox import Outbox
from tidewatt_agent.policies import Policies
from tidewatt_agent.readers import Readers, TimedSample
from tidewatt_agent.recognise import BoardIdentity
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_agent.tick import Identity, Tick
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.belief import judge
from tidewatt_governor.sample import Load
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import decode
from tidewatt_wire.messages import Counters, Gauges, Policy, Report


class Hands:
    """Hands that remember whether they gave the board back."""

    restored = False

    async def look(self) -> str | None:
        return "25W"

    async def go_to(self, point: str) -> Outcome:
        return Outcome("applied", point)

    async def restore(self) -> None:
        self.restored = True

    async def close(self) -> None: ...


async def test_a_broken_tick_does_not_keep_the_board(caplog: pytest.LogCaptureFixture) -> None:
    async def tick(*, govern: bool) -> None:
        raise ZeroDivisionError

    hands = Hands()
    await _last_words(tick, hands, CounterFile(None), None, HandClock(0))  # type: ignore[arg-type] # a tick that fails
    assert hands.restored
    assert "the last tick failed" in caplog.text


class Board:
    """A board of 6 W whose application serves 10 requests a tick, in a mode that nobody can read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def take(self) -> list[TimedSample]:
        line = "RAM 1/2MB (lfb 1x2MB) CPU [3%@100] VDD_IN 6000mW/6000mW"
        return [TimedSample(self._clock.monotonic_s(), parse_line(line))]

    def ask(self) -> None:
        pass

    async def read(self, now_s: float) -> Load | None:
        return Load(requests=10, interval_s=1.0)


class Ear:
    """The broker's side of a link: hears reports."""

    connected = True

    def __init__(self) -> None:
        self.heard: list[Report] = []
        self.outbox = Outbox()

    def send(self, report: Report, *, past: bool = False) -> None:
        self.heard.append(self.outbox.put(report, past=past))


# sdnotify drops its socket unclosed where there is no systemd to talk to.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_board_that_boots_in_1970_reports_all_of_it_once_the_clock_is_set(tmp_path: Path) -> None:
    wall = [100.0]
    clock = Clock(time.monotonic, lambda: wall[0])
    board, ear = Board(clock), Ear()
    policies, hands, file = Policies("f", "d", {}), FoldedHands(None), CounterFile(tmp_path / "counters.json")
    kept = file.load()
    tick = Tick(Identity("d", "s", kept.epoch), None, clock, board, board, hands, policies, gap_s=10.0)
    config = Config(agent=Agent(device="d", tick_s=0.01, report_s=0.02))
    shown = AgentMetrics("0", None, BoardIdentity(), Readers([], clock), None, Host(""))
    loop = asyncio.create_task(_loop(config, clock, 0.01, tick, file, ear, shown, policies))  # type: ignore[arg-type]
    try:
        await until(lambda: tick.counters.requests >= 100)
        assert ear.heard == [], "no report carries a time of 1970"
        wall[0] = 1_800_000_000.0
        before = tick.counters
        await until(lambda: ear.heard)
        wall[0] = 50.0  # and back: somebody set it wrong
        await asyncio.sleep(0)
        heard = len(ear.heard)
        after = tick.counters
        await until(lambda: tick.counters.requests >= after.requests + 100)
        assert len(ear.heard) <= heard + 1
    finally:
        await ended(loop)
    first = ear.heard[0]
    assert first.at_ms == 1_800_000_000_000
    assert first.counters.requests >= before.requests >= 100
    assert first.counters.energy_mj >= before.energy_mj > 0
    assert file.load().counters.energy_mj >= first.counters.energy_mj, "kept before it is told"


# As above.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_an_earlier_run_owed_is_not_taken_for_the_present(
    clock: HandClock, tmp_path: Path
) -> None:
    """By a coordinator that never heard of that run: it began only now, or the others heard it."""
    wall_ms, path = clock.now_ms(), tmp_path / "counters.json"
    owed = Report(
        device="d", session="earlier", epoch="e", seq=7, at_ms=wall_ms - 80_000_000,
        counters=Counters(energy_mj=5), gauges=Gauges(watts=99.0),
    )  # fmt: skip
    path.write_bytes(msgspec.json.encode(Kept("f", Counters(), (Farewell(owed),))))
    board, ear, policies, file = Board(clock), Ear(), Policies("f", "d", {}), CounterFile(path)
    tick = Tick(
        Identity("d", "s", file.load().epoch),
        None,
        clock,
        board,
        board,
        FoldedHands(None),
        policies,
        gap_s=10.0,
    )
    config = Config(agent=Agent(device="d", report_s=10.0))
    shown = AgentMetrics("0", None, BoardIdentity(), Readers([], clock), None, Host(""))
    loop = asyncio.create_task(_loop(config, clock, 1.0, tick, file, ear, shown, policies))  # type: ignore[arg-type]
    fleet = Fleet(60_000)
    try:
        await until(lambda: len(ear.heard) == 2)
        clock.move(70.0)
        await until(lambda: len(ear.heard) == 4)
        clock.move(10.0)
        await until(lambda: len(ear.heard) == 5)
    finally:
        await ended(loop)
    assert [one.session for one in ear.heard] == ["earlier", "s", "earlier", "s", "s"]
    for number in range(len(ear.heard)):
        parcel = await ear.outbox.next()
        ear.outbox.sent(parcel)
        if number:  # the coordinator begins after the first
            fleet.reported(decode(Report, parcel.payload), wall_ms, replayed=parcel.replayed)
    device = fleet.devices["d"]
    assert (device.session, device.seq) == ("s", ear.heard[-1].seq)


# As above.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_epoch_that_a_bad_disk_ended_in_1970_is_told_once_the_clock_is_set(tmp_path: Path) -> None:
    wall, state = [100.0], tmp_path / "state"
    state.mkdir()
    clock = Clock(time.monotonic, lambda: wall[0])
    board, ear, file = Board(clock), Ear(), CounterFile(state / "counters.json", every_s=0.01)
    policies, kept = Policies("f", "d", {}), file.load()
    tick = Tick(
        Identity("d", "s", kept.epoch), None, clock, board, board, FoldedHands(None), policies, gap_s=10.0
    )
    config = Config(agent=Agent(device="d", tick_s=0.01, report_s=0.02))
    shown = AgentMetrics("0", None, BoardIdentity(), Readers([], clock), None, Host(""))
    loop = asyncio.create_task(_loop(config, clock, 0.01, tick, file, ear, shown, policies))  # type: ignore[arg-type]
    try:
        await until(lambda: (state / "counters.json").exists() and tick.counters.requests >= 100)
        state.rename(tmp_path / "away")
        before = tick.counters
        await until(lambda: tick.counters.requests >= before.requests + 100)
        wall[0] = 1_800_000_000.0
        await until(lambda: len(ear.heard) >= 2)
    finally:
        await ended(loop)
    owed, told = ear.heard[:2]
    assert (owed.epoch, owed.session) == (kept.epoch, "s") != (told.epoch, "s")
    assert owed.counters.requests > 0
    assert [judge(one, None, 1_800_000_000_000) for one in (owed, told)] == [None, None]


# As above.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_policy_may_ask_for_reports_more_often_at_once(clock: HandClock) -> None:
    board, ear, policies = Board(clock), Ear(), Policies("f", "d", {})
    tick = Tick(Identity("d", "s", "e"), None, clock, board, board, FoldedHands(None), policies, gap_s=10.0)
    config = Config(agent=Agent(device="d", report_s=3600.0))
    shown = AgentMetrics("0", None, BoardIdentity(), Readers([], clock), None, Host(""))
    loop = asyncio.create_task(
        _loop(config, clock, 1.0, tick, CounterFile(None), ear, shown, policies)  # type: ignore[arg-type]
    )
    try:
        await until(lambda: len(ear.heard) == 1)
        clock.move(10.0)
        before = tick.counters.requests
        await until(lambda: tick.counters.requests > before + 30)
        assert len(ear.heard) == 1
        policies.policy, so_far = Policy(report_s=5.0), tick.counters.requests
        await until(lambda: tick.counters.requests > so_far + 20)  # it has been looked at
        clock.move(5.0)
        await until(lambda: len(ear.heard) == 2)
    finally:
        await ended(loop)
