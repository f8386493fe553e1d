"""EventBridge: advice on rules that call their targets more often than somebody needs.

A rule costs nothing by itself: what it calls does, and is counted here as the smallest function there is, so
the saving is at least this.
"""

import json
import re
from collections.abc import Iterator
from datetime import date
from statistics import fmean
from typing import Any

from tidewatt_coordinator.levers.advice import Advice, Told
from tidewatt_coordinator.levers.aws.client import aws
from tidewatt_coordinator.levers.aws.series import Series, series
from tidewatt_coordinator.levers.driver import Setting
from tidewatt_coordinator.levers.months import DAYS_PER_MONTH, exact, shares
from tidewatt_coordinator.prices.worked import LAMBDA_X86, invocation

#: A schedule that is denser than this is asked about.
DENSE_MIN = 5
UNITS_MIN = {"minute": 1, "hour": 60, "day": 1440}
#: The smallest function: MB and milliseconds.
LEAST_MB, LEAST_MS = 128, 100
#: Keys of a pattern that choose among events of one source.
CHOOSING = ("detail-type", "detail", "resources")


class EventRulesDriver(Advice):
    """See levers/advice.py."""

    name = "event_rules"
    service = "AWS Lambda"
    calls = (
        "cloudwatch:GetMetricData",
        "events:ListEventBuses",
        "events:ListRules",
        "events:ListTargetsByRule",
    )

    def look(self, now_ms: int) -> Iterator[Setting]:
        """Every enabled rule that isn't another service's own."""
        with aws("events", self.settings) as events, aws("cloudwatch", self.settings) as watch:
            for bus in [one["Name"] for one in events.call("ListEventBuses")["EventBuses"]]:
                rules = [one for page in events.pages("ListRules", EventBusName=bus) for one in page["Rules"]]
                for rule in rules:
                    if rule["State"] != "ENABLED" or rule.get("ManagedBy"):
                        continue
                    name = rule["Name"]
                    at = (
                        (("RuleName", name),)
                        if bus == "default"
                        else (("EventBusName", bus), ("RuleName", name))
                    )
                    asked = {
                        "called": Series("AWS/Events", "Invocations", at),
                        "failed": Series("AWS/Events", "FailedInvocations", at),
                    }
                    found = series(watch, asked, now_ms=now_ms, days=self.settings.days)
                    targets = events.call("ListTargetsByRule", Rule=name, EventBusName=bus)["Targets"]
                    yield self.setting(
                        f"events://{bus}/{name}",
                        **found,
                        every_min=every_min(rule.get("ScheduleExpression", "")),
                        pattern=json.loads(rule.get("EventPattern") or "{}"),
                        targets=len(targets),
                    )

    def advise(self, one: Setting, day: date) -> Iterator[Told]:
        """A slower schedule, or a narrower pattern."""
        facts = one.facts
        if not facts["called"]:
            return
        calls = fmean(facts["called"])
        each = invocation(self._book, LAMBDA_X86, memory_mb=LEAST_MB, billed_ms=LEAST_MS, on=day)
        cost = exact(calls) * DAYS_PER_MONTH * each
        told = [
            (
                f"{calls:.0f} calls a day of {facts['targets']} targets, told as functions of {LEAST_MB} MB"
                f" and {LEAST_MS} ms: what they do costs more"
            ),
        ]
        if failed := sum(facts["failed"]):
            told.append(f"{failed:.0f} calls failed in {self.settings.days} days: a rule that nobody hears")
        every = facts["every_min"]
        if every and every < DENSE_MIN:
            share = 1 - every / DENSE_MIN
            yield Told(
                what=f"let {one.target} run every {DENSE_MIN} minutes, or by an event",
                saving=shares(cost, (share / 2, share)),
                spending=cost,
                evidence=[*told, f"it runs every {every:g} minutes"],
            )
        elif facts["pattern"] and unchoosing(facts["pattern"]):
            low, high = self.settings.saves
            yield Told(
                what=f"narrow the pattern of {one.target}: it takes every event of its sources",
                saving=shares(cost, self.settings.saves),
                spending=cost,
                evidence=[*told, f"saves between {low:.0%} and {high:.0%} of the calls: assumed"],
            )


def every_min(schedule: str) -> float:
    """Minutes between two runs of `rate(...)` or of a cron line that runs by the minute; 0: neither. Pure."""
    if found := re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule):
        return float(found[1]) * UNITS_MIN[found[2]]
    if found := re.fullmatch(r"cron\((?:\*|\*/(\d+)|0/(\d+)) .*\)", schedule):
        return float(found[1] or found[2] or 1)
    return 0.0


def unchoosing(pattern: dict[str, Any]) -> bool:
    """Whether a pattern takes all events of its sources, accounts or of the bus."""
    return not any(key in pattern for key in CHOOSING)
