"""AWS Cost Explorer's GetCostAndUsage: requests as values, answers as charges.

NetAmortizedCost is what decisions are made by, UnblendedCost what the invoice says. Its `End` is
exclusive, as ours is.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tidewatt_coordinator.costs.charge import (
    Charge,
    CostError,
    Kind,
    amount,
    check_period,
    currency_code,
    identity,
    word,
)
from tidewatt_coordinator.costs.days import Window, day_ms, day_of, iso, parse_day

SOURCE = "cost_explorer"
BILLED, EFFECTIVE, QUANTITY = "UnblendedCost", "NetAmortizedCost", "UsageQuantity"
MOST_GROUPS = 2
#: Dimensions by which Cost Explorer can group, as its reference lists them.
DIMENSIONS = (
    "AZ", "INSTANCE_TYPE", "LEGAL_ENTITY_NAME", "INVOICING_ENTITY", "LINKED_ACCOUNT", "OPERATION", "PLATFORM",
    "PURCHASE_TYPE", "SERVICE", "TENANCY", "RECORD_TYPE", "USAGE_TYPE", "REGION", "RESOURCE_ID",
)  # fmt: skip
#: FOCUS's categories of the services that this product meets; of others it is Other.
CATEGORIES = {
    "AWS Lambda": "Compute",
    "Amazon Elastic Compute Cloud - Compute": "Compute",
    "EC2 - Other": "Compute",
    "Amazon Elastic Container Service for Kubernetes": "Compute",
    "Amazon Simple Storage Service": "Storage",
    "Amazon Elastic File System": "Storage",
    "Amazon CloudFront": "Networking",
    "Amazon Route 53": "Networking",
    "Amazon Virtual Private Cloud": "Networking",
    "Amazon Elastic Load Balancing": "Networking",
    "Amazon DynamoDB": "Databases",
    "Amazon Relational Database Service": "Databases",
    "Amazon Athena": "Analytics",
    "AmazonCloudWatch": "Management and Governance",
    "AWS Cost Explorer": "Management and Governance",
}
KINDS: dict[str, Kind] = {
    "Tax": "Tax",
    "Credit": "Credit",
    "Refund": "Credit",
    "RIFee": "Purchase",
    "Recurring": "Purchase",
    "Upfront": "Purchase",
    "SavingsPlanRecurringFee": "Purchase",
    "SavingsPlanUpfrontFee": "Purchase",
    "SavingsPlanNegation": "Adjustment",
}


class _Metric(msgspec.Struct, frozen=True, rename="pascal"):
    amount: str
    unit: str = ""


class _Group(msgspec.Struct, frozen=True, rename="pascal"):
    keys: list[str]
    metrics: dict[str, _Metric]


class _Period(msgspec.Struct, frozen=True, rename="pascal"):
    start: str
    end: str


class _Result(msgspec.Struct, frozen=True, rename="pascal"):
    time_period: _Period
    groups: list[_Group] = []


class Page(msgspec.Struct, frozen=True, rename="pascal"):
    """One answer."""

    results_by_time: list[_Result] = []
    next_page_token: str | None = None


def group_definitions(group_by: Sequence[str]) -> list[dict[str, str]]:
    """GroupBy as Cost Explorer wants it; CostError for what it doesn't know."""
    if not 1 <= len(group_by) <= MOST_GROUPS:
        raise CostError(f"costs.cost_explorer.group_by has {len(group_by)} entries: one or two are possible")
    found = []
    for one in group_by:
        kind, _, name = one.rpartition(":")
        kind = kind or "DIMENSION"
        if kind not in ("DIMENSION", "TAG", "COST_CATEGORY") or not name:
            raise CostError(
                f"costs.cost_explorer.group_by: {one!r} is neither TAG:name nor COST_CATEGORY:name"
            )
        if kind == "DIMENSION" and name not in DIMENSIONS:
            raise CostError(
                f"costs.cost_explorer.group_by: {name!r} is none of {', '.join(DIMENSIONS)}, TAG:name"
            )
        found.append({"Type": kind, "Key": name})
    return found


