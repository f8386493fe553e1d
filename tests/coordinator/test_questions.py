"""The questions' arithmetic: parts that sum, forecasts that cover, savings that are found again."""

import random
import re
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.costing import amounts

from tidewatt_coordinator.costs.attribution import rounded
from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.money import total as total_of
from tidewatt_coordinator.questions.monthend import MonthEnd, month_end
from tidewatt_coordinator.questions.rollouts import change_of, touched
from tidewatt_coordinator.questions.rows import Cost, Use
from tidewatt_coordinator.questions.saving import Day, Realised, Sides, realised
from tidewatt_coordinator.questions.trend import direction_of, settled, totals, trends
from tidewatt_coordinator.questions.unitcost import per_request, whole
from tidewatt_coordinator.questions.waste import Worked, summed, wasted
from tidewatt_coordinator.questions.why import VOLUME, WORDS, reasons, shapley
from tidewatt_coordinator.questions.why import whole as whole_why
from tidewatt_coordinator.rollout.gates import Seen, Tally, energy_factor
from tidewatt_coordinator.rollout.plan import Content, State
from tidewatt_coordinator.rollout.terms import Plan, PlannedWave
from tidewatt_wire.messages import Policy, Rule

quick = settings(max_examples=100)
MONDAY = date(2026, 8, 3)
NOVEMBER = date(2026, 11, 1)

names = st.sampled_from(["a", "b", "c", "(none)"])


def a_cost(key: tuple[str, ...], effective: Decimal | str | int, **values: Decimal | str | None) -> Cost:
    known: dict[str, object] = {"key": key, "currency": "USD", "marginal": None}
    known |= {"effective": Decimal(effective), "billed": Decimal(effective)}
    return Cost(**(known | values))  # type: ignore[arg-type] # a test's shorthand


@st.composite
def keyed_costs(draw: st.DrawFn, keys: st.SearchStrategy[tuple[str, ...]]) -> list[Cost]:
    places = draw(st.lists(st.tuples(keys, st.sampled_from(["USD", "EUR"])), unique=True, max_size=8))
    return [
        Cost(
            key=key,
            currency=currency,
            billed=draw(amounts()),
            effective=draw(amounts()),
            marginal=draw(st.none() | amounts()),
            quantity=draw(st.none() | amounts("0")),
        )
        for key, currency in places
    ]


# Cost per request


@quick
@given(
    costs=keyed_costs(names.map(lambda name: (name,))),
    served=st.dictionaries(names, st.integers(0, 10**9)),
)
def test_what_requests_cost_sums_to_what_was_paid(costs: list[Cost], served: dict[str, int]) -> None:
    uses = [Use(key=(name,), energy_mj=7, requests=count) for name, count in served.items()]
    rows = per_request(costs, uses)
    for currency in {cost.currency for cost in costs}:
        mine = [row for row in rows if row.currency == currency]
        paid = sum((cost.effective for cost in costs if cost.currency == currency), Decimal(0))
        (total,) = (one for one in whole(rows, uses) if one.currency == currency)
        assert total.effective == sum(row.effective or 0 for row in mine) == paid
        assert total.requests == (sum(served.values()) if served else None)
        assert sum(rounded([row.effective or Decimal(0) for row in mine])) == round(paid, 2), "to the cent"
    assert {row.key[0] for row in rows} == {cost.key[0] for cost in costs} | set(served)
    for row in rows:
        if not row.requests:
            assert row.effective_per_request is None, "missing is not zero"
        if row.currency is None:
            assert row.effective is None


def test_a_request_of_the_reference_board_costs_what_the_notes_say() -> None:
    # 15 W, 330 requests/s, $0.15 a kWh: 1.89 nanodollars of electricity, 0.045 J.
    (row,) = per_request(
        [a_cost(("a",), "0.00225", marginal=Decimal("0.00225"))],
        [Use(key=("a",), energy_mj=54_000_000, requests=330 * 3600)],
    )
    assert row.marginal_per_request == Decimal("1.893939394E-9")
    assert row.joules_per_request is not None
    assert round(row.joules_per_request, 4) == Decimal("0.0455")


# Trend


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("100", "110", "flat"), ("100", "110.01", "up"), ("100", "90", "flat"), ("100", "89.99", "down"),
        ("0", "0", "flat"), ("0", "1", "new"), ("-5", "5", "unknown"), ("100", "0", "down"),
    ],
)  # fmt: skip
def test_a_tenth_is_no_trend(before: str, after: str, said: str) -> None:
    change, direction = direction_of(Decimal(before), Decimal(after))
    assert direction == said
    assert (change is None) == (Decimal(before) <= 0)


