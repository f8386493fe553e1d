"""Days that cost too much: found when they are there, and never in what is as always."""

import random
from datetime import date, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.anomalies.detect import Terms, Verdict, judge, mad, median
from tidewatt_coordinator.anomalies.groups import anomalies, groups, latest
from tidewatt_coordinator.costs.days import DAY_MS
from tidewatt_coordinator.costs.series import DayCost, Settling, to_number

quick = settings(max_examples=200)
FIRST = date(2026, 8, 3)
LONG = 80
TERMS = Terms()
money = st.decimals(0, 100_000, places=2)
weeks = st.lists(money, min_size=7, max_size=7)


def days_of(values: list[Decimal]) -> dict[date, Decimal]:
    return {FIRST + timedelta(days=index): value for index, value in enumerate(values)}


def verdicts(days: dict[date, Decimal], terms: Terms = TERMS) -> list[Verdict]:
    return [found for day in days if (found := judge(days, day, terms))]


def alarms(days: dict[date, Decimal], terms: Terms = TERMS) -> list[Verdict]:
    return [one for one in verdicts(days, terms) if one.kinds]


@quick
@given(week=weeks, gaps=st.sets(st.integers(0, LONG - 1), max_size=30))
def test_what_repeats_each_week_is_never_an_anomaly(week: list[Decimal], gaps: set[int]) -> None:
    days = days_of([week[index % 7] for index in range(LONG)])
    known = {day: cost for index, (day, cost) in enumerate(days.items()) if index not in gaps}
    assert not alarms(known)
    assert len(verdicts(days)) >= LONG - 8  # from the second week on there is a verdict on each


@quick
@given(level=money)
def test_what_is_constant_is_never_an_anomaly(level: Decimal) -> None:
    assert not alarms(days_of([level] * LONG))


@quick
@given(week=weeks, at=st.integers(28, LONG - 1), share=st.integers(20, 1000))
def test_a_spike_is_found_with_its_impact(week: list[Decimal], at: int, share: int) -> None:
    values = [week[index % 7] for index in range(LONG)]
    rise = max(Decimal(10), values[at] * share / 100)
    values[at] += rise
    (found,) = alarms(days_of(values))
    assert found.day == FIRST + timedelta(days=at)
    assert found.impact == rise
    assert "level" in found.kinds


@quick
@given(values=st.lists(money, min_size=LONG, max_size=LONG), factor=st.integers(1, 1000))
def test_the_currency_does_not_matter(values: list[Decimal], factor: int) -> None:
    scaled = days_of([value * factor for value in values])
    terms = msgspec.structs.replace(TERMS, floor=TERMS.floor * factor)
    one, other = verdicts(days_of(values)), verdicts(scaled, terms)
    assert [(v.day, v.kinds) for v in one] == [(v.day, v.kinds) for v in other]
    assert [v.impact * factor for v in one] == [v.impact for v in other]


