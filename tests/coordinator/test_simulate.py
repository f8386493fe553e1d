"""What-if: nothing is lost or invented, scenarios do what they say, and every door answers in sentences."""

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.prices.book import PriceError
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.prices.worked import least_plan
from tidewatt_coordinator.simulate.asked import Batch, One, Recorded, Refused, Wanted, answer
from tidewatt_coordinator.simulate.bundled import means, reference, templates
from tidewatt_coordinator.simulate.demand import Demand, Profile, drawn, recorded
from tidewatt_coordinator.simulate.life import live
from tidewatt_coordinator.simulate.outcome import Outcome
from tidewatt_coordinator.simulate.page import page
from tidewatt_coordinator.simulate.pool import Crew
from tidewatt_coordinator.simulate.pricing import Bill
from tidewatt_coordinator.simulate.reference import Story, told
from tidewatt_coordinator.simulate.scenario import outcome, sight
from tidewatt_coordinator.simulate.sources import summed
from tidewatt_coordinator.simulate.world import Change, Storm, World, changed
from tidewatt_coordinator.train.windows import Series
from tidewatt_wire.documents import parse_toml, to_toml
from tidewatt_wire.messages import Policy

REFERENCE = reference()
MEANS = means(load_book(), REFERENCE.date)
WORLD = REFERENCE.world
PROFILE = MEANS.profiles["orin-nano-super"]
#: Two days that differ, in hours of one height each.
DAYS = Demand(
    np.repeat([[50.0] * 8 + [550.0] * 10 + [100.0] * 6, [60.0] * 8 + [400.0] * 10 + [90.0] * 6], 60, axis=1),
    np.array([False, False]),
    "two days",
)
STEERED = changed(WORLD, Change(routing="dispatch", least_nodes=3, spot_share=0.7))


def ask(change: Change, world: World = STEERED, demand: Demand = DAYS) -> Outcome:
    return outcome("it", sight(world, demand, MEANS), change, demand, MEANS, seed=3)


@pytest.fixture(scope="module")
def story() -> Story:
    return told(REFERENCE, MEANS, seed=13)


@settings(max_examples=8)
@given(
    peak=st.floats(0.0, 4000.0),
    boards=st.integers(0, 6),
    spot=st.floats(0.0, 1.0),
    least=st.none() | st.integers(0, 5),
    even=st.booleans(),
    stormy=st.booleans(),
    function=st.booleans(),
)
def test_requests_are_conserved(
    peak: float, boards: int, spot: float, least: int | None, even: bool, stormy: bool, function: bool
) -> None:
    assert WORLD.boards
    world = msgspec.structs.replace(
        WORLD,
        boards=msgspec.structs.replace(WORLD.boards, count=boards),
        nodes=[msgspec.structs.replace(one, spot_share=spot, least=least) for one in WORLD.nodes],
        function=WORLD.function if function else None,
        routing="even" if even else "dispatch",
        storm=Storm(hour=9, minutes=90) if stormy else None,
    )
    rps = peak * (0.55 + 0.45 * np.sin(np.arange(1440) / 1440 * 2 * np.pi))[None, :]
    lived = live(world, Demand(rps, np.array([False]), ""), PROFILE, Bill(world, MEANS.book, MEANS.on).prices)
    asked = float(rps.sum() * 60)
    assert float(lived.asked[0]) == pytest.approx(asked)
    answered = float(lived.served.sum())
    assert answered + float(lived.unserved[0]) == pytest.approx(asked, abs=1e-3)
    assert -1e-3 <= lived.failed[0] <= lived.unserved[0] + 1e-3
    assert -1e-3 <= lived.slow[0] <= answered + 1e-3
    assert float(lived.waits.sum()) <= answered + 1e-3
    assert np.all(lived.node_hours >= 0)
    assert np.all(lived.waits >= -1e-6)
    assert 0.0 <= lived.bad[0] <= 1440


def test_price_class_200_saves_what_the_book_says_and_touches_nothing_else() -> None:
    found = ask(templates()["price-class-200"].change)
    assert (
        found.saving.middle
        == Decimal("30.00")
        == found.before.lines["delivery"] - found.after.lines["delivery"]
    )
    assert found.saving.low < found.saving.middle < found.saving.high, "days differ"
    assert found.before.shares == found.after.shares
    assert found.before.promise == found.after.promise == "kept"


def test_evenly_is_by_pool_whatever_its_nodes_are() -> None:
    found = ask(Change(spot_share=0.7), WORLD)
    assert found.before.shares["function"] == pytest.approx(0.2)
    assert found.after.shares["function"] == pytest.approx(0.2)
    assert found.after.shares["eks-us"] + found.after.shares["eks-us-spot"] == pytest.approx(0.2)
    assert found.after.spot_hours == pytest.approx(0.6), "of five nodes three"


