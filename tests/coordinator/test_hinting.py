"""Planning at work: what is known becomes a plan, a plan few messages, and traffic goes where planned."""

from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.access import acting
from tests.hinted import BEGIN_MS, BOARD, USABLE, World
from tests.steered import steering_of
from tests.world import HandClock
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.hinting.book import PlanBook
from tidewatt_coordinator.hinting.metering import Meter
from tidewatt_coordinator.hinting.nodes import Beyond, needs
from tidewatt_coordinator.hinting.rest import router
from tidewatt_coordinator.hinting.rounds import MINUTE_MS, NoPlan
from tidewatt_coordinator.hinting.saying import Hint, Said
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.steering.concentrating import concentrated
from tidewatt_coordinator.steering.edge import Known, devices
from tidewatt_coordinator.steering.settings import Dispatch, Pool
from tidewatt_wire.messages import Birth, Counters, Gauges, Policy, Report
from tidewatt_wire.planned import PlanHint
from tidewatt_wire.sleeping import SleepHint
from tidewatt_wire.topics import HintTopic, PlanTopic


def test_a_plan_is_hinted_to_those_who_follow_and_counts_on_what_was_seen() -> None:
    world = World()
    world.born("a", "b")
    world.born("watched", control="observe")
    at = {"a": "7W", "b": "25W", "watched": "15W"}
    for _ in range(3):
        world.pass_minute(at, 110.0)
        made = world.planner.make(world.now_ms)
    assert world.planner.make(world.now_ms) is made, "one plan a minute"
    assert made.planned == set(at)
    assert made.hints.keys() == {"a", "b"}
    for hint in made.hints.values():
        assert isinstance(hint, PlanHint)
        assert (hint.guarded, hint.expires_at_ms - world.now_ms) == (True, 300_000)
    planned = {one.device: one.point for one in made.shown.devices}
    assert planned["watched"] == "15W", "it stands where it stands"
    counted = world.planner.capacities(world.now_ms)
    for name, point in at.items():
        assert counted[name] == min(USABLE[planned[name]], USABLE[point])
    assert world.planner.capacities(world.now_ms + 3 * MINUTE_MS) == {}
    assert made.shown.groups[0].demand_rps == pytest.approx(330.0)


def test_who_cannot_tell_the_demand_hints_to_nobody() -> None:
    world = World()
    world.born("a", "b")
    world.pass_minute({"a": "7W", "b": "25W"}, None)
    made = world.planner.make(world.now_ms)
    assert made.hints == {}
    assert made.shown.groups[0].need_rps is None
    assert world.planner.capacities(world.now_ms) == {}
    with pytest.raises(NoPlan, match="who is there isn't known yet"):
        World(sees=False).planner.make(BEGIN_MS)
    with pytest.raises(NoPlan, match="no device"):
        World().planner.make(BEGIN_MS)


def test_sites_with_proxies_of_their_own_are_planned_each_alone_and_nodes_for_all() -> None:
    pool = Pool(name="spot", kind="spot", capacity_rps=400.0, node_rps=200.0)
    world = World(Dispatch(backends="sites", pools=[pool]), node_start_min=0.0)
    world.born("a", "b", site="roof")
    world.born("c", site="cellar")
    for _ in range(2):
        world.pass_minute(dict.fromkeys("abc", "25W"), 400.0)
        made = world.planner.make(world.now_ms)
    assert [group.name for group in made.shown.groups] == ["cellar", "roof"]
    assert [one.share for one in made.shown.devices if one.group == "cellar"] == [1.0]
    beyond = sum((group.need_rps or 0.0) for group in made.shown.groups) - 3 * 0.85 * max(USABLE.values())
    assert made.shown.nodes[0].hold * 200.0 * 0.85 >= beyond > 0.0
    assert made.shown.nodes[0].now == 2
    assert made.shown.nodes_reason.startswith(f"{beyond:.0f} rps beyond the edge")
    assert needs([Beyond(500.0, None, 400.0)], 1) == [100.0] * 12


