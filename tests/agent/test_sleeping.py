"""The agent's side of sleep: who may, what is believed, and what every interruption leads to."""

import argparse
import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.sealing import FLEETS_KEY, FOREIGN_KEY
from tests.world import HandClock

from tidewatt_agent.actuator.nap import SHORTEST_NAP_S, Slept
from tidewatt_agent.config import Agent, Board, Config, Reader, Sleep, State
from tidewatt_agent.counters import Tally, add_nap, add_power, add_tick
from tidewatt_agent.sleeping import verdict
from tidewatt_agent.sleeping.commands import run
from tidewatt_agent.sleeping.door import Ready, SleepDoor, StayedAwakeError
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.judge import Facts, clocks_differ, lead_s, nap_s, needed, unable
from tidewatt_agent.sleeping.kernellog import KernelLog
from tidewatt_agent.sleeping.napfile import Begun, NapFile
from tidewatt_agent.sleeping.options import add_parser
from tidewatt_agent.sleeping.sleeper import BOOT_ID, Sleeper
from tidewatt_agent.sleeping.sleeper import State as Told
from tidewatt_agent.sleeping.verdict import Identity, Verdict, disqualified, load, obstacle, save
from tidewatt_link.ending import ended
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Counters, Gauges, MaintenanceWindow, Policy, Report, SleepLimits
from tidewatt_wire.messages import Verdict as Decided
from tidewatt_wire.signing import HINT_TYPE, PAYLOAD_TYPE, seal
from tidewatt_wire.sleeping import SleepHint, SleepState

NOW_MS = 1_795_000_000_000
POLICY = Policy(sleep=SleepLimits(longest_nap_s=1800.0))
IDENTITY = Identity(kernel="5.15", jetpack="R36", application="v1")
GOOD = Verdict(identity=IDENTITY, at_ms=0, passed=True, cycles=20, asleep_watts=0.5, resume_s=20.0)


def hint_of(for_s: float = 3600.0, **more: Any) -> SleepHint:
    return SleepHint(**{
        "fleet": "f", "device": "d", "issued_at_ms": NOW_MS, "expires_at_ms": NOW_MS + 10**9,
        "serve_at_ms": NOW_MS + round(for_s * 1000), **more,
    })  # fmt: skip


def facts_of(policy: Policy = POLICY, outcome: str = "unchanged", acts: bool = True, **gauges: Any) -> Facts:
    report = Report(
        device="d", session="s", epoch="e", seq=1, at_ms=NOW_MS, counters=Counters(),
        gauges=Gauges(**{"requests_rps": 0.0, **gauges}),
        verdict=Decided(point="7W", rule="r", reason="r", outcome=outcome),  # type: ignore[arg-type]
    )  # fmt: skip
    return Facts(at_ms=NOW_MS, now_s=0.0, acts=acts, policy=policy, report=report)


ALL_DAY = MaintenanceWindow(start="00:00", minutes=1440)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (facts_of(leases=["7W or more: batch"]), "an application holds 7W or more: batch"),
        (facts_of(requests_rps=None), "the load is not known"),
        (facts_of(requests_rps=0.5), "it still serves 0.5 requests/s"),
        (facts_of(outcome="reboot_planned"), "a reboot is planned or has just been"),
        (facts_of(Policy(sleep=SleepLimits(), maintenance=ALL_DAY)), "a maintenance window is open"),
        (facts_of(), ""),
    ],
)
def test_who_needs_the_board_is_named(facts: Facts, why: str) -> None:
    assert needed(facts, hint_of(), 30.0) == why


def test_who_may_not_sleep_at_all_is_told_why() -> None:
    assert unable(facts_of(), "") == ""
    assert unable(facts_of(Policy()), "") == "the policy allows no sleep"
    assert unable(facts_of(acts=False), "") == "the agent only observes this board"
    assert unable(facts_of(), "disqualified: late") == "disqualified: late"


