"""DynamoDB: a table on demand or provisioned, whichever its own traffic makes cheaper at today's prices.

The part of the setting is how the table and its indexes are billed, as one: they change together. Tables
whose capacity Application Auto Scaling sets are its own, and left alone. UpdateTable has no precondition, so
it is read and written within one breath.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tidewatt_coordinator.levers.aws.client import Aws, aws, installed
from tidewatt_coordinator.levers.aws.series import Series, series
from tidewatt_coordinator.levers.data.settings import DynamoDb
from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    Foreign,
    Lost,
    Order,
    Probe,
    Recommendation,
    Setting,
)
from tidewatt_coordinator.levers.months import DAYS_PER_MONTH, a_month, day_of
from tidewatt_coordinator.levers.standing import expected
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

SERVICE = "Amazon DynamoDB"
PART = "billing"
#: The table itself, beside its indexes by name; no index may be called so.
TABLE = ""
ON_DEMAND, PROVISIONED = "PAY_PER_REQUEST", "PROVISIONED"
PERIOD_S, DAY_S, HOUR_S = 300, 86_400, 3600
KINDS = ("Read", "Write")
#: A switch costs a person's look: no table changes for less than a tenth.
LEAST_SHARE = 0.1
#: Keys of the price book: of a unit-hour that is provisioned, of a unit that is used.
PRICES = {"Read": ("provisioned-reads", "reads"), "Write": ("provisioned-writes", "writes")}


class Rates(msgspec.Struct, frozen=True):
    """Prices of one kind of unit."""

    hour: float
    """Of one that is provisioned for an hour: it can serve one a second."""
    unit: float
    """Of one that is used on demand."""

    def break_even(self) -> float:
        """The share of what is provisioned that must be used for it to cost what on demand costs."""
        return self.hour / (HOUR_S * self.unit)


class DynamoDbDriver:
    """See levers/driver.py."""

    name = "dynamodb"
    calls = (
        "application-autoscaling:DescribeScalableTargets", "cloudwatch:GetMetricData",
        "dynamodb:DescribeTable", "dynamodb:ListTables", "dynamodb:UpdateTable",
    )  # fmt: skip

    def __init__(self, settings: DynamoDb, book: PriceBook, now_ms: Callable[[], int]) -> None:
        self._settings, self._book, self._now_ms = settings, book, now_ms

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """Every table that is older than the days looked back at, with what was used of it."""
        with aws("dynamodb", self._settings) as cloud:
            names = self._settings.tables or [
                name for page in cloud.pages("ListTables") for name in page["TableNames"]
            ]
            tables = [_table(cloud, name) for name in sorted(names)]
        scaled = self._scaled()
        old_ms = self._now_ms() - self._settings.days * DAY_S * 1000
        found = []
        with aws("cloudwatch", self._settings) as watch:
            for table in tables:
                if table["CreationDateTime"].timestamp() * 1000 <= old_ms and not _odd(table):
                    facts = {"used": self._used(watch, table), "scaled": table["TableName"] in scaled}
                    found.append(_setting(table, facts))
        return found

    def read(self, target: str) -> Setting:
        """How one table is billed."""
        with aws("dynamodb", self._settings) as cloud:
            return _setting(_table(cloud, target.removeprefix("dynamodb://")), {})

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """The cheaper of the two."""
        told = [self._recommend(one, context) for one in settings if not one.facts["scaled"]]
        return [one for one in told if one]

    def send(self, order: Order) -> None:
        """Bill it otherwise."""
        name, put = order.target.removeprefix("dynamodb://"), order.put[PART]
        if name in self._scaled():
            raise Foreign(f"{order.target}: its capacity is set by Application Auto Scaling")
        with aws("dynamodb", self._settings) as cloud:
            table = _table(cloud, name)
            if why := _odd(table):
                raise Foreign(f"{order.target}: {why}")
            if not expected(order.expect, _setting(table, {}).content):
                raise Lost(f"{order.target} is not billed as it was when this was ordered")
            cloud.call("UpdateTable", TableName=name, **_request(put))

    def _scaled(self) -> set[str]:
        with aws("application-autoscaling", self._settings) as scaling:
            pages = scaling.pages("DescribeScalableTargets", ServiceNamespace="dynamodb")
            return {one["ResourceId"].split("/")[1] for page in pages for one in page["ScalableTargets"]}

    def _used(self, watch: Aws, table: dict[str, Any]) -> dict[str, list[float]]:
        """Units by index and kind, in every five minutes."""
        asked = {}
        for index in [TABLE, *(one["IndexName"] for one in table.get("GlobalSecondaryIndexes", []))]:
            at = (
                ("TableName", table["TableName"]),
                *((("GlobalSecondaryIndexName", index),) if index else ()),
            )
            for kind in KINDS:
                asked[f"{index}:{kind}"] = Series("AWS/DynamoDB", f"Consumed{kind}CapacityUnits", at)
        days = self._settings.days
        return series(watch, asked, now_ms=self._now_ms(), days=days, period_s=PERIOD_S)

    def _recommend(self, one: Setting, context: Context) -> Recommendation | None:
        day, region = day_of(context.now_ms), self._settings.region
        found = {
            kind: [self._book.find("aws-dynamodb", item, region, on=day) for item in items]
            for kind, items in PRICES.items()
        }
        rates = {
            kind: Rates(*(float(each.price.marginal()) for each in pair)) for kind, pair in found.items()
        }
        table = found["Read"][0].table
        now, used = one.content[PART], one.facts["used"]
        if not any(used.values()):
            return None
        after = needed(used, self._settings.use) if now["mode"] == ON_DEMAND else {"mode": ON_DEMAND}
        then, other = (
            costs(used, now, rates, self._settings.days),
            costs(used, after, rates, self._settings.days),
        )
        saving = a_month([a - b for a, b in zip(then, other, strict=True)], table.currency)
        spending = Decimal(repr(sum(then) / len(then))) * DAYS_PER_MONTH
        least = max(self._settings.least_usd, LEAST_SHARE * float(spending))
        if saving.middle < least or saving.low <= 0:
            return None
        tight = after["mode"] == PROVISIONED
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=self._settings.service or SERVICE,
            what=f"bill {one.target} {'by provisioned capacity' if tight else 'on demand'}",
            before={PART: now},
            after={PART: after},
            saving=saving,
            spending=spending if table.currency == context.currency else None,
            disruption=0.0,
            risk="medium" if tight else "low",
            # What is provisioned can be too little, and nothing measured says how often.
            effects=None if tight else {},
            evidence=[
                f"{self._settings.days} days in steps of five minutes: {_told(used, now, after)}",
                (
                    f"on demand costs what provisioned does that is used to {rates['Write'].break_even():.1%}"
                    f" (writes) or {rates['Read'].break_even():.1%} (reads) ({table.name} of {table.date})"
                ),
                "AWS lets a table go back on demand four times within a day",
            ],
            selector=Selector(services=[SERVICE]),
        )


def costs(
    used: Mapping[str, Sequence[float]], billing: Content, rates: Mapping[str, Rates], days: int
) -> list[float]:
    """What each day would have cost, billed so. Pure."""
    found = [0.0] * days
    for key, units in used.items():
        index, _, kind = key.rpartition(":")
        for day in range(days):
            if billing["mode"] == ON_DEMAND:
                steps = DAY_S // PERIOD_S
                found[day] += sum(units[day * steps : (day + 1) * steps]) * rates[kind].unit
            else:
                found[day] += billing["units"].get(index, {}).get(kind, 0) * rates[kind].hour * 24
    return found


def needed(used: Mapping[str, Sequence[float]], use: float) -> Content:
    """Capacity of which the busiest five minutes use that share; to two digits, so that it seldom differs."""
    units: dict[str, dict[str, int]] = {}
    for key, values in used.items():
        index, _, kind = key.rpartition(":")
        peak = max(values, default=0.0) / PERIOD_S / use
        digits = 10 ** max(0, math.floor(math.log10(max(peak, 1))) - 1)
        units.setdefault(index, {})[kind] = max(1, math.ceil(peak / digits) * digits)
    return {"mode": PROVISIONED, "units": units}


def _told(used: Mapping[str, Sequence[float]], now: Content, after: Content) -> str:
    units = (now if now["mode"] == PROVISIONED else after)["units"]
    parts = []
    for key, values in sorted(used.items()):
        index, _, kind = key.rpartition(":")
        mean = sum(values) / max(1, len(values)) / PERIOD_S
        peak, held = max(values, default=0.0) / PERIOD_S, units.get(index, {}).get(kind, 0)
        parts.append(
            f"{index or 'table'} {kind.lower()}s {mean:.3g}/s, at most {peak:.3g}, of {held} provisioned"
        )
    return "; ".join(parts)


def _table(cloud: Aws, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.call("DescribeTable", TableName=name)["Table"]
    return found


def _odd(table: dict[str, Any]) -> str:
    """What other prices hold for, or what a rollback would not restore, in a sentence."""
    if table.get("Replicas"):
        return "it is a global table, whose writes cost more"
    if table.get("TableClassSummary", {}).get("TableClass", "STANDARD") != "STANDARD":
        return "its table class has prices of its own"
    bounds = table.get("OnDemandThroughput", {}).values()
    return "its use on demand is bounded by somebody" if any(bound > 0 for bound in bounds) else ""


def _setting(table: dict[str, Any], facts: dict[str, Any]) -> Setting:
    mode = table.get("BillingModeSummary", {}).get("BillingMode", PROVISIONED)
    billing: Content = {"mode": mode}
    indexes = table.get("GlobalSecondaryIndexes", [])
    if mode == PROVISIONED:
        held = {TABLE: table["ProvisionedThroughput"]}
        held |= {one["IndexName"]: one["ProvisionedThroughput"] for one in indexes}
        billing["units"] = {
            name: {kind: one[f"{kind}CapacityUnits"] for kind in KINDS} for name, one in sorted(held.items())
        }
    states = [table["TableStatus"], *(one.get("IndexStatus", "ACTIVE") for one in indexes)]
    settled = all(state == "ACTIVE" for state in states)
    target = f"dynamodb://{table['TableName']}"
    return Setting(target=target, content={PART: billing}, settled=settled, facts=facts)


def _request(put: Content) -> dict[str, Any]:
    if put["mode"] == ON_DEMAND:
        return {"BillingMode": ON_DEMAND}
    throughput = {
        name: {f"{kind}CapacityUnits": units[kind] for kind in KINDS} for name, units in put["units"].items()
    }
    table = throughput.pop(TABLE)
    updates = [
        {"Update": {"IndexName": name, "ProvisionedThroughput": one}} for name, one in throughput.items()
    ]
    more = {"GlobalSecondaryIndexUpdates": updates} if updates else {}
    return {"BillingMode": PROVISIONED, "ProvisionedThroughput": table, **more}
