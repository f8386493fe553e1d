"""The fleet as it changes: what a viewer is told, after whatever he missed, is the fleet as it stands."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access import acting

from tidewatt_coordinator.web import stream
from tidewatt_coordinator.web.live import COLUMNS, KEPT_S, Delta, Live
from tidewatt_coordinator.web.models import DeviceNow, FleetNow
from tidewatt_coordinator.web.stream import Streams, router
from tidewatt_coordinator.web.troubles import problem_of
from tidewatt_link.ending import within

UNKNOWN = dict.fromkeys(DeviceNow.model_fields)


def a_device(name: str, **values: Any) -> DeviceNow:
    known = {"device": name, "status": "online", "labels": {"site": name[0]}}
    return DeviceNow.model_construct(**{**UNKNOWN, **known, **values})


def a_fleet(now_ms: int, watts: dict[str, float], **values: Any) -> FleetNow:
    devices = [a_device(name, watts=drawn, **values) for name, drawn in sorted(watts.items())]
    blank: dict[str, Any] = dict.fromkeys(FleetNow.model_fields)
    said = {"now_ms": now_ms, "speed": 1.0, "devices": devices, "known": len(devices), "policies": {}}
    return FleetNow.model_construct(**{**blank, **said})


class World:
    """A fleet that stands as it is told to."""

    def __init__(self) -> None:
        self.turn, self.now_s = itertools.count(1), 0.0
        self.fleet = a_fleet(0, {})
        self.live = Live(lambda: self.fleet, lambda: self.now_s)

    def becomes(self, watts: dict[str, float], **values: Any) -> None:
        self.fleet = a_fleet(next(self.turn), watts, **values)


class Viewer:
    """What the page keeps."""

    def __init__(self, live: Live) -> None:
        self._live, self.seen, self.rows = live, "", dict[str, Any]()

    def look(self) -> Delta:
        told = self._live.since(self.seen)
        if told.whole:
            self.rows.clear()
        self.rows.update({row[0]: row[COLUMNS.index("watts")] for row in told.rows})
        self.seen = told.id
        return told


fleets = st.dictionaries(st.sampled_from(["a1", "a2", "b1", "b2"]), st.sampled_from([1.0, 2.0]))


@settings(max_examples=150)
@given(st.lists(st.tuples(fleets, st.lists(st.integers(0, 2), max_size=3)), max_size=8))
def test_whoever_looks_sees_the_fleet_whatever_he_missed(
    story: list[tuple[dict[str, float], list[int]]],
) -> None:
    world = World()
    viewers = [Viewer(world.live) for _ in range(3)]
    for watts, looking in story:
        world.becomes(watts)
        for number in looking:
            viewers[number].look()
            if viewers[number].rows != watts:
                viewers[number].look()  # the first look may show what somebody else saw just before
            assert viewers[number].rows == watts


def test_only_what_changed_is_told_and_nothing_twice() -> None:
    world = World()
    world.becomes({"a1": 1.0, "b1": 1.0})
    viewer = Viewer(world.live)
    assert viewer.look().whole
    world.becomes({"a1": 1.0, "b1": 2.0})
    assert [row[0] for row in viewer.look().rows] == ["b1"]
    assert viewer.look().rows == []
    world.becomes({"a1": 1.0, "b1": 2.004})
    assert viewer.look().rows == [], "nobody sees thousandths of a watt"


@pytest.mark.parametrize("seen", ["", "nonsense", "00000000-1", "-", "x-99999999999999999999999", "²-²"])
def test_an_id_that_is_not_ours_begins_anew(seen: str) -> None:
    world = World()
    world.becomes({"a1": 1.0})
    assert world.live.since(seen).whole


def test_a_viewer_of_later_than_now_begins_anew() -> None:
    world = World()
    world.becomes({"a1": 1.0})
    life = world.live.since("").id.partition("-")[0]
    assert world.live.since(f"{life}-999").whole


def test_who_is_new_need_not_wait_for_a_look_but_sees_nothing_old() -> None:
    world = World()
    world.becomes({"a1": 1.0})
    Viewer(world.live).look()
    world.becomes({"a1": 2.0})
    late = Viewer(world.live)
    late.look()
    assert late.rows == {"a1": 1.0}
    late.look()
    assert late.rows == {"a1": 2.0}
    world.becomes({"a1": 3.0})
    world.now_s = KEPT_S + 1
    later = Viewer(world.live)
    later.look()
    assert later.rows == {"a1": 3.0}


def test_who_is_bound_to_sites_is_told_of_no_other() -> None:
    world = World()
    world.becomes({"a1": 1.0, "a2": 2.0, "b1": 4.0})
    told = world.live.since("", ("a",))
    assert [row[0] for row in told.rows] == ["a1", "a2"]
    assert (told.totals["watts"], told.totals["known"], told.totals["online"]) == (3.0, 2, 2)
    assert (told.totals["cost"], told.policies) == (None, {})
    assert world.live.since("", ("nowhere",)).totals["watts"] is None


@pytest.mark.parametrize(
    ("said", "weight"),
    [
        ({}, "well"),
        ({"status": "asleep"}, "well"),
        ({"status": "lost"}, "bad"),
        ({"status": "overdue"}, "bad"),
        ({"status": "silent"}, "warn"),
        ({"refused": "its clock is 3 h ahead", "temperature_c": 20.0}, "bad"),
        ({"temperature_c": 95.0, "policy_status": "refused"}, "bad"),
        ({"temperature_c": 82.0}, "warn"),
        ({"policy_status": "refused"}, "warn"),
        ({"outcome": "drifted"}, "warn"),
        ({"skew_seconds": -7.0}, "warn"),
    ],
)
def test_the_worst_of_a_device_is_told_in_a_sentence(said: dict[str, Any], weight: str) -> None:
    found = problem_of(a_device("a1", **said))
    assert found.weight == weight
    assert bool(found.sentence) == (weight != "well")


def test_in_simulated_time_a_delay_is_no_wrong_clock() -> None:
    assert problem_of(a_device("a1", skew_seconds=-70.0), 120.0).weight == "well"


async def _first_events(streams: Streams) -> list[bytes]:
    told = []
    async for part in streams.events(""):
        told.append(part)
        if len(told) == 2:
            streams.end()
    assert streams.viewers == 0
    return told


def test_the_stream_tells_the_fleet_and_ends_with_the_process() -> None:
    world = World()
    world.becomes({"a1": 8.0}, point="15W")

    async def listen() -> list[bytes]:
        return await within(_first_events(Streams(world.live)), 10)

    told = asyncio.run(listen())
    assert told[0].startswith(b"retry: ")
    lines = told[1].decode().splitlines()
    assert lines[0] == "event: fleet"
    delta = json.loads(lines[2].removeprefix("data: "))
    assert lines[1] == f"id: {delta['id']}"
    row = dict(zip(delta["columns"], delta["rows"][0], strict=True))
    assert (row["device"], row["point"], row["watts"], row["weighs"]) == ("a1", "15W", 8.0, "well")


def test_a_viewer_has_to_come_again_and_to_show_anew_who_he_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_LOOKS", 3)
    world = World()
    streams = Streams(world.live, every_s=0.0)

    async def all_of_it() -> list[bytes]:
        return [part async for part in streams.events("")]

    async def listen() -> list[bytes]:
        return await within(all_of_it(), 10)

    assert asyncio.run(listen())[0].startswith(b"retry: ")
    assert streams.viewers == 0


def test_one_address_has_no_more_than_its_share() -> None:
    world = World()
    world.becomes({"a1": 1.0})
    streams = Streams(world.live, every_s=0.0)

    async def watch() -> None:
        many = [streams.events("", caller="1.1.1.1") for _ in range(stream.MOST_FROM_ONE)]
        for one in many:
            await anext(one)
        assert (streams.full("1.1.1.1"), streams.full("2.2.2.2")) == (True, False)
        await cast("AsyncGenerator[bytes, None]", many[0]).aclose()
        assert not streams.full("1.1.1.1")
        for one in many[1:]:
            await cast("AsyncGenerator[bytes, None]", one).aclose()
        assert streams.viewers == 0
        assert not streams._from

    asyncio.run(watch())


def test_who_has_his_share_is_told_to_ask_also_behind_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_FROM_ONE", 0)
    app = FastAPI()
    app.include_router(router(Streams(World().live), lambda _scope: "1.1.1.1"))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(acting(app))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await client.get("/v1/stream")

    assert asyncio.run(ask()).status_code == 503


def test_too_many_viewers_are_told_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_VIEWERS", 0)
    world, app = World(), FastAPI()
    world.becomes({"a1": 1.0})
    app.include_router(router(Streams(world.live)))

    async def ask() -> tuple[httpx.Response, httpx.Response]:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(acting(app)), base_url="http://here"
        ) as client:
            return await client.get("/v1/stream"), await client.get("/v1/stream/poll")

    refused, told = asyncio.run(ask())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
    assert told.json()["rows"][0][0] == "a1"