@quick
@given(
    before=keyed_costs(names.map(lambda name: (name,))), after=keyed_costs(names.map(lambda name: (name,)))
)
def test_trends_sum_to_the_total(before: list[Cost], after: list[Cost]) -> None:
    found = trends(before, after)
    for total in totals(found):
        for side, costs in ((total.before, before), (total.after, after)):
            assert side == sum(one.effective for one in costs if one.currency == total.currency)


def test_a_late_bill_is_waited_for_and_a_dead_source_is_not() -> None:
    today = date(2026, 11, 21)
    assert settled(today, {"edge": today, "focus": date(2026, 11, 19)}) == date(2026, 11, 19)
    assert settled(today, {"edge": today, "focus": date(2026, 10, 1)}) == today
    assert settled(today, {}) == today
    assert settled(today, {"edge": date(2026, 11, 2), "focus": date(2026, 10, 1)}) == date(2026, 11, 2)


# Why

fractions = st.fractions(-1000, 1000, max_denominator=1000)


@quick
@given(pairs=st.lists(st.tuples(fractions, fractions), min_size=1, max_size=5))
def test_shapleys_parts_sum_to_the_difference(pairs: list[tuple[Fraction, Fraction]]) -> None:
    before, after = [one for one, _ in pairs], [other for _, other in pairs]
    parts = shapley(before, after)
    assert sum(parts) == prod(after) - prod(before)
    for (old, new), part in zip(pairs, parts, strict=True):
        if old == new:
            assert part == 0, "what stayed explains nothing"
    backwards = shapley(after, before)
    assert [-part for part in backwards] == parts


#: An amount in a sentence.
SAID = re.compile(r"[+-][\d,]+\.\d\d")

service_keys = st.tuples(
    st.sampled_from([ELECTRICITY, "AWS Lambda"]), names, st.just("Usage"), st.just("kWh")
)
served_by_site = st.dictionaries(names, st.integers(0, 10**9), max_size=3)


@quick
@given(
    before=keyed_costs(service_keys),
    after=keyed_costs(service_keys),
    old=served_by_site,
    new=served_by_site,
)
def test_reasons_sum_to_the_difference(
    before: list[Cost], after: list[Cost], old: dict[str, int], new: dict[str, int]
) -> None:
    found = reasons(before, after, old, new)
    for one in [*found, *whole_why(found)]:
        assert total_of(one.parts.values()) == one.after - one.before
        assert set(one.parts) <= set(WORDS)
        # What is said of it adds up, too, to the cent.
        said = [Decimal(number.replace(",", "")) for number in SAID.findall(one.sentence)]
        assert total_of(said[1:]) == total_of(said[:1])
    for total in whole_why(found):
        assert total.after == sum(cost.effective for cost in after if cost.currency == total.currency)


def test_reasons_name_the_factor_that_moved() -> None:
    def electricity(quantity: str, effective: str) -> list[Cost]:
        return [a_cost((ELECTRICITY, "berlin", "Usage", "kWh"), effective, quantity=Decimal(quantity))]

    (traffic,) = reasons(electricity("100", "15"), electricity("200", "30"), {"berlin": 10}, {"berlin": 20})
    assert traffic.parts == {VOLUME: 15}
    assert traffic.sentence == "Edge Electricity at berlin: +15.00 USD: +15.00 more requests"
    (price,) = reasons(electricity("100", "15"), electricity("100", "20"), {"berlin": 10}, {"berlin": 10})
    assert price.parts == {"price": 5}
    (leaner,) = reasons(electricity("100", "15"), electricity("80", "12"), {"berlin": 10}, {"berlin": 10})
    assert leaner.parts == {"efficiency": -3}
    assert "-3.00 less energy for each request" in leaner.sentence
    (moved,) = reasons(
        electricity("100", "15"),
        electricity("50", "7.5"),
        {"berlin": 10, "rome": 10},
        {"berlin": 5, "rome": 15},
    )
    assert moved.parts == {"mix": Decimal("-7.5")}
    (unknown,) = reasons(electricity("100", "15"), electricity("200", "30"), {}, {})
    assert unknown.parts == {"usage": 15}, "without requests it is only known that more was used"
    (new,) = reasons([], electricity("100", "15"), {}, {})
    assert new.parts == {"other": 15}


# Waste


def a_worked(device: str, **values: int | str) -> Worked:
    known: dict[str, int | str] = {"site": "s", "model": "nano", "idle_mj": 0, "busy_mj": 10**9}
    return Worked(device=device, **(known | {"requests": 10**4} | values))  # type: ignore[arg-type]


