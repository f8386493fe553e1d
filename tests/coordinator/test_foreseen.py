"""What people are shown of a device's plan: sentences and its group's forecast, or why there is none."""

from tests.hinted import World

from tidewatt_coordinator.hinting.foreseen import foreseen
from tidewatt_coordinator.hinting.rounds import MINUTE_MS
from tidewatt_governor.forecast.layout import AHEAD
from tidewatt_governor.forecast.value import Forecast


class Foreseer:
    """Foresees that it rises by one a minute."""

    def minute(self, minute: int, rps: float | None, _local: object) -> Forecast:
        begin = rps or 0.0
        rows = [(begin + ahead, begin + 2 * ahead, begin + 3 * ahead) for ahead in range(1, AHEAD + 3)]
        return Forecast(minute, tuple(rows), trusted=True, reason="it rises")


def test_a_device_s_group_is_foreseen_by_the_minute() -> None:
    world = World(foreseer=Foreseer())
    world.born("d1", "d2")
    for _ in range(3):
        world.pass_minute({"d1": "15W", "d2": "15W"}, 10.0)
        world.planner.make(world.now_ms)
    found = foreseen(world.planner, "d1")
    assert found.sentences
    assert found.trusted
    assert len(found.minutes) == AHEAD
    assert all(one.p50 <= one.p90 <= one.p99 for one in found.minutes)
    steps = {
        after.at_ms - before.at_ms for before, after in zip(found.minutes, found.minutes[1:], strict=False)
    }
    assert steps == {MINUTE_MS}


def test_what_is_not_there_has_its_reason() -> None:
    off = World(mode="off")
    assert "planning.mode" in foreseen(off.planner, "d1").why
    world = World()
    world.born("d1")
    assert foreseen(world.planner, "d1").why
    world.pass_minute({"d1": "15W"}, 10.0)
    world.planner.make(world.now_ms)
    assert foreseen(world.planner, "nobody").why == "it is not in the plan"
    told = foreseen(world.planner, "d1")
    assert (told.minutes, bool(told.why), bool(told.sentences)) == ([], True, True)
