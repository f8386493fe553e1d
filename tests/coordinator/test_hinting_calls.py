"""Boards that are woken before their alarm: within the minute that asks for more, if they'd hear it."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import create_engine
from tests.coordinator.test_hinting_sleep import Night
from tests.hinted import USABLE
from tests.sealing import FLEETS_KEY
from tests.world import until

from tidewatt_agent.config import Agent
from tidewatt_coordinator.hinting.book import PlanBook
from tidewatt_coordinator.hinting.calling import SCATTER, Ear
from tidewatt_coordinator.hinting.napping import TURN_MIN
from tidewatt_coordinator.hinting.topic import WATCH_S, PlanTopics
from tidewatt_coordinator.ledger import tables
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock, Timebase
from tidewatt_wire.messages import Counters, Gauges, Report
from tidewatt_wire.sleeping import Nap, SleepHint
from tidewatt_wire.topics import HintTopic

MOST = max(USABLE.values())


def within_the_minute(night: Night, at_s: int, rps: float) -> frozenset[str]:
    """What the watch says when all who are up have told what they serve, so many seconds after the plan."""
    now_ms = night.now_ms + at_s * 1000
    for name in sorted(night.up):
        each = rps / len(night.up)
        night.requests[name] += each * 10.0
        night.fleet.reported(Report(
            device=name, session="s", epoch="e", seq=night.minute + 10**9 + at_s, at_ms=now_ms,
            counters=Counters(requests=round(night.requests[name])),
            gauges=Gauges(point=night.at[name], requests_rps=each),
        ), now_ms)  # fmt: skip
    return night.planner.rises(now_ms)


@pytest.mark.parametrize("boards", [1, 2, 3])
def test_a_rise_within_the_minute_wakes_one_more_than_it_takes_once_each(boards: int) -> None:
    night = Night(*"abcde", wake=True)
    night.minutes(25, 60.0)
    assert len(night.until_ms) == 3
    assert within_the_minute(night, 10, 60.0) == frozenset(), "nothing has come"
    woken = within_the_minute(night, 20, (2 + boards - 1) * MOST)
    assert len(woken) == min(3, boards + 1), "one of those who are called may not come"
    last = night.planner.last
    assert last
    assert woken <= last.calls
    assert last.shown.groups[0].called == sorted(woken)
    assert not woken & {name for name, hint in last.hints.items() if isinstance(hint, SleepHint)}
    assert woken.isdisjoint(night.planner.capacities(night.now_ms)), "they are needed as soon as they are up"
    assert within_the_minute(night, 30, (2 + boards - 1) * MOST) == frozenset(), "each is told once"
    for name in woken:
        night.wake(name)
    made = night.minutes(1, (2 + boards - 1) * MOST)
    assert not woken & made.calls
    strongest = max(USABLE, key=lambda point: USABLE[point])
    assert all(made.hints[name].point == strongest for name in woken)  # type: ignore[union-attr] # awake


def test_a_rise_keeps_those_awake_who_had_notice_and_wakes_nobody_for_them() -> None:
    night = Night(*"abcde", wake=True)
    noticed = next(
        made
        for made in (night.minutes(1, 60.0) for _ in range(25))
        if night.planner._groups[made.shown.groups[0].name].state.naps.naps
        and not made.shown.groups[0].asleep
    )
    group = night.planner._groups[noticed.shown.groups[0].name]
    leaving = set(group.state.naps.naps)
    assert within_the_minute(night, 20, 4.9 * MOST) == frozenset()
    assert not leaving & set(group.state.naps.naps)
    assert night.minutes(1, 4.9 * MOST).shown.groups[0].asleep == 0


def test_who_does_not_hear_a_call_is_not_counted_on_to_until_one_woke_it() -> None:
    night = Night(*"abcde", wake=True)
    night.minutes(25, 60.0)
    called = night.minutes(1, 3.0 * USABLE["25W"]).calls
    assert called
    night.minutes(3, 3.0 * USABLE["25W"])
    bed = night.planner._groups["all"].bed
    assert bed.deaf >= called, "its alarm is left"
    for name in list(night.until_ms):
        night.wake(name)
    before = set(bed.deaf)
    one = min(before)
    state = night.fleet.devices[one].sleep
    assert state
    heard = Nap(began_ms=night.now_ms, planned_s=600.0, outcome="woke_early")
    night.fleet.slumbered(replace(state, last=heard))
    night.minutes(1, 60.0)
    assert night.planner._groups["all"].bed.deaf == before - {one}


def test_nobody_is_called_where_nobody_may_call_and_somebody_stays_awake_who_can() -> None:
    alone = Night(*"abcde")
    alone.minutes(25, 60.0)
    assert alone.minutes(1, 3.0 * USABLE["25W"]).calls == frozenset()
    apart = Night(*"abcd", wake=True)
    for name in "abcd":  # one site of two segments
        birth = apart.fleet.devices[name].birth
        assert birth
        labels = {"site": "roof", "segment": "x" if name in "ab" else "y"}
        apart.fleet.devices[name].birth = replace(birth, labels=labels)
    apart.wake = lambda name, **_more: apart.until_ms.pop(name, None)  # type: ignore[assignment,method-assign]
    for _ in range(25):
        apart.minutes(1, 30.0)
        assert apart.up & {"a", "b"}
        assert apart.up & {"c", "d"}


def test_over_days_of_the_same_calm_everybody_takes_a_turn_awake() -> None:
    night = Night(*"abcd")
    awake = dict.fromkeys("abcd", 0)
    for _ in range(4 * TURN_MIN):
        made = night.minutes(1, 60.0)
        assert len(night.up) >= 2
        for name in night.up:
            awake[name] += 1
    assert made.shown.groups[0].missing == []
    assert min(awake.values()) > 0.6 * TURN_MIN, awake
    slept = 4 * 4 * TURN_MIN - sum(awake.values())
    assert slept > 0.95 * 2 * 4 * TURN_MIN, "turns cost next to nothing"


@given(rows=st.lists(st.tuples(st.floats(0.0, 500.0), st.floats(0.0, 500.0)), min_size=1, max_size=6))
@settings(max_examples=60)
def test_the_ear_hears_what_was_counted_and_a_rise_sooner(rows: list[tuple[float, float]]) -> None:
    ear = Ear()

    def reports(at_s: int, each: int) -> list[Report]:
        return [
            Report(
                device=f"d{index}", session="s", epoch="e", seq=at_s, at_ms=at_s * 1000,
                counters=Counters(requests=round(sum(row[: each + 1]) * 10)),
                gauges=Gauges(requests_rps=row[each]),
            )
            for index, row in enumerate(rows)
        ]  # fmt: skip

    ear.rps(reports(10, 0))
    now = sum(row[1] for row in rows)
    heard = ear.rps(reports(20, 1))
    assert heard >= now - 0.1 * len(rows), "by the counters all of it"
    assert heard <= now + 0.1 * len(rows)
    risen = [(row[1], row[1] + 400.0) for row in rows]
    gauges = sum(row[1] for row in risen)
    rows[:] = risen
    again = [
        Report(
            device=f"d{index}", session="s", epoch="e", seq=21, at_ms=20_000, counters=Counters(),
            gauges=Gauges(requests_rps=row[1]),
        )
        for index, row in enumerate(rows)
    ]  # fmt: skip
    assert ear.rps(again) >= gauges - SCATTER * gauges**0.5 - 1e-9, "before any counter tells"


class Broker:
    """What is said on which topic."""

    def __init__(self) -> None:
        self.said: dict[str, bytes] = {}

    async def publish(self, topic: str, payload: bytes, **_more: object) -> None:
        self.said[topic] = payload


async def test_a_rise_has_boards_woken_and_their_hints_taken_away_between_two_plans(tmp_path: Path) -> None:
    night = Night(*"abcde", wake=True)
    night.minutes(25, 60.0)
    clock = Clock(time.monotonic, time.time, Timebase(night.now_ms, time.monotonic(), 10.0))
    database = create_engine(f"sqlite:///{tmp_path / 'p.db'}")
    tables.metadata.create_all(database)
    broker, woken = Broker(), list[str]()

    async def wake(devices: Iterable[str], _why: str) -> int:
        woken.extend(devices)
        return len(woken)

    topics = PlanTopics(
        night.planner, PlanBook(database, "f"), clock, lambda: True, lambda: [FLEETS_KEY], "f",
        lambda _device: True, wake,
    )  # fmt: skip
    client: Any = broker
    task = asyncio.create_task(topics.keep(client))
    try:
        await until(lambda: all(broker.said.get(str(HintTopic("f", name))) for name in night.until_ms))
        assert not woken
        for name in sorted(night.up):
            night.requests[name] += 20 * MOST
            night.fleet.reported(Report(
                device=name, session="s", epoch="e", seq=10**10, at_ms=night.now_ms + 10_000,
                counters=Counters(requests=round(night.requests[name])),
                gauges=Gauges(point=night.at[name], requests_rps=2 * MOST),
            ), clock.now_ms())  # fmt: skip
        await until(lambda: len(set(woken)) == 3)
        await until(lambda: all(broker.said[str(HintTopic("f", name))] == b"" for name in woken))
    finally:
        await ended(task)
        database.dispose()


def test_what_is_seen_is_ordered_within_twenty_seconds() -> None:
    packet_s = 2.0
    assert Agent().report_s + WATCH_S + packet_s <= 20.0