def request(window: Window, group_by: Sequence[str], token: str | None) -> dict[str, object]:
    """The arguments of one call of GetCostAndUsage; the window is of whole days of UTC."""
    asked: dict[str, object] = {
        "TimePeriod": {"Start": str(day_of(window.start_ms)), "End": str(day_of(window.end_ms))},
        "Granularity": "DAILY",
        "Metrics": [BILLED, EFFECTIVE, QUANTITY],
        "GroupBy": group_definitions(group_by),
    }
    return asked | {"NextPageToken": token} if token else asked


def page(answer: object, where: str) -> Page:
    """An answer in its shape; CostError if it has another."""
    try:
        return msgspec.convert(answer, Page)
    except (msgspec.ValidationError, UnicodeError, RecursionError) as error:
        raise CostError(f"{where}: no answer of GetCostAndUsage: {error}") from error


def charges(found: Page, window: Window, group_by: Sequence[str], where: str) -> list[Charge]:
    """The charges of one page; what costs and used nothing is left out."""
    return [
        charge
        for result in found.results_by_time
        for group in result.groups
        if (charge := _charge(result.time_period, group, window, group_by, where))
    ]


def _charge(
    period: _Period, group: _Group, window: Window, group_by: Sequence[str], where: str
) -> Charge | None:
    begin, end = _times(period, where)
    if begin < window.start_ms or end > window.end_ms:
        raise CostError(f"{where}: {period.start} to {period.end} lies outside the days asked for")
    if len(group.keys) != len(group_by):
        raise CostError(f"{where}: a group has {len(group.keys)} keys where {len(group_by)} were asked for")
    named = dict(zip(group_by, group.keys, strict=True))
    billed, currency = _money(group, BILLED, where)
    effective, other = _money(group, EFFECTIVE, where)
    if currency != other:
        raise CostError(f"{where}: {BILLED} is in {currency} and {EFFECTIVE} in {other}")
    quantity, unit = _quantity(group, where)
    if not billed and not effective and not quantity:
        return None
    service = word(named.get("SERVICE", ""))
    return Charge(
        source=SOURCE,
        key=identity(iso(begin), *group_by, *group.keys),
        start_ms=begin,
        end_ms=end,
        provider="Amazon Web Services",
        service=service,
        category=CATEGORIES.get(service, "Other"),
        region=word(named.get("REGION", "")),
        account=word(named.get("LINKED_ACCOUNT", "")),
        resource=word(named.get("RESOURCE_ID", "")),
        description=", ".join(word(key) for key in group.keys),
        tags=_tags(named),
        quantity=quantity,
        unit=unit,
        billed=billed,
        effective=effective,
        currency=currency,
        kind="Tax" if service == "Tax" else KINDS.get(named.get("RECORD_TYPE", ""), "Usage"),
    )


def _times(period: _Period, where: str) -> tuple[int, int]:
    begin, end = (day_ms(parse_day(text, where)) for text in (period.start, period.end))
    check_period(begin, end, where)
    return begin, end


def _money(group: _Group, name: str, where: str) -> tuple[Decimal, str]:
    metric = group.metrics.get(name)
    if metric is None:
        raise CostError(f"{where}: {', '.join(group.keys)[:80]} has no {name}")
    return amount(metric.amount, f"{where}: {name}"), currency_code(metric.unit, f"{where}: {name}")


def _quantity(group: _Group, where: str) -> tuple[Decimal | None, str]:
    """Cost Explorer adds hours to gigabytes; it says N/A for their unit then."""
    metric = group.metrics.get(QUANTITY)
    if metric is None or metric.unit in ("", "N/A"):
        return None, ""
    return amount(metric.amount, f"{where}: {QUANTITY}"), word(metric.unit)


def _tags(named: dict[str, str]) -> dict[str, str]:
    """TAG:team and its key team$infra are the tag team=infra; team$ is to have no such tag."""
    tags = {}
    for group, key in named.items():
        kind, _, name = group.rpartition(":")
        value = re.sub(rf"^{re.escape(name)}\$", "", key)
        if kind and value:
            tags[word(name)] = word(value)
    return tags
