"""Route 53: health checks that ask every ten seconds, replaced by ones that ask every thirty.

A check's interval can't be changed, so another is created, everything that asks the old one is pointed at it,
and the old one is deleted once the name servers know: in this order, so that no record is ever without a
check. The parts are the fast check and the slow one by their configuration; while both are there it is half
done, and the same order goes on from where it stopped. A replacement is known by its caller reference, which
names the check that was there at first.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

from tidewatt_coordinator.levers.aws.client import Aws, aws, installed
from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    Effect,
    Foreign,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
    Unsure,
)
from tidewatt_coordinator.levers.edge.route53_pointing import copy_tags, forget, point, pointing, told
from tidewatt_coordinator.levers.edge.settings import Route53
from tidewatt_coordinator.levers.standing import expected
from tidewatt_coordinator.money import FINEST
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

SERVICE = "Amazon Route 53"
#: Seconds between two questions of each checker, by part.
INTERVALS = {"fast": 10, "slow": 30}
REFERENCE = "tidewatt/"
MONTH_S = 2_592_000
USUAL_FAILURES = 3

Checks = dict[str, dict[str, Any]]
"""Health checks by part."""


class Route53Driver:
    """See levers/driver.py."""

    name = "route53"
    calls = (
        "route53:ListHealthChecks",
        "route53:CreateHealthCheck",
        "route53:UpdateHealthCheck",
        "route53:DeleteHealthCheck",
        "route53:ListTagsForResource",
        "route53:ChangeTagsForResource",
        "route53:ListHostedZones",
        "route53:ListResourceRecordSets",
        "route53:ChangeResourceRecordSets",
        "route53:GetChange",
        "cloudwatch:DescribeAlarmsForMetric",
    )

    def __init__(self, settings: Route53, book: PriceBook) -> None:
        self._settings, self._book = settings, book

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """Every check with an interval, by the ID that it had at first, with the alarms that watch it."""
        with aws("route53", self._settings) as route53, aws("cloudwatch", self._settings) as watch:
            families = _families(route53)
            chosen = [name for name in sorted(families) if name in (self._settings.checks or families)]
            return [_setting(name, families[name], _alarms(watch, families[name])) for name in chosen]

    def read(self, target: str) -> Setting:
        """One check and its replacement."""
        with aws("route53", self._settings) as route53:
            return _setting(target, _families(route53).get(target, {}), None)

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Replace each fast check by a slow one."""
        return [
            self._recommend(one, context)
            for one in settings
            if one.content["fast"] is not None and one.content["slow"] is None
        ]

    def send(self, order: Order) -> None:
        """Create what is wanted, point all at it, delete what isn't: from wherever it stopped."""
        with aws("route53", self._settings) as route53:
            there = _families(route53).get(order.target, {})
            if not expected(order.expect, _content(there)):
                raise Lost(f"health check {order.target} is not as it was when this was ordered")
            wanted = [part for part in INTERVALS if order.put.get(part) is not None]
            if len(wanted) != 1 or not there:
                raise LeverError(f"health check {order.target}: an order for one check, not for {wanted}")
            _replace(route53, order, there, wanted[0])

    def _recommend(self, one: Setting, context: Context) -> Recommendation:
        on = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        fast = one.content["fast"]
        slow = fast | {"RequestInterval": INTERVALS["slow"]}
        inside, outside = (
            self._book.find("aws-route53", f"health-check-option-{where}", on=on)
            for where in ("aws", "other")
        )
        low, high = inside.price.marginal(), outside.price.marginal()
        at_aws = fast.get("FullyQualifiedDomainName", "").endswith((".amazonaws.com", ".cloudfront.net"))
        later_s = (INTERVALS["slow"] - INTERVALS["fast"]) * fast.get("FailureThreshold", USUAL_FAILURES)
        lost = later_s * self._settings.outages_a_month / MONTH_S
        alarms = one.facts["alarms"]
        evidence = [
            (
                f"the option costs {low:f} a check and month for what is at AWS, else {high:f}"
                f" {inside.table.currency} ({inside.table.name} of {inside.table.date}, {inside.table.grade})"
            ),
            f"an outage is seen {later_s} s later",
        ]
        if alarms:
            evidence.append(f"the alarms {', '.join(alarms)} watch it by its ID: move them first, by hand")
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=self._settings.service or SERVICE,
            what=f"let {_what(fast)} be checked every {INTERVALS['slow']} s instead of {INTERVALS['fast']} s",
            before={"fast": fast, "slow": None},
            after={"fast": None, "slow": slow},
            saving=Saving(
                low=low.quantize(FINEST),
                middle=(low if at_aws else (low + high) / 2).quantize(FINEST),
                high=(low if at_aws else high).quantize(FINEST),
                currency=inside.table.currency,
            ),
            spending=_spending(self._book, fast, at_aws=at_aws, on_ms=context.now_ms),
            disruption=0.0,
            risk="medium",  # a new check begins as healthy, and a failover comes later
            evidence=evidence,
            effects={"availability": Effect(plus=-lost), "error_rate": Effect(plus=lost)},
            irreversible=bool(alarms),
            selector=Selector(services=[SERVICE]),
        )