@quick
@given(values=st.lists(money, min_size=30, max_size=30), seed=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(values: list[Decimal], seed: object) -> None:
    costs = [row(FIRST + timedelta(days=index), value) for index, value in enumerate(values)]
    mixed = list(costs)
    seed.shuffle(mixed)  # type: ignore[attr-defined]
    assert found_in(costs) == found_in(mixed)


@quick
@given(values=st.lists(money, min_size=LONG, max_size=LONG), later=st.lists(money, max_size=20))
def test_the_future_does_not_matter(values: list[Decimal], later: list[Decimal]) -> None:
    before = verdicts(days_of(values))
    assert verdicts(days_of([*values, *later]))[: len(before)] == before


def test_the_noise_of_ordinary_days_is_allowed_for() -> None:
    judged = raised = 0
    for seed in range(20):
        chance = random.Random(seed)
        wild = days_of([Decimal(f"{max(0.0, chance.gauss(200, 40)):.2f}") for _ in range(200)])
        judged, raised = judged + len(verdicts(wild)), raised + len(alarms(wild))
        day = FIRST + timedelta(days=200)
        dear = judge(wild | {day: Decimal(700)}, day, TERMS)
        assert dear
        assert "level" in dear.kinds
    assert raised / judged < 0.002  # one in a year and a half, of a service that is as noisy as this


def test_a_sudden_rise_is_found_where_the_level_wanders() -> None:
    # Up and down by thousands over the weeks: the level's spread is wide, the days' steps are small.
    slow = days_of([Decimal(2000 + 50 * min(index % 40, 40 - index % 40)) for index in range(LONG)])
    day = FIRST + timedelta(days=LONG)
    last = slow[day - timedelta(days=1)]
    quiet = judge(slow | {day: last + 50}, day, TERMS)
    assert quiet
    assert not quiet.kinds
    sudden = judge(slow | {day: last + 1500}, day, TERMS)
    assert sudden
    assert sudden.kinds == ("spike",)
    assert sudden.yesterday == last


def test_the_day_after_an_outage_is_none() -> None:
    days = days_of([Decimal(100)] * LONG)
    days[FIRST + timedelta(days=70)] = Decimal(0)
    assert not alarms(days)


@pytest.mark.parametrize(("rise", "found"), [("9.99", False), ("10", True)])
def test_the_floor_is_ten(rise: str, found: bool) -> None:
    days = days_of([Decimal(20)] * LONG)
    days[FIRST + timedelta(days=70)] += Decimal(rise)
    assert bool(alarms(days)) is found


@settings(max_examples=25)
@given(
    period=st.integers(3, 13),
    first=st.integers(0, 12),
    amount=st.integers(10, 10_000),
    off=st.integers(60, LONG - 1),
)
def test_what_comes_by_a_beat_is_no_anomaly_and_what_breaks_it_is(
    period: int, first: int, amount: int, off: int
) -> None:
    # From the beat's third turn on: before, nobody can tell that it is one.
    values = [Decimal(amount if index % period == first % period else 0) for index in range(LONG)]
    known = FIRST + timedelta(days=3 * period + 28)
    assert [one.day for one in alarms(days_of(values)) if one.day > known] == []
    values[off] += 2 * amount + 10
    dear = FIRST + timedelta(days=off)
    assert dear in [one.day for one in alarms(days_of(values))], "twice as much, or beside the beat"


def test_what_comes_now_and_then_is_compared_with_the_days_on_which_it_comes() -> None:
    chance = random.Random(3)
    values = [Decimal(chance.choice((0, 0, 0, 40)) + chance.random()) for _ in range(LONG)]
    values = [value if value > 1 else Decimal(0) for value in values]
    late = [one.day for one in alarms(days_of(values)) if one.day >= FIRST + timedelta(days=28)]
    assert late == []
    values[-1] = Decimal(90)
    (found,) = (one for one in alarms(days_of(values)) if one.day >= FIRST + timedelta(days=28))
    assert found.cost == 90
    assert 40 < found.expected < 41
    assert found.by.startswith("the median of the ")


def test_what_comes_on_the_first_of_each_month() -> None:
    days = days_of([Decimal(0)] * 95)
    bills = [day for day in days if day.day == 1]
    fees = days | dict.fromkeys(bills, Decimal(300))
    verdict = judge(fees, bills[-1], TERMS)
    assert verdict
    assert (verdict.kinds, verdict.by) == ((), "the median of the 1. of 2 months")


def test_too_little_history_is_no_verdict() -> None:
    days = days_of([Decimal(5)] * 7 + [Decimal(500)])
    assert not verdicts(days_of([Decimal(5)] * 7))
    assert [one.day for one in alarms(days)] == [FIRST + timedelta(days=7)]
    assert judge(days, FIRST + timedelta(days=30), TERMS) is None


def test_medians() -> None:
    assert median([Decimal(3), Decimal(1), Decimal(2)]) == 2
    assert median([Decimal(4), Decimal(1)]) == Decimal("2.5")
    assert mad([Decimal(1), Decimal(2), Decimal(9)]) == 1


# Groups


def row(day: date, amount: Decimal, service: str = "a", site: str = "", kind: str = "Usage") -> DayCost:
    return DayCost(to_number(day), "focus", "USD", kind, service, (site,), amount, amount, spread=False)


def found_in(costs: list[DayCost]) -> list[object]:
    now_ms = (to_number(FIRST) + 200) * DAY_MS
    watched = groups(costs, ["site"], [], now_ms, Settling(48, 3))
    return [one for group in watched for one in anomalies(group, FIRST, TERMS)]


def test_services_and_sites_are_watched_and_taxes_are_not() -> None:
    days = [FIRST + timedelta(days=index) for index in range(LONG)]
    costs = [row(day, Decimal(10), "a") for day in days] + [
        row(day, Decimal(10), "b", "roof") for day in days
    ]
    costs += [row(days[60], Decimal(900), "b", "roof"), row(days[60], Decimal(900), "a", kind="Tax")]
    found = found_in(costs)
    assert [(one.by, one.value, one.verdict.impact) for one in found] == [  # type: ignore[attr-defined]
        ("service", "b", 900),
        ("site", "roof", 900),
    ]


def test_a_new_service_is_compared_with_nothing_spent() -> None:
    days = [FIRST + timedelta(days=index) for index in range(LONG)]
    costs = [row(day, Decimal(10)) for day in days] + [row(days[70], Decimal(40), "new")]
    assert [(one.value, one.verdict.expected) for one in found_in(costs)] == [("new", 0)]  # type: ignore[attr-defined]


def test_the_latest_days_are_those_that_are_settled() -> None:
    days = [FIRST + timedelta(days=index) for index in range(LONG)]
    costs = [row(day, Decimal(10)) for day in days[:-2]] + [row(day, Decimal(999)) for day in days[-2:]]
    now_ms = (to_number(days[-1]) + 1) * DAY_MS
    (group,) = [one for one in groups(costs, ["site"], [], now_ms, Settling(48, 3)) if one.by == "service"]
    assert [one.day for one in latest(group, 3, TERMS)] == days[-5:-2]
    assert not any(one.kinds for one in latest(group, 3, TERMS))
