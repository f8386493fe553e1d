"""Boards that sleep by the fleet's plan: a real broker, a coordinator's process, agents' own sleepers."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sleepers import HINT_S, LONGEST_S, MOST, NAMES, World
from tests.world import Mosquitto, until


@pytest.fixture
def world(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[World]:
    for name in NAMES:
        (tmp_path / name).mkdir()
    world = World(mosquitto, tmp_path)
    yield world
    world.kill()


async def test_boards_sleep_when_not_needed_are_woken_for_a_surge_and_by_their_alarm_alone(
    world: World,
) -> None:
    world.start()
    async with world.at_work():
        await until(lambda: len(world.asleep) == 2)
        assert world.lost == 0.0, "who sleeps had no share before"
        # A surge that nobody foresaw: neighbours wake them long before their alarms.
        world.demand_rps = 2.5 * MOST
        await until(lambda: len(world.place.woken) >= 2)
        await until(lambda: not world.asleep)
        assert any(slept.early_s > 60.0 for board in world.boards.values() for slept in board.door.slept)
        await until(lambda: all(world.weights.get(name, 0) for name in NAMES))
        # And night again; this time the coordinator is killed while they sleep.
        world.demand_rps = 40.0
        world.place.woken.clear()
        await until(lambda: len(world.asleep) == 2)
        world.kill()
        killed_ms, asleep = world.clock.now_ms(), world.asleep
        # What it hinted last may begin one more nap each; past its end nobody falls asleep, and all wake.
        void_ms = killed_ms + 1000 * HINT_S
        await until(lambda: world.clock.now_ms() > void_ms and not world.asleep)
        await asyncio.sleep(world.clock.real_seconds(2.0 * HINT_S))
        assert not world.asleep
        for name in asleep:
            door = world.boards[name].door
            assert door.began_ms[-1] <= void_ms
            assert all(slept.slept_s <= LONGEST_S + 60.0 for slept in door.slept)
            assert all(
                slept.early_s == 0.0
                for slept, began_ms in zip(door.slept, door.began_ms, strict=True)
                if began_ms + 1000 * slept.slept_s > killed_ms
            )
        assert world.place.woken == []
