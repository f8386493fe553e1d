"""The way to sleep and back: what every interruption leads to, and that each word said of it is true."""

from pathlib import Path

import msgspec
import pytest
from tests.napping import NOW_MS, Killed, World, facts_of, hint_of, started, ticks, world_of
from tests.sealing import FLEETS_KEY
from tests.world import HandClock

from tidewatt_agent.actuator.nap import Slept
from tidewatt_agent.sleeping import verdict
from tidewatt_agent.sleeping.napfile import NapFile
from tidewatt_agent.sleeping.sleeper import BOOT_ID
from tidewatt_agent.sleeping.sleeper import State as Told
from tidewatt_agent.sleeping.verdict import load
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Policy
from tidewatt_wire.signing import HINT_TYPE, seal
from tidewatt_wire.sleeping import SleepState


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
