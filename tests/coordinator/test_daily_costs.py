"""Costs by day, summed by the database: exactly what summing the charges one by one gives."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.costing import DAY_MS, OCTOBER_MS, a_charge, amounts, charges

from tidewatt_coordinator.costs.attribution import attribute, within
from tidewatt_coordinator.costs.charge import Charge, CostError, total
from tidewatt_coordinator.costs.daily import daily_costs
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.costs.recent import AGAIN_S, RecentCosts
from tidewatt_coordinator.costs.series import Coverage, DayCost, Settling, series
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger

quick = settings(max_examples=100)
WEEK = Window(OCTOBER_MS, OCTOBER_MS + 7 * DAY_MS)
SETTLED = Settling(cloud_hours=48, edge_hours=3)


@cache
def one_ledger() -> Ledger:
    """Of this module: to make one takes longer than all the rest."""
    return Ledger("sqlite://", 300_000)


def kept(*given_charges: Charge) -> Ledger:
    ledger = one_ledger()
    store = Charges(ledger.engine)
    for source in ("edge", "focus"):
        store.replace(source, [""], [], -1)
    store.put(given_charges, 1)
    return ledger


@st.composite
def near(draw: st.DrawFn) -> Charge:
    """A charge of about that week, an hour to ten days long."""
    start_ms = OCTOBER_MS + draw(st.integers(-5 * 24, 9 * 24)) * 3_600_000
    return a_charge(
        source=draw(st.sampled_from(["edge", "focus"])),
        key=draw(st.text("abcd", min_size=1, max_size=3)),
        start_ms=start_ms,
        end_ms=start_ms + draw(st.integers(1, 240)) * 3_600_000,
        service=draw(st.sampled_from(["a", "b"])),
        tags=draw(st.sampled_from([{}, {"team": "x"}, {"team": "it's 50 %"}, {"user:team": "y"}])),
        billed=draw(amounts()),
    )


@quick
@given(st.lists(near(), max_size=12))
def test_they_sum_to_the_charges_to_the_last_digit(given_charges: list[Charge]) -> None:
    given_charges = list({(one.source, one.key): one for one in given_charges}.values())
    found = list(daily_costs(kept(*given_charges).engine, WEEK, ["edge", "focus"], ["team", "user:team"]))
    cut = [part for one in given_charges if (part := within(one, WEEK))]
    assert total(one.billed for one in found) == total(one.billed for one in cut)
    assert total(one.effective for one in found) == total(one.effective for one in cut)
    for share in attribute(cut, ["service", "tag:team"]):
        team = share.key[1].removeprefix("(none)")
        mine = [one for one in found if (one.service, one.tags[0]) == (share.key[0], team)]
        assert total(one.billed for one in mine) == share.billed


@quick
@given(st.lists(charges(), max_size=6))
def test_any_charge_can_be_summed(given_charges: list[Charge]) -> None:
    whole = Window(0, 20 * DAY_MS)
    found = list(daily_costs(kept(*given_charges).engine, whole, ["edge"], ["a"]))
    kept_ones = {one.key: one for one in given_charges}.values()
    parts = [part for one in kept_ones if (part := within(one, whole))]
    assert total(one.billed for one in found) == total(part.billed for part in parts)


def test_both_databases_say_the_same(new_ledger_url: Callable[[], str]) -> None:
    ledger = Ledger(new_ledger_url(), 300_000)
    hour = 3_600_000
    texts = ("-0.5", "0.000000000001", "999999999999.999999999999", "-12", "7.25")
    Charges(ledger.engine).put(
        [
            a_charge(
                key=str(index),
                start_ms=OCTOBER_MS + index * hour,
                end_ms=OCTOBER_MS + (index + 1) * hour,
                billed=Decimal(text),
                tags={"team": "x"} if index % 2 else {},
            )
            for index, text in enumerate(texts)
        ],
        1,
    )
    found = sorted(daily_costs(ledger.engine, WEEK, ["focus"], ["team"]), key=lambda one: one.tags)
    assert [(one.tags, one.billed) for one in found] == [
        (("",), Decimal("1000000000006.749999999999")),
        (("x",), Decimal("-11.999999999999")),
    ]
    assert [one.day for one in found] == [OCTOBER_MS // DAY_MS] * 2
    ledger.close()


def test_a_tag_that_no_path_can_name_is_refused() -> None:
    with pytest.raises(CostError, match="quotes and backslashes"):
        list(daily_costs(kept().engine, WEEK, ["edge"], ['a"b']))


def a_day(number: int, amount: int = 1, *, source: str = "focus", spread: bool = False) -> DayCost:
    value = Decimal(amount)
    return DayCost(number, source, "USD", "Usage", "s", (), value, value, spread=spread)


def of_all(costs: list[DayCost], now_ms: int) -> dict[date, Decimal]:
    found = series(costs, lambda one: one.service, lambda one: one.billed, Coverage(costs), now_ms, SETTLED)
    return found.get(("s", "USD"), {})


def test_days_are_known_when_they_are_settled_and_said_anything_about() -> None:
    costs = [a_day(0), a_day(1, 5), a_day(3)]
    other = msgspec_other(a_day(2))
    at = 6 * DAY_MS
    assert of_all(costs, at) == {date(1970, 1, 1): 1, date(1970, 1, 2): 5, date(1970, 1, 4): 1}
    # Another service of the same source says that day 2 is there: then nothing was spent.
    assert of_all([*costs, other], at)[date(1970, 1, 3)] == 0
    # Day 3 is over at 4 days; two days later it is settled, and not a moment before.
    assert date(1970, 1, 4) not in of_all(costs, at - 1)
    # The edge's is settled after three hours, and a day must be known of both.
    edge = [a_day(day, source="edge") for day in range(5)]
    assert len(of_all(edge, 5 * DAY_MS + 3 * 3_600_000)) == 5
    assert sorted(of_all([*edge, *costs], at)) == [date(1970, 1, 1), date(1970, 1, 2), date(1970, 1, 4)]


def msgspec_other(one: DayCost) -> DayCost:
    return DayCost(one.day, one.source, "USD", "Usage", "other", (), one.billed, one.effective, one.spread)


def test_a_months_fee_does_not_make_days_known() -> None:
    fee = [a_day(day, spread=True) for day in range(30)]
    assert len(of_all([*fee, a_day(4)], 40 * DAY_MS)) == 1
    assert len(of_all(fee, 40 * DAY_MS)) == 30


def test_old_days_are_read_again_now_and_then() -> None:
    ledger = kept(a_charge(billed=Decimal(1)))
    reader = RecentCosts(ledger.engine, "focus", [], 60)
    now_ms = OCTOBER_MS + 30 * DAY_MS
    assert total(one.billed for one in reader.read(now_ms, 0.0).costs) == 1
    fresh = {"start_ms": now_ms - DAY_MS, "end_ms": now_ms}
    Charges(ledger.engine).put([a_charge(billed=Decimal(5)), a_charge(key="x", **fresh)], 2)
    assert total(one.billed for one in reader.read(now_ms, 60.0).costs) == 2  # the latest days at once
    assert total(one.billed for one in reader.read(now_ms, AGAIN_S).costs) == 6
    Charges(ledger.engine).put([a_charge(billed=Decimal(7))], 3)
    assert total(one.billed for one in reader.read(now_ms + DAY_MS, AGAIN_S + 1).costs) == 8
