"""AWS Budgets' DescribeBudgets: requests as values, answers as the budgets of a month. Pure.

AWS tells of a budget's present period alone, so what it told last within a month is that month's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from tidewatt_coordinator.costs.charge import CostError, amount, currency_code, word
from tidewatt_coordinator.costs.days import day_of, unix_ms

SOURCE = "aws_budgets"
PAGE = 100
Period = Literal["daily", "monthly", "quarterly", "annually", "custom"]
#: Of what a budget can leave out, all; left out of the answer, AWS's default is to count it.
COUNTED = (
    "IncludeTax", "IncludeSubscription", "IncludeRefund", "IncludeCredit", "IncludeUpfront",
    "IncludeRecurring", "IncludeOtherSubscription", "IncludeSupport", "IncludeDiscount",
)  # fmt: skip


class CloudBudget(msgspec.Struct, frozen=True, kw_only=True):
    """A cost budget, as AWS told of it last in a month of UTC. Amounts are of its own period."""

    account: str
    name: str
    month: str
    """Such as 2026-10."""
    period: Period
    limit: Decimal | None
    """None: AWS named none for this time."""
    actual: Decimal | None
    """Spent in the period so far, some hours late."""
    forecast: Decimal | None
    """For the period's end; None: AWS has too little history."""
    currency: str
    cost: Literal["effective", "billed"]
    """Amortised, or as the invoice says."""
    services: list[str] = []
    """Only these of the bill; empty: all."""
    tags: dict[str, str] = {}
    """Only what bears all of these."""
    beyond: str = ""
    """What of its scope our charges can't be asked for; empty: nothing, they can be compared with it."""
    told_ms: int


class _Spend(msgspec.Struct, frozen=True, rename="pascal"):
    amount: str
    unit: str


class _Calculated(msgspec.Struct, frozen=True, rename="pascal"):
    actual_spend: _Spend | None = None
    forecasted_spend: _Spend | None = None


class _Budget(msgspec.Struct, frozen=True, rename="pascal"):
    budget_name: Annotated[str, msgspec.Meta(min_length=1)]
    budget_type: str
    time_unit: str
    budget_limit: _Spend | None = None
    planned_budget_limits: dict[str, _Spend] = {}
    cost_filters: dict[str, list[str]] = {}
    cost_types: dict[str, bool] = {}
    calculated_spend: _Calculated = _Calculated()
    filter_expression: dict[str, object] | None = None
    time_period: dict[str, datetime] = {}
    metrics: list[str] = []
    billing_view_arn: str = ""


class Page(msgspec.Struct, frozen=True, rename="pascal"):
    """One answer."""

    budgets: list[_Budget] = []
    next_token: str | None = None


def request(account: str, token: str | None) -> dict[str, object]:
    """The arguments of one call of DescribeBudgets; it costs nothing."""
    asked: dict[str, object] = {"AccountId": account, "MaxResults": PAGE, "ShowFilterExpression": True}
    return asked | {"NextToken": token} if token else asked


def page(answer: object, where: str) -> Page:
    """An answer in its shape; CostError if it has another."""
    try:
        return msgspec.convert(answer, Page)
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise CostError(f"{where}: no answer of DescribeBudgets: {error}") from error


def budgets(found: Page, account: str, now_ms: int, where: str) -> list[CloudBudget]:
    """The budgets of one page that are of money and in force; those of usage and of coverage are left out."""
    return [
        _told(one, account, now_ms, where)
        for one in found.budgets
        if one.budget_type == "COST" and _in_force(one, now_ms)
    ]


def _in_force(one: _Budget, now_ms: int) -> bool:
    start, end = (one.time_period.get(name) for name in ("Start", "End"))
    return (start is None or unix_ms(start) <= now_ms) and (end is None or now_ms < unix_ms(end))