def _replace(route53: Aws, order: Order, there: Checks, wanted: str) -> None:
    """Raises Unsure for whatever happens once something was changed."""
    users = pointing(route53, [one["Id"] for part, one in there.items() if part != wanted])
    if users.managed:
        raise Foreign(f"{', '.join(users.managed)}: a traffic policy made it, and would take it back")
    changed = wanted in there and len(there) > 1
    try:
        if wanted not in there:
            there = there | {wanted: _create(route53, order, wanted)}
            changed = True
        old = next((one for part, one in there.items() if part != wanted), None)
        copy_tags(route53, old["Id"] if old else "", there[wanted]["Id"])
        changed = point(route53, users, there[wanted]["Id"]) or changed
        if not told(route53, there[wanted]["Id"], users):
            raise Unsure("the name servers don't all know the new check yet: the old one stays till then")
        forget(route53, there[wanted]["Id"])
        if old:
            route53.call("DeleteHealthCheck", HealthCheckId=old["Id"])
    except LeverError as error:
        if changed and not isinstance(error, Unsure):
            raise Unsure(f"half of it is done: {error}") from error
        raise


def _create(route53: Aws, order: Order, part: str) -> dict[str, Any]:
    # The same for every try of one order: AWS makes one check of it, however often it is asked.
    digest = hashlib.sha256(order.key.encode()).hexdigest()[:10]
    reference = f"{REFERENCE}{order.target}/{digest}"
    made = route53.call("CreateHealthCheck", CallerReference=reference, HealthCheckConfig=order.put[part])
    found: dict[str, Any] = made["HealthCheck"]
    return found


def _families(route53: Aws) -> dict[str, Checks]:
    """Checks and their replacements by the ID of the first; none that another service owns."""
    found: dict[str, Checks] = {}
    for page in route53.pages("ListHealthChecks"):
        for one in page["HealthChecks"]:
            interval = one["HealthCheckConfig"].get("RequestInterval")
            part = next((part for part, seconds in INTERVALS.items() if seconds == interval), None)
            if part is None or "LinkedService" in one:
                continue
            reference = one["CallerReference"]
            ours = reference.startswith(REFERENCE)
            origin = reference.removeprefix(REFERENCE).partition("/")[0] if ours else one["Id"]
            found.setdefault(origin, {})[part] = one
    return found


def _content(checks: Checks) -> Content:
    return {part: _config(checks[part]) if part in checks else None for part in INTERVALS}


def _config(check: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = check["HealthCheckConfig"]
    return config | ({"Regions": sorted(config["Regions"])} if "Regions" in config else {})


def _setting(target: str, checks: Checks, alarms: list[str] | None) -> Setting:
    facts = {} if alarms is None else {"alarms": alarms}
    return Setting(target=target, content=_content(checks), facts=facts)


def _alarms(watch: Aws, checks: Checks) -> list[str]:
    """The alarms that know a check by its ID, which another one doesn't have."""
    found: set[str] = set()
    for one in checks.values():
        told_of = watch.call(
            "DescribeAlarmsForMetric",
            Namespace="AWS/Route53",
            MetricName="HealthCheckStatus",
            Dimensions=[{"Name": "HealthCheckId", "Value": one["Id"]}],
        )
        found |= {alarm["AlarmName"] for alarm in told_of.get("MetricAlarms", [])}
    return sorted(found)


def _what(config: dict[str, Any]) -> str:
    return str(config.get("FullyQualifiedDomainName") or config.get("IPAddress") or "its target")


def _spending(book: PriceBook, config: dict[str, Any], *, at_aws: bool, on_ms: int) -> Decimal:
    """What the check costs in a month: itself and its options."""
    on = datetime.fromtimestamp(on_ms / 1000, timezone.utc).date()
    where = "aws" if at_aws else "other"
    kind = str(config.get("Type", ""))
    options = 1 + ("HTTPS" in kind) + ("STR_MATCH" in kind) + bool(config.get("MeasureLatency"))
    check = book.find("aws-route53", f"health-check-{where}", on=on).price.marginal()
    option = book.find("aws-route53", f"health-check-option-{where}", on=on).price.marginal()
    return check + options * option