def test_twice_the_traffic_is_twice_the_requests_and_the_price_of_tiers() -> None:
    found = ask(templates()["traffic-x2"].change)
    assert found.after.requests == pytest.approx(2 * found.before.requests)
    assert found.saving.high < 0 < found.after.lines["delivery"] - found.before.lines["delivery"]
    assert found.after.lines["delivery"] < 2 * found.before.lines["delivery"], "the tiers go down"


def test_boards_more_cost_their_keep_and_serve() -> None:
    assert WORLD.boards
    few = msgspec.structs.replace(STEERED, boards=msgspec.structs.replace(WORLD.boards, count=1))
    found = ask(templates()["more-boards"].change, few)
    assert found.after.lines["boards"] - found.before.lines["boards"] == 3 * WORLD.boards.kept_per_month
    assert found.after.shares["boards"] > 1.5 * found.before.shares["boards"]


def test_a_power_policy_saves_energy_and_keeps_the_promise() -> None:
    found = ask(templates()["power-policy"].change)
    assert found.after.energy_kwh < 0.97 * found.before.energy_kwh
    assert found.before.switches_per_day == 0 < found.after.switches_per_day
    assert found.after.promise == "kept"


def test_a_mode_that_is_too_weak_breaks_the_promise_and_it_is_said() -> None:
    assert WORLD.boards
    alone = msgspec.structs.replace(WORLD, nodes=[], function=None, routing="dispatch")
    found = ask(Change(policy=Policy(mode="15W")), alone, DAYS.times(3.0))
    assert found.after.promise == "broken"
    assert "availability" in found.after.told
    assert found.after.availability.high < found.before.availability.low


def test_a_storm_costs_requests_of_the_unwarned_nodes_only() -> None:
    calm, wild = ask(Change(storm=Storm(hour=12, unwarned=0.0))), ask(Change(storm=Storm(hour=12, share=1.0)))
    assert calm.after.error_rate.high == 0.0
    assert 0.0 < wild.after.error_rate.middle < 0.005
    assert wild.after.cost.middle > wild.before.cost.middle, "on-demand nodes stand in"
    with pytest.raises(ValueError, match="no spot nodes that a storm could take"):
        changed(WORLD, Change(storm=Storm(hour=1)))


def test_nodes_follow_start_late_and_are_replaced() -> None:
    pool = msgspec.structs.replace(WORLD.nodes[0], most=10, least=2, spot_share=0.5, start_min=3)
    crew = Crew(pool, Storm(hour=1, minutes=30, share=0.5))
    assert crew.minute(0) == ((5, 5), (5, 5))
    for minute in range(1, 30):
        crew.served(100.0)
        serving, _ = crew.minute(minute)
    assert serving == (1, 1), "two are the least"
    crew.served(2 * 120.0)
    assert sum(crew.minute(30)[0]) == 2 < sum(crew.minute(30)[1]), "paid for from the start"
    assert sum(crew.minute(33)[0]) == 3
    assert crew.took(60) == 1
    during, paid = crew.minute(60)
    after, _ = crew.minute(62)
    assert sum(during) == 2
    assert sum(paid) == 3
    assert sum(after) == 3


def test_one_recorded_day_has_no_interval_and_says_so() -> None:
    one = Demand(DAYS.rps[:1], DAYS.weekend[:1], "a day")
    found = ask(Change(price_class="PriceClass_100"), demand=one)
    assert found.saving.low == found.saving.middle == found.saving.high == Decimal("463.00")
    assert found.notes == ["one day was lived: there is nothing to draw from, and no interval"]
    assert ask(Change(traffic=1.5)).simulated


def test_recorded_demand_is_whole_days_and_gaps_hold_the_last_rate() -> None:
    rps = np.full(3 * 1440, 10.0)
    rps[2000:2010] = np.nan
    rps[1999] = 7.0
    found = recorded(Series("t", 1440 * 2 + 60, rps))  # from Saturday, 1970-01-03, 01:00
    assert found.rps.shape == (2, 1440)
    assert list(found.weekend) == [True, False]
    assert found.rps[0, 2005 - 1380] == 7.0
    assert float(np.quantile(recorded(Series("t", 0, rps), 99.0).rps, 0.995)) == pytest.approx(99.0)
    with pytest.raises(ValueError, match="0 whole days"):
        recorded(Series("t", 0, rps[:100]))
    both = summed("sum", [Series("a", 5, np.array([1.0, np.nan])), Series("b", 6, np.array([np.nan, 4.0]))])
    assert both.first == 5
    assert list(both.rps[[0, 2]]) == [1.0, 4.0]
    assert np.isnan(both.rps[1])


