"""Budgets: what is spent, what is foreseen, which thresholds are passed, and what isn't known."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_coordinator.alerts.conditions import of_budget
from tidewatt_coordinator.budgets.settings import Budget
from tidewatt_coordinator.budgets.standing import Foreseen, Standing, standing
from tidewatt_coordinator.config import Config, parse_config
from tidewatt_coordinator.costs.days import DAY_MS
from tidewatt_coordinator.costs.series import DayCost, Settling, to_number
from tidewatt_wire.documents import DocumentError, to_toml

quick = settings(max_examples=200)
TAGS = ["site", "team"]
SETTLED = Settling(cloud_hours=48, edge_hours=3)
#: The middle of a Saturday.
NOW = date(2026, 11, 21)
NOW_MS = to_number(NOW) * DAY_MS + DAY_MS // 2


def a_cost(day: date, amount: Decimal | int, **said: Any) -> DayCost:
    known: dict[str, Any] = {
        "source": "focus",
        "currency": "USD",
        "kind": "Usage",
        "service": "Lambda",
        "tags": ("", "vision"),
        "billed": Decimal(amount),
        "effective": Decimal(amount),
        "spread": False,
    }
    return DayCost(day=to_number(day), **known | said)


def since(first: date, amount: int, **said: Any) -> list[DayCost]:
    return [
        a_cost(first + timedelta(days=number), amount, **said) for number in range((NOW - first).days + 1)
    ]


def straight(days: Sequence[tuple[date, Decimal]], month: date) -> Foreseen:
    """What is known, and the mean for every other day: exact, for the tests' arithmetic."""
    mean = sum((amount for _, amount in days), Decimal(0)) / len(days)
    known = [amount for day, amount in days if day >= month]
    middle = sum(known, Decimal(0)) + mean * (30 - len(known))
    return Foreseen(middle - 10, middle, middle + 10)


def stands(costs: list[DayCost], **said: Any) -> Standing:
    known: dict[str, Any] = {"name": "b", "amount": Decimal(1000)}
    budget = Budget(**known | said)
    return standing(budget, costs, TAGS, NOW_MS, SETTLED, straight)


def passed(found: Standing) -> list[tuple[str, int, bool | None]]:
    return [(one.of, one.percent, one.passed) for one in found.thresholds]


OCTOBER = date(2026, 10, 1)


def test_a_month_so_far_and_its_end() -> None:
    found = stands(since(OCTOBER, 30))
    assert found.month == date(2026, 11, 1)
    assert found.spent == 21 * 30
    assert found.percent == 63
    assert found.foreseen == Foreseen(Decimal(890), Decimal(900), Decimal(910))
    assert found.missing_days == 0
    assert passed(found) == [
        ("actual", 50, True), ("actual", 80, False), ("actual", 100, False), ("forecast", 100, False),
    ]  # fmt: skip


def test_a_forecast_close_below_the_threshold_changes_nothing() -> None:
    assert passed(stands(since(OCTOBER, 32)))[-1] == ("forecast", 100, None)
    assert passed(stands(since(OCTOBER, 34)))[-1] == ("forecast", 100, True)


def test_what_is_spent_stays_spent() -> None:
    # The last two days are dear, and not settled: the forecast doesn't know of them.
    costs = [*since(OCTOBER, 10), a_cost(NOW, 5000)]
    found = stands(costs)
    assert found.spent == 5210
    assert found.foreseen
    assert found.foreseen.middle == 5210
    assert all(one.passed for one in found.thresholds)


@pytest.mark.parametrize(
    ("said", "spent"),
    [
        ({}, 21 * 111),
        ({"service": "Lambda"}, 21 * 1),
        ({"site": "roof"}, 21 * 10),
        ({"tags": {"team": "vision"}}, 21 * 101),
        ({"tags": {"team": "vision"}, "service": "S3"}, 21 * 100),
        ({"currency": "EUR"}, 21 * 7),
    ],
)
def test_a_budget_counts_what_matches(said: dict[str, Any], spent: int) -> None:
    costs = [
        *since(OCTOBER, 1),
        *since(OCTOBER, 10, source="edge", service="Edge Electricity", tags=("roof", "")),
        *since(OCTOBER, 100, service="S3"),
        *since(OCTOBER, 7, currency="EUR"),
    ]
    assert stands(costs, **said).spent == spent


def test_billed_and_effective_are_two() -> None:
    costs = since(OCTOBER, 10, billed=Decimal(3))
    assert stands(costs).spent == 210
    assert stands(costs, cost="billed").spent == 63


