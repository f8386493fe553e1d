"""What the agent learns of its board: from whole minutes only, kept over a restart, shown for what it is."""

from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from tidewatt_agent.learning import Learning
from tidewatt_agent.pointmetrics import point_families
from tidewatt_agent.status import parse, sentences, summarise
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.points import watts_at
from tidewatt_wire.messages import Counters


class Day:
    """Counters as ticks leave them, ten seconds apart."""

    def __init__(self, learning: Learning) -> None:
        self.learning, self.counters, self.learned = learning, Counters(), 0

    def tick(self, mode: str, watts: float, rps: float, **more: int) -> None:
        before = self.counters
        self.counters = msgspec.structs.replace(
            before,
            energy_mj=before.energy_mj + round(watts * 10_000),
            requests=before.requests + round(rps * 10),
            mode_ms={**before.mode_ms, mode: before.mode_ms.get(mode, 0) + 10_000},
            **{name: getattr(before, name) + value for name, value in more.items()},
        )
        self.learned += self.learning.note(self.counters)

    def minutes(self, count: int, mode: str = "25W", share: float = 0.15) -> None:
        assert self.learning._profile
        point = self.learning._profile.point(mode)
        for minute in range(count):
            rps = (minute * 37 % 300) / 300 * point.capacity_rps
            for _ in range(6):
                self.tick(mode, watts_at(point, rps) * (1 + share), rps)


def known_minutes(learning: Learning) -> dict[str, int]:
    found = {point.name: learning.known(point.name) for point in learning.points}
    return {name: known.minutes for name, known in found.items() if known}


def test_minutes_at_a_point_are_learned_from(profile: BoardProfile) -> None:
    day = Day(Learning(profile))
    day.minutes(301)
    assert day.learned == 300
    assert known_minutes(day.learning) == {"25W": 300}
    learned = next(point for point in day.learning.points if point.name == "25W")
    assert learned.idle_watts == pytest.approx(1.15 * profile.point("25W").idle_watts, rel=0.02)
    assert learned.measured
    assert set(day.learning.origins().values()) == {"measured", "class_default"}


@pytest.mark.parametrize("spoilt", ["unmeasured_ms", "unjudged_ms", "switches", "mode", "unknown"])
def test_a_minute_with_a_gap_or_a_switch_in_it_is_none(profile: BoardProfile, spoilt: str) -> None:
    day = Day(Learning(profile))
    for number in range(60):
        odd = number % 6 == 3
        mode = {"mode": "15W", "unknown": "unknown"}.get(spoilt, "25W") if odd else "25W"
        more = {spoilt: 1} if odd and spoilt.endswith(("_ms", "switches")) else {}
        day.tick(mode, 10.0, 100.0, **more)
    assert day.learned == 0
    assert day.learning.points == profile.points


def test_without_a_profile_nothing_is_learned() -> None:
    learning = Learning(None)
    learning.load()
    for energy_mj in range(0, 10_000_000, 100_000):
        assert not learning.note(Counters(energy_mj=energy_mj, mode_ms={"25W": energy_mj // 10}))
    learning.save()
    assert (learning.points, learning.origins()) == ([], {})


def test_it_outlives_a_restart(profile: BoardProfile, tmp_path: Path) -> None:
    path = tmp_path / "learned.json"
    first = Learning(profile, path)
    first.load()
    assert first.points == profile.points
    Day(first).minutes(200)
    first.save()
    second = Learning(profile, path)
    second.load()
    assert second.points == first.points != profile.points
    assert second.origins() == first.origins()


def test_of_another_profile_it_learns_anew(
    profile: BoardProfile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "learned.json"
    day = Day(Learning(profile, path))
    day.minutes(60, "25W")
    day.minutes(60, "15W")
    day.learning.save()
    moved = [
        msgspec.structs.replace(point, idle_watts=point.idle_watts + (point.name == "25W"))
        for point in profile.points
    ]
    again = Learning(msgspec.structs.replace(profile, points=moved), path)
    again.load()
    assert set(known_minutes(again)) == {"15W"}
    assert "learned figures of 25W are not of this profile: learned anew" in caplog.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"25W": {"idle_watts": "x"}}', b"\xff\xfe"])
def test_a_broken_file_is_put_aside_and_the_profile_rules(
    profile: BoardProfile, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "learned.json"
    path.write_bytes(content)
    learning = Learning(profile, path)
    learning.load()
    assert learning.points == profile.points
    assert len(caplog.records) == 1
    assert "put aside as learned.unreadable" in caplog.text
    assert path.with_suffix(".unreadable").read_bytes() == content


def test_a_disk_that_fails_is_said_once(
    profile: BoardProfile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    day = Day(Learning(profile, tmp_path / "gone" / "learned.json"))
    day.minutes(3)
    day.learning.save()
    day.learning.save()
    assert caplog.text.count("can't be written") == 1


def test_status_says_where_each_figure_comes_from(profile: BoardProfile) -> None:
    calibrated = [
        msgspec.structs.replace(point, measured=point.name in ("15W", "7W")) for point in profile.points
    ]
    day = Day(Learning(msgspec.structs.replace(profile, points=calibrated)))
    day.minutes(301)

    class Page(Collector):
        collect = staticmethod(lambda: point_families(day.learning))

    registry = CollectorRegistry()
    registry.register(Page())
    text = generate_latest(registry).decode()
    assert 'tidewatt_operating_point_learned_minutes_total{point="25W",taken="yes"} 300.0' in text
    status = summarise(parse(text), "observe")
    assert status.points == {
        "15W": "calibrated", "25W": "measured", "MAXN_SUPER": "class_default", "7W": "calibrated",
    }  # fmt: skip
    assert (
        "points       15W, 7W calibrated; 25W measured; MAXN_SUPER the class default (unmeasured)"
        in sentences(status)
    )