def test_counters_tell_what_gauges_miss() -> None:
    meter = Meter()

    def read(requests: int, at_ms: int, rps: float | None = 5.0, epoch: str = "e") -> float | None:
        report = Report(
            device="a", session="s", epoch=epoch, seq=1, at_ms=at_ms, counters=Counters(requests=requests),
            gauges=Gauges(requests_rps=rps),
        )  # fmt: skip
        return meter.rps(report)

    assert [read(0, 0), read(600, 60_000), read(600, 60_000)] == [5.0, 10.0, 10.0]
    assert [read(3, 70_000, epoch="f"), read(3, 80_000, None), read(900, 90_000)] == [5.0, None, 5.0]


def test_only_news_and_renewals_are_said() -> None:
    said = Said("f")

    def hint(at_ms: int, point: str = "15W", reason: str = "") -> PlanHint:
        return PlanHint(
            fleet="f", device="a", plan=1, issued_at_ms=at_ms, expires_at_ms=at_ms + 300_000, point=point,
            guarded=True, reason=reason,
        )  # fmt: skip

    def turn(now_ms: int, wanted: Hint | None, planned: str = "a") -> list[tuple[str, Hint | None]]:
        due = said.due({"a": wanted} if wanted else {}, planned, now_ms)
        for one in due:
            said.note(one)
        return [(str(one.topic), one.hint) for one in due]

    plan, sleep = str(PlanTopic("f", "a")), str(HintTopic("f", "a"))
    nap = SleepHint(fleet="f", device="a", issued_at_ms=0, expires_at_ms=10**6, serve_at_ms=900_000)
    assert turn(0, hint(0)) == [(plan, hint(0))]
    assert turn(60_000, hint(60_000, reason="other words")) == []
    assert turn(60_000, hint(60_000, "25W")) == [(plan, hint(60_000, "25W"))]
    assert turn(120_000, None, planned="b") == [], "nobody heard of it: its hint ends by itself"
    assert turn(210_000, hint(210_000, "25W")) == [(plan, hint(210_000, "25W"))]
    assert turn(220_000, nap) == [(plan, None), (sleep, nap)]
    assert turn(230_000, None) == [(sleep, None)]
    assert turn(240_000, None) == []
    turn(250_000, hint(250_000))
    said.forget()
    assert turn(251_000, hint(251_000)) == [(plan, hint(251_000))]


boards = st.lists(st.tuples(st.sampled_from(sorted(USABLE)), st.booleans()), min_size=1, max_size=8)


@given(boards, st.floats(0.0, 2500.0))
@settings(max_examples=100)
def test_traffic_is_gathered_without_promising_less_than_is_asked(
    some: list[tuple[str, bool]], asked_rps: float
) -> None:
    known = [
        Known(f"d{index}", Birth(device=f"d{index}", session="s", epoch="e", at_ms=0, version="0", board="b",
                                 control="enforce", points=BOARD.points), Policy(), 0.0)
        for index in range(len(some))
    ]  # fmt: skip
    planned = {f"d{index}": USABLE[point] for index, (point, inside) in enumerate(some) if inside}
    each = devices(known, 0.15, 0.85)
    most = {one.name: one.usable_rps for one in each}
    found: list[Backend] = devices(concentrated(known, each, planned, asked_rps), 0.15, 0.85)
    rps = {one.name: one.usable_rps for one in found}
    assert all(rps[name] <= most[name] * (1 + 1e-12) for name in most)
    assert sum(rps.values()) >= min(asked_rps, sum(most.values())) * (1 - 1e-9)
    if asked_rps <= sum(planned.get(name, most[name]) for name in most):
        assert rps == pytest.approx({name: planned.get(name, most[name]) for name in most})
    for one in found:
        if one.usable_rps < USABLE["7W"]:
            assert one.latency