def test_missing_is_not_zero() -> None:
    nothing = stands([])
    assert nothing.spent is None
    assert nothing.percent is None
    assert all(one.passed is None for one in nothing.thresholds)
    assert all(one.true is None for one in of_budget(nothing))
    # The import has failed since the tenth: what is known is shown, with the days that aren't.
    costs = [one for one in since(OCTOBER, 30) if one.day < to_number(date(2026, 11, 10))]
    late = stands(costs)
    assert late.spent == 270
    assert late.missing_days == 9  # up to the 18th, the last that should be settled
    assert late.foreseen
    assert late.foreseen.middle == 900
    # Another service has it all: of this one nothing was spent this month, and that is known.
    other = stands([*since(OCTOBER, 30), a_cost(OCTOBER, 5, service="S3")], service="S3")
    assert other.spent == 0
    assert passed(other)[0] == ("actual", 50, False)


def test_too_little_history_is_no_forecast() -> None:
    found = stands(since(NOW - timedelta(days=5), 30))
    assert found.foreseen is None
    assert passed(found)[-1] == ("forecast", 100, None)


def test_a_forecast_that_cannot_say_is_none() -> None:
    def cannot(_days: Sequence[tuple[date, Decimal]], _month: date) -> Foreseen:
        raise ValueError("too wild")

    found = standing(Budget(name="b", amount=Decimal(1)), since(OCTOBER, 1), TAGS, NOW_MS, SETTLED, cannot)
    assert found.foreseen is None


@quick
@given(
    costs=st.lists(st.tuples(st.integers(0, 51), st.decimals(-100, 1000, places=12)), max_size=40),
    order=st.randoms(use_true_random=False),
)
def test_the_spent_is_the_sum_whatever_the_order(costs: list[tuple[int, Decimal]], order: Any) -> None:
    rows = [a_cost(OCTOBER + timedelta(days=day), amount) for day, amount in costs]
    mixed = list(rows)
    order.shuffle(mixed)
    one, other = stands(rows), stands(mixed)
    assert (one.spent, one.foreseen, passed(one)) == (other.spent, other.foreseen, passed(other))
    if one.spent is not None:
        assert one.spent == sum((amount for day, amount in costs if day >= 31), Decimal(0))


def test_what_is_said() -> None:
    first, *_, last = of_budget(stands(since(OCTOBER, 30)))
    assert first.name == "budget.b.actual-50"
    assert first.summary == "budget b: 630.00 USD of 1000.00 spent for 2026-11 (63 %), 50 % is passed"
    assert last.summary == "budget b: 900.00 USD of 1000.00 foreseen for 2026-11 (90 %), 100 % is not passed"
    assert [one.severity for one in of_budget(stands(since(OCTOBER, 90)))] == [
        "warning", "warning", "critical", "warning",
    ]  # fmt: skip


BUDGETS = """
[[budgets]]
name = "all"
amount = "1200.50"
[[budgets]]
name = "vision"
amount = 300
tags = { team = "vision" }
forecast = [90, 100]
"""


def test_the_configuration_goes_around() -> None:
    config = parse_config(BUDGETS, name="c.toml")
    assert [one.amount for one in config.budgets] == [Decimal("1200.50"), 300]
    assert parse_config(to_toml(config), name="c.toml") == config
    assert parse_config("", name="c.toml").budgets == Config().budgets == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BUDGETS + BUDGETS, "budget 'all' stands there twice"),
        ("[[budgets]]\nname = 'a'\namount = 0", "budget a: amount 0 is not above zero"),
        ("[[budgets]]\nname = 'a b'\namount = 1", "budgets.name 'a b' is not a name"),
        ("[[budgets]]\nname = 'a'\namount = 1\nservise = 'x'", "did you mean 'service'?"),
        ("[[budgets]]\nname = 'a'\namount = 1\nactual = [0]", "Expected `int` >= 1"),
        ("[anomalies]\nfloor = 'x'", "anomalies.floor"),
        ("[[alerts.webhook]]\nname = 'a'\nurl = 'ftp://x'", "is not an http:// or https:// address"),
        ("[[alerts.webhook]]\nname = 'mqtt'\nurl = 'http://x'", "stands there twice, or is the broker's"),
        (
            "[[alerts.email]]\nname = 'm'\nserver = 'h:1'\nsender = 'a@b'\nto = ['b']",
            "'b' is not an address such as ops@example.com",
        ),
        ("[[alerts.email]]\nname = 'm'\nserver = 'h'\nsender = 'a@b'\nto = ['b@c']", "is not host:port"),
    ],
)
def test_wrong_configurations_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_config(text, name="c.toml")
    assert sentence in str(caught.value)