def test_a_profiles_days_differ_and_their_mean_stays() -> None:
    profile = Profile(weekday=[float(hour) for hour in range(24)], day_spread=0.2, days=14)
    found = drawn(profile, 1)
    assert np.mean(found.rps) == pytest.approx(11.5)
    assert len(set(np.round(found.rps.sum(axis=1), 6))) == 14
    assert np.array_equal(drawn(profile, 1).rps, found.rps)


def test_the_reference_adds_up(story: Story) -> None:
    assert [sum(row.noted.before for row in story.rows), sum(row.noted.after for row in story.rows)] == [
        3470,
        2970,
    ]
    for when in ("before", "after"):
        total = getattr(story, f"total_{when}").middle
        assert sum(getattr(row, when) for row in story.rows) == pytest.approx(total, abs=Decimal("0.05"))
    assert sum(step.saves.middle for step in story.steps) == pytest.approx(
        story.saving.middle, abs=Decimal("0.05")
    )
    rows = {row.noted.line: row for row in story.rows}
    assert rows["central"].before == Decimal("3175.50") == 15 * Decimal("0.29") * 730
    assert (rows["delivery"].before, rows["delivery"].after) == (Decimal("4563.00"), Decimal("4533.00"))
    fees = rows["delivery-requests"]
    assert fees.before == fees.after == pytest.approx(Decimal(str(story.before.requests)), abs=2), (
        "a dollar a million"
    )
    assert story.before.requests == pytest.approx(669, abs=2)
    assert story.after.promise == "kept"
    assert story.storm.error_rate.high < 0.005
    assert story.saving.low > 0


def test_what_the_reference_says_in_words_is_so() -> None:
    gigabytes = Decimal(50_000)
    few = least_plan(MEANS.book, requests=100_000_000, gigabytes=gigabytes, on=MEANS.on)
    assert few
    assert few.cost == 200
    assert least_plan(MEANS.book, requests=669_000_000, gigabytes=gigabytes, on=MEANS.on) is None
    assert Bill(WORLD, MEANS.book, MEANS.on).prices.request == pytest.approx(1.44e-6, abs=1e-8)


def test_the_page_is_of_simulated_figures(story: Story) -> None:
    text = page(story)
    assert "**Every figure on this\npage is simulated**" in text
    assert "| **Total** | 3,470 |" in text
    assert "assumed" in text


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"change": {}}, "a scenario needs to change something"),
        ({"template": "a", "change": {"traffic": 2}}, "a scenario is either a template or a change"),
        ({"template": "a", "demand": {"ledger": True, "query": "up"}}, "demand is from one place"),
        ({"change": {"trafic": 2}}, "unknown field `trafic`"),
        ({"change": {"spot_share": 2}}, "<= 1"),
    ],
)
def test_what_is_asked_wrongly_is_told(body: object, sentence: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=sentence):
        msgspec.json.decode(msgspec.json.encode(body), type=One)


def test_a_batch_lives_the_world_once_and_refuses_one_by_one() -> None:
    asked = Batch(
        scenarios=[
            Wanted(template="spot-storm"),
            Wanted(template="spot-7"),
            Wanted(template="price-class-200"),
        ]
    )
    found = answer(asked, Demand(DAYS.rps[:1], DAYS.weekend[:1], "a day"), MEANS)
    assert [type(one) for one in found] == [Outcome, Refused, Outcome]
    assert isinstance(found[1], Refused)
    assert "there is no template 'spot-7'" in found[1].error
    many = msgspec.structs.replace(asked, scenarios=asked.scenarios * 11)
    with pytest.raises(ValueError, match="33 scenarios over 7 days are more than 120"):
        answer(many, drawn(Profile(weekday=[1.0] * 24), 1), MEANS)


def test_a_world_that_cannot_be_is_told() -> None:
    assert WORLD.boards
    boards = msgspec.structs.replace(WORLD.boards, profile="nano")
    with pytest.raises(ValueError, match="no board profile 'nano'"):
        sight(msgspec.structs.replace(WORLD, boards=boards), DAYS, MEANS)
    pools = [msgspec.structs.replace(WORLD.nodes[0], instance="c7g.2xlrge")]
    with pytest.raises(PriceError, match=r"did you mean 'c7g.2xlarge'"):
        sight(msgspec.structs.replace(WORLD, nodes=pools), DAYS, MEANS)
    with pytest.raises(ValueError, match="has no delivery"):
        changed(msgspec.structs.replace(WORLD, delivery=None), Change(price_class="PriceClass_All"))
    with pytest.raises(ValueError, match="sum to 0.5, not to 1"):
        msgspec.convert(
            {"gigabytes_per_month": "1", "viewers": {"us": "0.5"}}, type(WORLD.delivery), strict=False
        )