async def test_the_plan_is_shown_by_rest_and_by_command(tmp_path: Path) -> None:
    world = World(mode="observe")
    web = FastAPI()
    web.include_router(router(world.planner))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(acting(web)), base_url="http://coordinator")
    assert (await client.get("/v1/plan")).json()["detail"] == "there is no plan: none has been made yet"
    world.born("a", "b")
    for _ in range(2):
        world.pass_minute({"a": "7W", "b": "25W"}, 110.0)
        made = world.planner.make(world.now_ms)
    shown = (await client.get("/v1/plan", params={"limit": 1})).json()
    assert [one["device"] for one in shown["devices"]] == ["a"]
    assert shown["groups"][0]["capacity_rps"] == pytest.approx(made.shown.groups[0].capacity_rps)
    answer = await client.get("/v1/plan/explain", params={"device": "b"})
    (sentence, device, observed) = answer.json()["sentences"]
    assert sentence.startswith("all: 220 rps expected + ")
    assert device.startswith("  b is asked to stand at ")
    assert observed == "boards are not told: planning.mode is observe"
    assert (await client.get("/v1/plan/explain", params={"device": "x"})).status_code == 404
    config = tmp_path / "coordinator.toml"
    config.write_text(f'[ledger]\nurl = "sqlite:///{tmp_path}/l.db"\n[coordinator]\nfleet = "f"\n')
    nothing = CliRunner().invoke(app, ["plan", "show", "--config", str(config)])
    assert str(nothing.exception) == 'no plan has been made yet: planning.mode is "off"'
    ledger = Ledger(f"sqlite:///{tmp_path}/l.db", 300_000)
    PlanBook(ledger.engine, "f").keep(made.shown)
    PlanBook(ledger.engine, "f").keep(made.shown)
    ledger.close()
    told = CliRunner().invoke(app, ["plan", "show", "--config", str(config)]).output
    assert "shown only, nobody is told" in told
    assert "220 rps expected" in told
    assert sentence in CliRunner().invoke(app, ["plan", "explain", "a", "--config", str(config)]).output


def test_the_table_follows_the_plan_unless_it_would_refuse_what_can_be_served(clock: HandClock) -> None:
    world = World()
    world.minute = clock.now_ms() // MINUTE_MS
    world.born("a", "b")
    world.pass_minute({"a": "25W", "b": "25W"}, 60.0)
    clock.move(world.now_ms / 1000.0 - clock.now_ms() / 1000.0)
    steering = steering_of(world.fleet, clock, Dispatch(absorb_loss=False))

    def share_of_a() -> float:
        steering.last = None  # without motion's bound
        table = steering.make().kept.table
        assert not table.refused
        return table.share("all", "a")

    assert share_of_a() == pytest.approx(0.5, abs=0.01)
    steering.planned = lambda _now_ms: {"a": USABLE["15W"], "b": 0.0}
    assert share_of_a() == pytest.approx(1.0, abs=0.01)
    steering.planned = lambda _now_ms: {"a": 1.0, "b": 3.0}
    assert share_of_a() == pytest.approx(0.25, abs=0.01)
    world.pass_minute({"a": "25W", "b": "25W"}, 200.0)
    clock.move(60.0)
    steering.planned = lambda _now_ms: {"a": 0.0, "b": USABLE["15W"]}
    assert share_of_a() == pytest.approx(0.5, abs=0.01), "one alone can't: nobody goes by the plan"


def test_traffic_that_is_gathered_still_bears_the_loss_of_a_site(clock: HandClock) -> None:
    world = World()
    world.minute = clock.now_ms() // MINUTE_MS
    world.born("a", site="roof")
    world.born("b", site="cellar")
    world.born("c", site="yard")
    world.pass_minute(dict.fromkeys("abc", "25W"), 30.0)
    clock.move(world.now_ms / 1000.0 - clock.now_ms() / 1000.0)
    steering = steering_of(world.fleet, clock, Dispatch())
    steering.planned = lambda _now_ms: {"a": 60.0, "b": 30.0, "c": 30.0}
    made = steering.make().kept
    room = {one.name: 0.85 * one.usable_rps for one in made.facts.backends}
    load = {name: made.table.planned_rps["all"] * made.table.share("all", name) for name in "abc"}
    assert sum(room.values()) < 0.85 * 3 * USABLE["15W"], "gathered it is"
    for lost in "abc":
        grown = 1.0 / (1.0 - made.table.share("all", lost))
        assert all(load[name] * grown <= room[name] for name in "abc" if name != lost)