def _told(one: _Budget, account: str, now_ms: int, where: str) -> CloudBudget:
    where = f"{where}: budget {one.budget_name!r}"
    spent = one.calculated_spend
    said = [_limit(one, now_ms, where), spent.actual_spend, spent.forecasted_spend]
    currencies = {currency_code(spend.unit, where) for spend in said if spend}
    if len(currencies) > 1:
        raise CostError(f"{where} speaks of {' and '.join(sorted(currencies))} at once")
    limit, actual, forecast = (amount(spend.amount, where) if spend else None for spend in said)
    services, tags, beyond = _scope(one)
    try:
        period = msgspec.convert(one.time_unit.lower(), Period)
    except msgspec.ValidationError as error:
        raise CostError(f"{where}: its period {one.time_unit!r} is not known") from error
    return CloudBudget(
        account=account,
        name=word(one.budget_name),
        month=str(day_of(now_ms))[:7],
        period=period,
        limit=limit,
        actual=actual,
        forecast=forecast,
        currency=currencies.pop() if currencies else "USD",
        cost="effective" if _amortized(one) else "billed",
        services=services,
        tags=tags,
        beyond=beyond or ("" if period == "monthly" else f"it is not of a month ({period})"),
        told_ms=now_ms,
    )


def _amortized(one: _Budget) -> bool:
    if one.metrics:  # the newer way to say it
        return any("Amortized" in metric for metric in one.metrics)
    return one.cost_types.get("UseAmortized", False)


def _limit(one: _Budget, now_ms: int, where: str) -> _Spend | None:
    """Its limit; of limits that are planned by date, the one that has begun last."""
    if one.budget_limit or not one.planned_budget_limits:
        return one.budget_limit
    try:
        begun = {float(start): limit for start, limit in one.planned_budget_limits.items()}
    except ValueError as error:
        raise CostError(f"{where}: a planned limit begins at no time: {error}") from error
    past = [start for start in begun if start * 1000 <= now_ms]
    return begun[max(past)] if past else None


def _scope(one: _Budget) -> tuple[list[str], dict[str, str], str]:
    """Services, tags, and what of the scope neither of them says."""
    services: list[str] = []
    tags: dict[str, str] = {}
    beyond: list[str] = []
    for name, values in _filters(one, beyond).items():
        if name == "Service":
            services = [word(value) for value in values]
        elif name == "TagKeyValue" and len(values) == 1 and "$" in values[0]:
            tag, _, value = word(values[0]).partition("$")
            tags[tag.removeprefix("user:")] = value
        else:
            beyond.append(f"filters by {word(name)}: {', '.join(map(word, values))}"[:200])
    if one.cost_types.get("UseBlended") or "BlendedCost" in one.metrics:
        beyond.append("counts blended costs")
    if one.billing_view_arn and not one.billing_view_arn.endswith("/primary"):
        beyond.append("is of a billing view of its own")
    left_out = [name.removeprefix("Include") for name in COUNTED if not one.cost_types.get(name, True)]
    if left_out:
        beyond.append(f"leaves out: {', '.join(left_out)}")
    return services, tags, f"it {' and '.join(beyond)}" if beyond else ""


def _filters(one: _Budget, beyond: list[str]) -> Mapping[str, Sequence[str]]:
    """The filters by name. AWS has two languages for them; of the newer one, what is a single condition."""
    expression = one.filter_expression
    if one.cost_filters or not expression:
        return one.cost_filters
    match expression:
        case {"Dimensions": {"Key": "SERVICE", "Values": [*values]}} if len(expression) == 1:
            if _exact(expression["Dimensions"]):
                return {"Service": [str(value) for value in values]}
        case {"Tags": {"Key": str(key), "Values": [value]}} if len(expression) == 1:
            if _exact(expression["Tags"]):
                return {"TagKeyValue": [f"{key}${value}"]}
        case _:
            pass
    beyond.append("filters by an expression")
    return {}


def _exact(condition: object) -> bool:
    options = condition.get("MatchOptions") if isinstance(condition, Mapping) else None
    return set(options or ["EQUALS"]) <= {"EQUALS", "CASE_SENSITIVE"}