def test_waste_is_counted_once() -> None:
    worked = [
        *(a_worked(f"usual-{n}") for n in range(4)),
        a_worked("hungry", busy_mj=3 * 10**9),
        a_worked("idle", idle_mj=3_600_000_000),
        a_worked("unused", requests=0, idle_mj=10**9),
        a_worked("hungry but alone", model="agx", busy_mj=9 * 10**9),
        a_worked("too few to tell", busy_mj=9 * 10**9, requests=10),
    ]
    costs = [a_cost((one.device,), "4") for one in worked]
    cluster = [a_cost(("__idle__",), "7.5"), a_cost(("shop",), "100")]
    found = wasted(worked, costs, {("s", "USD"): Decimal("0.36")}, cluster)
    assert [(one.kind, one.what, one.amount) for one in found] == [
        ("cluster_idle", "Kubernetes", Decimal("7.5")),
        ("unused", "unused", 4),
        ("idle", "idle", Decimal("0.36")),
        ("inefficient", "hungry", Decimal("0.2")),
    ]
    assert summed(found)["idle", "USD"] == Decimal("0.36")
    assert found[-1].sentence == "hungry takes 300 J for a request, its like 100 J: 0.20 USD"


# The month's end

Series = Callable[[random.Random, int], float]


def days_of(series: Series, seed: int, first: date, count: int) -> list[tuple[date, Decimal]]:
    chance = random.Random(seed)
    return [(first + timedelta(days=n), Decimal(str(series(chance, n)))) for n in range(count)]


def weekly(chance: random.Random, day: int) -> float:
    return (100.0 if day % 7 < 5 else 60.0) * (1 + chance.gauss(0, 0.08))


def rising(chance: random.Random, day: int) -> float:
    return 100.0 + 2.0 * day + chance.gauss(0, 6)


def spiky(chance: random.Random, _day: int) -> float:
    return 50.0 * chance.lognormvariate(0, 0.5)


def lasting() -> Series:
    """Noise that lasts over days."""
    state = 0.0

    def next_day(chance: random.Random, day: int) -> float:
        nonlocal state
        state = 0.5 * state + chance.gauss(0, 8)
        return 100.0 + (20.0 if day % 7 < 5 else 0.0) + state

    return next_day


@pytest.mark.parametrize("series", [lambda: weekly, lambda: rising, lambda: spiky, lasting])
@pytest.mark.parametrize("known", [3, 15, 26])
def test_the_interval_holds_the_truth_in_four_of_five_months(
    series: Callable[[], Series], known: int
) -> None:
    first = date(2026, 9, 20)
    hits, count = 0, 300
    for seed in range(count):
        days = days_of(series(), seed, first, 72)  # until the end of November
        truth = sum(amount for day, amount in days if day >= NOVEMBER)
        told = month_end([one for one in days if one[0] < NOVEMBER + timedelta(days=known)], NOVEMBER)
        assert told.low <= told.middle <= told.high
        hits += told.low <= truth <= told.high
    assert 0.68 <= hits / count <= 0.93


def test_a_month_that_is_over_is_known() -> None:
    days = [(NOVEMBER + timedelta(days=n), Decimal("1.10")) for n in range(30)]
    assert month_end(days, date(2026, 11, 30)) == MonthEnd(
        low=Decimal(33), middle=Decimal(33), high=Decimal(33)
    )


def test_a_pure_week_is_foretold_exactly() -> None:
    days = [
        (day, Decimal(100 if day.weekday() < 5 else 40))
        for day in (date(2026, 10, 5) + timedelta(days=n) for n in range(35))
    ]
    told = month_end(days, NOVEMBER)
    whole_month = [NOVEMBER + timedelta(days=n) for n in range(30)]
    assert round(told.middle, 6) == sum(100 if day.weekday() < 5 else 40 for day in whole_month)
    assert told.high - told.low < Decimal("0.001")


@quick
@given(
    days=st.dictionaries(st.dates(date(2026, 9, 1), date(2026, 11, 30)), amounts("0", "1000"), min_size=1),
    factor=st.integers(1, 1000),
    order=st.randoms(use_true_random=False),
)
def test_forecasts_are_whole_and_scale(days: dict[date, Decimal], factor: int, order: random.Random) -> None:
    told = month_end(sorted(days.items()), NOVEMBER)
    known = sum(amount for day, amount in days.items() if day >= NOVEMBER)
    assert known <= told.low <= told.middle <= told.high
    mixed = list(days.items())
    order.shuffle(mixed)
    assert month_end(mixed, NOVEMBER) == told, "the order of days is irrelevant"
    scaled = month_end([(day, amount * factor) for day, amount in days.items()], NOVEMBER)
    assert float(scaled.middle) == pytest.approx(float(told.middle) * factor, rel=1e-6, abs=1e-6)


def test_no_days_tell_nothing() -> None:
    with pytest.raises(ValueError, match="no day at all"):
        month_end([], NOVEMBER)


# Realised savings