@given(st.floats(30.0, 86_400.0), st.floats(-1e5, 1e5), st.one_of(st.none(), st.floats(0.0, 600.0)))
def test_a_nap_ends_before_the_longest_and_in_time_to_serve(
    longest_s: float, serve_in_s: float, resume_s: float | None
) -> None:
    policy = Policy(sleep=SleepLimits(longest_nap_s=longest_s))
    hint, lead = hint_of(0.0, serve_at_ms=max(0, NOW_MS + round(serve_in_s * 1000))), lead_s(resume_s)
    for_s = nap_s(policy, hint, NOW_MS, lead)
    assert 0.0 <= for_s <= longest_s
    assert for_s == 0.0 or for_s + (resume_s or 0.0) < serve_in_s + 0.001
    too_short = "too short" in needed(facts_of(policy), hint, lead)
    assert too_short == (for_s < SHORTEST_NAP_S)


def test_a_clock_that_is_about_to_be_set_is_not_trusted() -> None:
    assert clocks_differ(NOW_MS // 1000 + 30, NOW_MS) == ""
    assert "can't be read" in clocks_differ(None, NOW_MS)
    assert "s off" in clocks_differ(100, NOW_MS)


def test_a_verdict_is_about_one_kernel_jetpack_and_application(tmp_path: Path) -> None:
    assert "not qualified" in obstacle(None, IDENTITY)
    assert obstacle(GOOD, IDENTITY) == ""
    for name in ("kernel", "jetpack", "application"):
        changed = Identity(**{"kernel": "5.15", "jetpack": "R36", "application": "v1", name: "other"})
        assert f"its {name} changed" in obstacle(GOOD, changed)
    late = disqualified(GOOD, "it woke 300 s after its alarm", 5)
    assert obstacle(late, IDENTITY) == "disqualified: it woke 300 s after its alarm"
    save(tmp_path / "v", late)
    assert load(tmp_path / "v") == late
    (tmp_path / "v").write_bytes(b"{")
    assert load(tmp_path / "v") is None
    assert load(tmp_path / "none") is None


def test_only_a_trusted_hint_for_this_device_counts() -> None:
    hints = Hints("f", "d", lambda: [FLEETS_KEY.trusted])
    good = seal(encode(hint_of()), [FLEETS_KEY], HINT_TYPE)
    refused = [
        b"{}",
        encode(hint_of()),
        seal(encode(hint_of()), [FOREIGN_KEY], HINT_TYPE),
        seal(encode(hint_of()), [FLEETS_KEY], PAYLOAD_TYPE),
        seal(encode(hint_of(device="other")), [FLEETS_KEY], HINT_TYPE),
        seal(b'{"schema": "1.2"}', [FLEETS_KEY], HINT_TYPE),
    ]
    for payload in refused:
        hints.take(payload)
    assert (hints.refused, hints.at(NOW_MS)) == (len(refused), None)
    hints.take(good)
    hints.take(seal(encode(hint_of(issued_at_ms=NOW_MS - 1)), [FLEETS_KEY], HINT_TYPE))
    assert hints.at(NOW_MS) == hint_of(), "an older one changes nothing"
    assert hints.at(NOW_MS + 10**9) is None, "it expires"
    hints.forget()
    assert hints.at(NOW_MS) is None
    hints.take(seal(encode(hint_of(issued_at_ms=NOW_MS - 1)), [FLEETS_KEY], HINT_TYPE))
    assert hints.at(NOW_MS) is None, "an older one is none after a nap either"
    hints.take(good)
    assert hints.at(NOW_MS) == hint_of(), "the broker still holds it"
    hints.take(b"")
    assert hints.at(NOW_MS) is None


async def test_commands_are_bounded_and_their_last_word_is_told() -> None:
    assert (await run([], 1.0)).why_not == ""
    assert (await run(["echo", "v1"], 5.0)).said == "v1"
    assert (await run(["sh", "-c", "echo no GPU; exit 3"], 5.0)).why_not == "sh ends with 3: no GPU"
    assert (await run(["sleep", "60"], 0.05)).why_not == "sleep did not end within 0 s"
    assert "No such file" in (await run(["nothing-such"], 1.0)).why_not


def test_only_new_errors_of_the_kernel_count(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    file = tmp_path / "dev/kmsg"
    file.write_text("3,1,1,-;old\n")
    log = KernelLog(str(tmp_path))
    assert log.errors() == []
    with file.open("a") as more:
        more.write("6,2,2,-;info\n27,3,3,-;nvgpu: a fault\n SUBSYSTEM=x\nnonsense\n4,4,4,-;a warning\n")
    assert log.errors() == ["nvgpu: a fault"]
    assert log.errors() == []
    log.close()


@given(st.lists(st.tuples(st.floats(0.0, 1e5), st.one_of(st.none(), st.floats(0.0, 50.0))), max_size=5))
def test_time_asleep_is_counted_once_and_its_energy_apart(naps: list[tuple[float, float | None]]) -> None:
    tally, now_s = add_power(Tally(), 5.0, 0.0, 10.0), 0.0
    for asleep_s, watts in naps:
        before, had_mj = tally.counters, tally.counters.energy_mj + tally.energy_rest_mj
        now_s += 1.0
        tally = add_tick(tally, point="7W", elapsed_ms=1000, load=None, violating=None, switched=False)
        tally = add_power(tally, 5.0, now_s, 10.0)
        now_s += asleep_s
        tally = add_nap(tally, asleep_s, watts, now_s)
        has_mj = tally.counters.energy_mj + tally.energy_rest_mj
        assert has_mj == pytest.approx(had_mj + 5000.0, abs=1e-3), "what was measured, and nothing else"
        unmeasured = tally.counters.unmeasured_ms - before.unmeasured_ms
        assert unmeasured == (round(asleep_s * 1000) if watts is None else 0)
    total = sum(round(asleep_s * 1000) for asleep_s, _ in naps)
    assert tally.counters.mode_ms.get("asleep", 0) == total
    estimate = sum(asleep_s * (watts or 0.0) * 1000 for asleep_s, watts in naps)
    assert tally.counters.asleep_mj == pytest.approx(estimate, abs=len(naps))


class Killed(BaseException):
    """kill -9, at a step that was counted to."""


class World:
    """Actuator, broker and hooks at the agent's edge: what happened, in its order, until it is killed."""

    def __init__(self, folder: Path, clock: HandClock, life: int = 0) -> None:
        self.folder, self.clock, self.life = folder, clock, life
        self.deeds: list[str] = []
        self.broker_life = 0
        self.connected = True
        self.refuses = self.late = False
        self.application: list[str] = []
        self.deaf = False
        self.refused = False
        self.word: SleepState | None = None
        self.hints = Hints("f", "d", lambda: [FLEETS_KEY.trusted])
        self.retained = seal(encode(hint_of()), [FLEETS_KEY], HINT_TYPE)
        self.counted: list[tuple[float, float | None]] = []
        (folder / "root" / BOOT_ID).parent.mkdir(parents=True, exist_ok=True)
        (folder / "root" / BOOT_ID).write_text("boot")

    def step(self, deed: str) -> None:
        self.life -= 1
        self.broker_life -= 1
        if self.broker_life == 0:
            self.deaf, self.connected = True, False
        if self.life == 0:
            raise Killed
        self.deeds.append(deed)

    # The link.
    def say(self, state: Told) -> None:
        self.word = state("s")

    async def rest(self, state: Told, _within_s: float) -> bool:
        self.step("told")
        if not self.deaf:
            self.word, self.connected = state("s"), False
        return not self.deaf

    def wake(self, state: Told) -> None:
        if self.deaf and not self.connected:
            return  # there is no broker to come back to
        self.word, self.connected = state("t"), True
        if self.retained:  # as at every connection
            self.hints.take(self.retained)

    # The actuator's door.
    async def ready(self) -> Ready:
        self.step("ready")
        return Ready("", "boot", self.clock.now_ms() // 1000)

    async def sleep(self, for_s: float) -> Slept:
        if self.refuses:
            raise StayedAwakeError("no alarm, no sleep: EBUSY")
        self.step("asleep")
        late_s = 300.0 if self.late else 0.0
        self.clock.move(for_s + late_s + 2.0)
        self.step("awake")
        return Slept(for_s + late_s, late_s, 0.0, 2.0)

    def sleeper(self) -> Sleeper:
        config = Config(
            agent=Agent(fleet="f", device="d"), board=Board(actuator_socket="a"),
            reader=Reader(root=str(self.folder / "root")),
            state=State(folder=str(self.folder)),
            sleep=Sleep(
                before=["sh", "-c", f"echo before >> {self.folder}/hooks"], quiet_s=10.0,
                application=self.application,
                after=["sh", "-c", f"echo after >> {self.folder}/hooks"], ready_s=0.1,
            ),
        )  # fmt: skip
        self.hints.take(self.retained)
        door: Any = self
        return Sleeper(
            config, self.clock, door, self, self.hints, lambda s, w: self.counted.append((s, w)), lambda: True
        )


async def ticks(world: World, sleeper: Sleeper, number: int) -> None:
    for _ in range(number):
        world.clock.move(11.0)
        at_ms, now_s = world.clock.now_ms(), world.clock.monotonic_s()
        await sleeper.step(msgspec.structs.replace(facts_of(), at_ms=at_ms, now_s=now_s))


async def started(world: World) -> Sleeper:
    """An agent's start, as far as sleep goes."""
    sleeper = world.sleeper()
    task = asyncio.create_task(sleeper.run())
    for _ in range(6000):
        await asyncio.sleep(0.005)
        if not NapFile(world.folder / "nap.json").load():
            break
    await ended(task)
    return sleeper


def world_of(folder: Path, life: int = 0) -> World:
    found = msgspec.structs.replace(GOOD, identity=Identity(kernel="", jetpack="", application=""))
    save(folder / verdict.FILE_NAME, found)
    return World(folder, HandClock(NOW_MS), life)


async def test_the_way_there_and_back(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    sleeper = await started(world)
    await ticks(world, sleeper, 1)
    assert (world.deeds, sleeper.why) == ([], "no request for less than 10 s")
    await ticks(world, sleeper, 1)
    assert world.deeds == ["ready", "told", "asleep", "awake"]
    assert (tmp_path / "hooks").read_text() == "before\nafter\n"
    assert world.counted == [(1802.0, 0.5)]
    assert sleeper.last
    assert (sleeper.last.outcome, sleeper.last.slept_s) == ("woke", 1800.0)
    assert world.word
    assert world.word.state == "awake"
    assert world.word.able
    assert not (tmp_path / "nap.json").exists()


@pytest.mark.parametrize("taken", [True, False])
async def test_a_hint_that_was_taken_away_while_it_slept_sends_it_to_sleep_no_more(
    tmp_path: Path, taken: bool
) -> None:
    world = world_of(tmp_path)
    sleeper = await started(world)
    longer = hint_of(serve_at_ms=NOW_MS + 10**8, expires_at_ms=NOW_MS + 10**8)
    world.retained = seal(encode(longer), [FLEETS_KEY], HINT_TYPE)
    world.hints.take(world.retained)
    asleep = world.sleep

    async def sleep(for_s: float) -> Slept:
        world.retained = b"" if taken else world.retained  # by whoever has it woken
        return await asleep(for_s)

    world.sleep = sleep  # type: ignore[method-assign]
    await ticks(world, sleeper, 8)
    assert world.deeds.count("asleep") == (1 if taken else 4)


@pytest.mark.parametrize("trouble", ["deaf", "refuses"])
async def test_what_could_not_be_is_undone_and_not_tried_at_every_tick(tmp_path: Path, trouble: str) -> None:
    world = world_of(tmp_path)
    setattr(world, trouble, True)
    sleeper = await started(world)
    await ticks(world, sleeper, 20)
    assert "asleep" not in world.deeds
    assert world.deeds.count("ready") == 1
    assert (tmp_path / "hooks").read_text() == "before\nafter\n"
    assert sleeper.naps == {"stayed_awake": 1}
    assert world.connected
    setattr(world, trouble, False)
    await ticks(world, sleeper, 60)
    assert "awake" in world.deeds, "after a while it is tried again"


async def test_one_failed_resume_is_the_last(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.late = True
    sleeper = await started(world)
    await ticks(world, sleeper, 60)
    assert world.deeds.count("asleep") == 1
    found = load(tmp_path / verdict.FILE_NAME)
    assert found
    assert found.why == "it woke 300 s after its alarm"
    assert sleeper.why == "disqualified: it woke 300 s after its alarm"
    assert world.word
    assert not world.word.able
    again = await started(world)
    await ticks(world, again, 60)
    assert world.deeds.count("asleep") == 1, "a restart forgets nothing"


async def test_what_names_the_application_is_not_asked_at_every_tick(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.application = ["sh", "-c", f"echo asked >> {tmp_path}/asked; exit 1"]
    sleeper = await started(world)
    await ticks(world, sleeper, 12)
    assert "the application can't be told: sh ends with 1" in sleeper.why
    assert (tmp_path / "asked").read_text().count("asked") == 2, "once a minute"
    assert world.deeds == []


@pytest.mark.parametrize("booted", [False, True])
@pytest.mark.parametrize("life", range(1, 6))
async def test_killed_at_any_step_the_next_life_tells_the_truth(
    tmp_path: Path, life: int, booted: bool
) -> None:
    world = world_of(tmp_path, life)
    sleeper = await started(world)
    try:
        await ticks(world, sleeper, 2)
        killed = False
    except Killed:
        killed = True
    assert killed == (life < 5)
    assert "asleep" not in world.deeds or "told" in world.deeds, "nobody sleeps without a word"
    begun = NapFile(tmp_path / "nap.json").load()
    assert begun is None or killed
    if "asleep" in world.deeds and killed:
        assert begun, "it is on file before it sleeps"
    if booted:
        (tmp_path / "root" / BOOT_ID).write_text("another boot")
    world.connected = True
    after = await started(world)
    assert NapFile(tmp_path / "nap.json").load() is None
    found = load(tmp_path / verdict.FILE_NAME)
    assert found
    assert found.passed == (not booted or begun is None)
    if begun:
        assert after.last
        assert after.last.outcome == ("lost" if booted else "woke")
        assert world.word
        assert world.word.state == "awake"


@pytest.mark.parametrize("host_answers", [False, True])
@pytest.mark.parametrize("life", range(1, 5))
async def test_a_broker_that_is_killed_at_any_step_keeps_nobody_asleep(
    tmp_path: Path, life: int, host_answers: bool
) -> None:
    world = world_of(tmp_path)
    world.refused = host_answers
    sleeper = await started(world)
    world.broker_life = life
    await ticks(world, sleeper, 3)
    slept = "asleep" in world.deeds
    assert slept == (life > 2), "without a word that was taken nobody sleeps"
    assert world.deeds.count("awake") == slept
    assert not sleeper.board.locked()
    assert NapFile(tmp_path / "nap.json").load() is None
    unwell = slept and not host_answers
    assert sleeper.naps == ({"unwell": 1} if unwell else {"woke": 1} if slept else {"stayed_awake": 1})
    found = load(tmp_path / verdict.FILE_NAME)
    assert found
    assert found.passed is not unwell, (
        "only a broker's host that answers tells a dead broker from a dead network"
    )


def test_a_nap_s_file_that_is_none_tells_of_a_nap(tmp_path: Path) -> None:
    file = NapFile(tmp_path / "nap.json")
    assert file.load() is None
    file.keep(Begun("boot", 1, 60.0))
    assert file.load() == Begun("boot", 1, 60.0)
    (tmp_path / "nap.json").write_text("{")
    assert file.load() == Begun("", 0, 0.0)
    file.forget()
    assert file.load() is None


async def test_no_actuator_no_sleep(tmp_path: Path) -> None:
    assert "no actuator is named" in (await SleepDoor("").ready()).why_not
    assert "no actuator at" in (await SleepDoor(str(tmp_path / "none")).ready()).why_not
    with pytest.raises(StayedAwakeError):
        await SleepDoor(str(tmp_path / "none")).sleep(60.0)


@pytest.mark.parametrize(
    "answer", [b"", b"{}\n", b"[]\n", b'{"slept_s": "long"}\n', b'{"error": "it is busy"}\n', b"\xff\n"]
)
async def test_an_actuator_that_says_something_else_is_not_believed(tmp_path: Path, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_unix_server(talk, str(tmp_path / "a"))
    door = SleepDoor(str(tmp_path / "a"))
    with pytest.raises(StayedAwakeError):
        await door.sleep(60.0)
    assert (await door.ready()).why_not
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("option", "text", "sentence"),
    [
        ("--cycles", "0", "'0' is not a whole number from 1 to 1000"),
        ("--cycles", "two", "'two' is not a whole number from 1 to 1000"),
        ("--nap", "nan", "'nan' is not a number from 60 to 86400 s"),
        ("--nap", "-5", "'-5' is not a number from 60 to 86400 s"),
        ("--asleep-watts", "1e9", "'1e9' is not a number from 0 to 1000 W"),
    ],
)
def test_a_trial_beyond_its_bounds_is_refused_in_a_sentence(
    option: str, text: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["sleep", "qualify", f"{option}={text}"])
    assert capsys.readouterr().err.splitlines()[-1].endswith(sentence)


class Listener(World):
    """Remembers every word."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, HandClock(NOW_MS))
        self.words: list[SleepState] = []

    def say(self, state: Told) -> None:
        self.words.append(state("s"))

    async def rest(self, state: Told, _within_s: float) -> bool:
        self.words.append(state("s"))
        return await super().rest(state, _within_s)

    def wake(self, state: Told) -> None:
        self.words.append(state("t"))
        super().wake(state)


async def test_each_word_is_later_than_the_one_before_also_if_the_clock_is_set_back(tmp_path: Path) -> None:
    world_of(tmp_path)
    world = Listener(tmp_path)
    sleeper = await started(world)
    await ticks(world, sleeper, 2)
    world.clock.move(-5000.0)
    await ticks(world, sleeper, 4)
    assert [one.state for one in world.words][:3] == ["awake", "asleep", "awake"]
    times = [one.at_ms for one in world.words]
    assert len(times) > 4
    assert times == sorted(set(times))


async def test_what_it_said_is_said_again_before_its_certificate_ends(tmp_path: Path) -> None:
    world_of(tmp_path)
    world = Listener(tmp_path)
    world.retained = b""
    world.hints.forget()
    sleeper = await started(world)
    await ticks(world, sleeper, 100)
    assert len(world.words) == 1
    world.clock.move(6 * 3600.0)
    await ticks(world, sleeper, 100)
    assert len(world.words) == 2
    never = msgspec.structs.replace(facts_of(Policy()), now_s=world.clock.monotonic_s() + 10**6)
    qualified = Listener(tmp_path)
    await (await started(qualified)).step(never)
    assert [one.able for one in qualified.words] == [False], "the broker may still hold another word of it"
    (tmp_path / "new").mkdir()
    silent = Listener(tmp_path / "new")
    await (await started(silent)).step(never)
    assert silent.words == [], "who never may says nothing"