SMALL = """
name = "small"
[[classes]]
name = "all"
share = 1.0
limit_ms = 60.0
[[nodes]]
name = "pool"
instance = "c7g.2xlarge"
region = "us-east-1"
most = 4
node_rps = 120.0
waits = { ms = [40.0], quicker = [0.99] }
"""


def test_the_command_runs_a_scenario_on_a_trace(tmp_path: Path) -> None:
    (tmp_path / "world.toml").write_text(SMALL)
    (tmp_path / "half.toml").write_text("least_nodes = 1\nspot_share = 0.5\n")
    lines = [
        f"2026-11-{20 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z,{6000 + minute}"
        for minute in range(2880)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["timestamp,requests_per_minute", *lines]))
    files = [
        "--change",
        str(tmp_path / "half.toml"),
        "--world",
        str(tmp_path / "world.toml"),
        "--trace",
        str(tmp_path / "t.csv"),
    ]
    plain = CliRunner().invoke(app, ["simulate", "run", *files])
    assert plain.exit_code == 0, plain.output
    assert "half, in small, on t, 2 recorded days. Everything is simulated." in plain.output
    assert "it saves $" in plain.output
    found = json.loads(CliRunner().invoke(app, ["simulate", "run", *files, "--json"]).output)
    assert found["simulated"] is True
    assert Decimal(found["before"]["lines"]["pool"]) == Decimal("846.80")
    listed = CliRunner().invoke(app, ["simulate", "templates"])
    assert set(templates()) == {line.split()[0] for line in listed.output.splitlines()}


def test_the_worlds_file_is_checked() -> None:
    assert parse_toml(SMALL, World, name="w").nodes[0].name == "pool"
    with pytest.raises(ValueError, match="none of boards, energy, delivery, delivery-requests: energy"):
        parse_toml(SMALL.replace('"pool"', '"energy"'), World, name="w")
    with pytest.raises(ValueError, match="nothing serves in this world"):
        parse_toml(SMALL.split("[[nodes]]", maxsplit=1)[0], World, name="w")


def test_every_seed_gives_the_same_answer_again() -> None:
    asked = One(template="spot-70", demand=Recorded(), seed=4)
    one = Demand(DAYS.rps, DAYS.weekend, "a day")
    assert answer(asked, one, MEANS) == answer(asked, one, MEANS)


def test_a_world_is_drawn_up_from_dispatch_and_says_what_is_missing(tmp_path: Path) -> None:
    pool = {"instance": "c7g.2xlarge", "node_rps": 120.0, "capacity_rps": 400.0}
    waits = {"bounds_ms": [20.0, 50.0], "counts": [40, 59, 1]}
    file = tmp_path / "c.toml"
    dispatch = {
        "classes": [{"name": "tight", "share": 0.25, "limit_ms": 60}, {"name": "loose", "limit_ms": 90}],
        "pools": [
            {"name": "steady", "kind": "on_demand", "latency": waits, **pool},
            {"name": "cheap", "kind": "spot", "latency": waits, **pool},
            {"name": "fn", "kind": "lambda", "billed_ms": 40, "capacity_rps": 1000.0, "latency": waits},
            {"name": "far", "kind": "http", "cost_per_million": "5", "capacity_rps": 9.0, "latency": waits},
        ],
    }
    file.write_text(to_toml(msgspec.convert({"dispatch": dispatch}, Config)))
    result = CliRunner().invoke(app, ["simulate", "world", "--config", str(file), "--boards", "4"])
    assert result.exit_code == 0, result.exception
    printed = result.output
    assert "# pool far is left out: a world has no backend of kind http" in printed
    world = parse_toml(printed, World, name="w")
    assert [(one.name, one.most, one.spot_share) for one in world.nodes] == [
        ("steady", 4, 0.0),
        ("cheap", 4, 1.0),
    ]
    assert world.nodes[0].waits.quicker == [0.4, 0.99]
    assert [(one.name, one.share) for one in world.classes] == [("tight", 0.25), ("loose", 0.75)]
    assert world.boards
    assert world.boards.count == 4
    assert ask(Change(storm=Storm(hour=12)), world).after.promise == "kept"