def history(
    chance: random.Random, *, first: date, days: int, factor: float = 1.0, noise: float = 0.05
) -> list[Day]:
    found = []
    for number in range(days):
        day = first + timedelta(days=number)
        requests = round(1_000_000 * (1.0 if day.weekday() < 5 else 0.5) * chance.uniform(0.8, 1.2))
        cost = requests * 2e-6 * factor * (1 + chance.gauss(0, noise))
        found.append(Day(day=day, cost=Decimal(str(round(cost, 12))), requests=requests))
    return found


def around(chance: random.Random, factor: float, *, drift: float = 1.0, noise: float = 0.05) -> Sides:
    after = MONDAY + timedelta(days=28)
    return Sides(
        before=history(chance, first=MONDAY, days=28, noise=noise),
        after=history(chance, first=after, days=28, factor=factor * drift, noise=noise),
    )


def test_a_saving_is_found_and_its_interval_holds_it() -> None:
    hits = 0
    for seed in range(200):
        chance = random.Random(seed)
        sides = around(chance, 0.9)
        found = realised(sides, None, "USD")
        assert isinstance(found, Realised)
        truth = sum(Decimal(day.requests or 0) for day in sides.after) * Decimal("2e-6") * Decimal("0.1")
        assert found.saved == found.counterfactual - found.paid
        hits += found.low <= truth <= found.high
    assert 0.70 <= hits / 200 <= 0.95


def test_what_happened_to_all_is_nobodys_saving() -> None:
    # Prices rose by 30 % meanwhile: without the others the saving of 10 % would look like a loss.
    chance = random.Random(1)
    touched_sides = around(chance, 0.9, drift=1.3, noise=0.01)
    others = around(chance, 1.0, drift=1.3, noise=0.01)
    alone, compared = realised(touched_sides, None, "USD"), realised(touched_sides, others, "USD")
    assert isinstance(alone, Realised)
    assert isinstance(compared, Realised)
    assert alone.saved < 0
    assert float(compared.saved / compared.counterfactual) == pytest.approx(0.1, abs=0.02)
    assert "nobody was left untouched" in alone.sentence
    assert "+30" in compared.sentence or "+29" in compared.sentence


def test_a_saving_without_days_is_not_told() -> None:
    sides = around(random.Random(1), 1.0)
    told = realised(Sides(before=sides.before, after=sides.after[:2]), None, "USD")
    assert told == "2 days after it are known, and 3 are needed"
    free = [Day(day=day.day, cost=Decimal(0), requests=day.requests) for day in sides.before]
    assert "nothing was paid before" in str(realised(Sides(before=free, after=sides.after), None, "USD"))


def test_services_without_requests_are_compared_by_the_day() -> None:
    def a_week(first: date, cost: int) -> Sequence[Day]:
        return [Day(day=first + timedelta(days=n), cost=Decimal(cost)) for n in range(14)]

    told = realised(
        Sides(before=a_week(MONDAY, 10), after=a_week(MONDAY + timedelta(days=14), 7)), None, "USD"
    )
    assert isinstance(told, Realised)
    found = [told.paid, told.counterfactual, told.saved, told.low, told.high]
    assert found == [98, 140, 42, 42, 42]
    assert "what a day cost on the same weekday" in told.sentence


# Rollouts as changes


def test_a_canary_tells_what_it_saves_against_the_others() -> None:
    def seen(name: str, after_joules: float, *, reached: bool) -> Seen:
        before, after = (Tally(joules=joules, requests=1000) for joules in (100.0, after_joules))
        return Seen(device=name, reached=reached, before=before, after=after)

    others = [seen("c", 120.0, reached=False)]
    canary = [seen("a", 108.0, reached=True), seen("b", 108.0, reached=True)]
    factor, compared = energy_factor([*canary, *others], 1000)
    assert factor == pytest.approx(0.9)
    assert compared
    alone, compared = energy_factor(canary, 1000)
    assert alone == pytest.approx(1.08)
    assert not compared
    assert energy_factor(canary, 10**6) == (None, False)


def test_a_rollout_touches_what_its_rules_changed() -> None:
    def content(*rules: Rule) -> Content:
        return Content(rules=list(rules), name="leaner")

    everybody, oakland = Rule(), Rule(match={"site": "oakland"}, policy=Policy(slo_p95_ms=40.0))
    assert touched(content(everybody), content(oakland, everybody)) == [{"site": "oakland"}]
    assert touched(content(everybody), content(Rule(policy=Policy(slo_p95_ms=40.0)))) == []
    state = State(
        id="leaner-7",
        plan=Plan(waves=[PlannedWave(percent=100.0)]),
        base=content(everybody),
        new=content(oakland, everybody),
        begun_ms=1,
        reached_ms=[5],
        joules_factor=0.92,
        compared=True,
    )
    change = change_of(state, 9)
    assert (change.begun_ms, change.at_ms, change.predicted_share) == (5, 9, Decimal("0.08"))
    assert change.evidence == (
        "joules per request -8 % against the devices not reached yet, in the rollout's waves"
    )
