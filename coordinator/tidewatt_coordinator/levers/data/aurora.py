"""Aurora Serverless v2: less of its least capacity by night, put back in the morning by the cloud itself.

The parts of the setting are two schedules of our own in EventBridge Scheduler: the evening's lowers the
cluster's least capacity, the morning's restores it, whether this product runs or not. The morning's is made
first and deleted last; in between a rollback by night restores the capacity itself.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from statistics import fmean
from typing import Any

from tidewatt_coordinator.levers.advice import ADVICE, Told, advised
from tidewatt_coordinator.levers.aws.client import Aws, Refusal, aws, installed
from tidewatt_coordinator.levers.aws.series import Series, series
from tidewatt_coordinator.levers.aws.steps import in_order
from tidewatt_coordinator.levers.data.aurora_nights import (
    CROWDED,
    DAY_S,
    HOUR_S,
    most_connections,
    night_least,
    saved,
)
from tidewatt_coordinator.levers.data.settings import Aurora
from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.months import DAYS_PER_MONTH, a_month, day_of, exact
from tidewatt_coordinator.levers.standing import expected
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector
from tidewatt_coordinator.rollout.windows import zone_of

SERVICE = "Amazon Relational Database Service"
#: Made in this order, deleted in the other.
MORNING, EVENING = "morning", "evening"
TARGET = "arn:aws:scheduler:::aws-sdk:rds:modifyDBCluster"
#: As the scheduler fills it in: told, so that what is read is what was written.
RETRIES = {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185}
CAPACITY = "ServerlessV2ScalingConfiguration"


class AuroraDriver:
    """See levers/driver.py."""

    name = "aurora"
    calls = (
        "cloudwatch:GetMetricData", "iam:PassRole (of `role`)", "rds:DescribeDBClusters",
        "rds:DescribeDBEngineVersions", "rds:ModifyDBCluster", "scheduler:CreateSchedule",
        "scheduler:DeleteSchedule", "scheduler:GetSchedule",
    )  # fmt: skip

    def __init__(self, settings: Aurora, book: PriceBook, now_ms: Callable[[], int]) -> None:
        self._settings, self._book, self._now_ms = settings, book, now_ms

    def probe(self) -> Probe:
        """Needs boto3, clusters and a role."""
        if not self._settings.clusters or not self._settings.role:
            return Probe("no", "levers.aurora names no clusters, or no role")
        return installed()

    def observe(self) -> Sequence[Setting]:
        """The clusters that are named, with their hours."""
        found = []
        with aws("rds", self._settings) as rds, aws("cloudwatch", self._settings) as watch:
            for name in sorted(self._settings.clusters):
                cluster = _cluster(rds, name)
                if CAPACITY in cluster:
                    facts = self._hours(watch, name) | self._facts(rds, cluster)
                    found.append(Setting(target=f"aurora://{name}", content=self._content(name), facts=facts))
        return found

    def read(self, target: str) -> Setting:
        """Our schedules of one cluster."""
        name = target.removeprefix("aurora://")
        return Setting(target=target, content={ADVICE: None} | self._content(name))

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Schedules where nights are quiet; pooling where connections are in their way."""
        return [told for one in settings for told in self._recommend(one, context)]

    def send(self, order: Order) -> None:
        """Make both schedules, or take both away."""
        if ADVICE in order.put:
            raise LeverError(f"{order.target}: advice only; nothing was changed")
        name = order.target.removeprefix("aurora://")
        now = self._content(name)
        if not expected(order.expect, now):
            raise Lost(f"{order.target}: our schedules are not as they were when this was ordered")
        with aws("scheduler", self._settings) as scheduler:
            made = [
                partial(scheduler.call, "CreateSchedule", **_request(name, when, order.put[when], order.key))
                for when in (MORNING, EVENING)
                if order.put[when] is not None and now[when] is None
            ]
            gone: dict[str, Callable[[], object]] = {
                when: partial(scheduler.call, "DeleteSchedule", Name=_name(name, when))
                for when in (EVENING, MORNING)
                if order.put[when] is None and now[when] is not None
            }
            if MORNING in gone:
                day = json.loads(now[MORNING]["input"])[CAPACITY]
                gone[MORNING] = partial(in_order, partial(self._restore, name, day), gone[MORNING])
            in_order(*made, *gone.values())

    def _restore(self, name: str, day: dict[str, Any]) -> None:
        """The day's capacity, if the evening's schedule has taken it."""
        with aws("rds", self._settings) as rds:
            now = _cluster(rds, name).get(CAPACITY, {})
            if now.get("MinCapacity", day["MinCapacity"]) < day["MinCapacity"]:
                rds.call(
                    "ModifyDBCluster",
                    DBClusterIdentifier=name,
                    ServerlessV2ScalingConfiguration=day,
                    ApplyImmediately=True,
                )

    def _content(self, name: str) -> Content:
        with aws("scheduler", self._settings) as scheduler:
            return {when: _schedule(scheduler, _name(name, when)) for when in (EVENING, MORNING)}

    def _hours(self, watch: Aws, name: str) -> dict[str, Any]:
        at = (("DBClusterIdentifier", name),)
        asked = {
            "capacity": Series("AWS/RDS", "ServerlessDatabaseCapacity", at, "Average"),
            "cpu": Series("AWS/RDS", "CPUUtilization", at, "Maximum"),
            "connections": Series("AWS/RDS", "DatabaseConnections", at, "Maximum"),
        }
        now_ms, days = self._now_ms(), self._settings.days
        found = series(watch, asked, now_ms=now_ms, days=days, period_s=HOUR_S)
        return {**found, "start_s": (now_ms // 1000 // DAY_S - days) * DAY_S}

    def _facts(self, rds: Aws, cluster: dict[str, Any]) -> dict[str, Any]:
        engine, version = cluster["Engine"], cluster["EngineVersion"]
        pauses = False
        if self._settings.night == 0:
            told = rds.call("DescribeDBEngineVersions", Engine=engine, EngineVersion=version)
            bounds = [one.get("ServerlessV2FeaturesSupport", {}) for one in told["DBEngineVersions"]]
            pauses = any(one.get("MinCapacity") == 0 for one in bounds)
        held = cluster[CAPACITY]
        return {
            "engine": engine,
            "version": version,
            "pauses": pauses,
            "least": held["MinCapacity"],
            "greatest": held["MaxCapacity"],
            "pause_s": held.get("SecondsUntilAutoPause"),
        }

    def _recommend(self, one: Setting, context: Context) -> Iterator[Recommendation]:
        facts, zone = one.facts, zone_of(self._settings.zone)
        if not facts["capacity"] or zone is None:
            return
        price = self._book.find(
            "aws-data", "aurora-capacity", self._settings.region, on=day_of(context.now_ms)
        )
        rate, currency = float(price.price.marginal()), price.table.currency
        spending = exact(sum(facts["capacity"]) / self._settings.days * rate) * DAYS_PER_MONTH
        night, why = night_least(facts, self._settings, zone)
        name = one.target.removeprefix("aurora://")
        units = {
            each: saved(facts, facts["least"], each, self._settings, zone)
            for each in (night, self._settings.night)
        }
        saving = a_month([each * rate for each in units[night]], currency)
        evidence = [
            (
                f"{fmean(units[night]):.3g} unit-hours a night of {self._settings.days} would not be held,"
                f" from {self._settings.evening} to {self._settings.morning} {self._settings.zone},"
                f" for {price.price.marginal()} {currency} each ({price.table.name})"
            ),
            f"by day {facts['least']:g} to {facts['greatest']:g} units; the morning's schedule restores them",
            *why,
        ]
        least = Decimal(repr(self._settings.least_usd))
        if (
            not any(one.content.values())
            and night < facts["least"]
            and saving.middle >= least
            and saving.low > 0
        ):
            yield self._told(one, name, night, saving, spending, evidence)
        more = a_month(
            [(a - b) * rate for a, b in zip(units[self._settings.night], units[night], strict=True)], currency
        )
        crowded = most_connections(facts["engine"], facts["greatest"], facts["least"])
        peak = max(facts["connections"], default=0.0)
        if crowded and peak > CROWDED * crowded:
            why.append(f"{peak:.0f} connections of the {crowded} that it allows")
        if more.middle >= least and more.middle > 0 and why:
            what = f"pool the connections of {one.target}, and close those that are idle"
            yield advised(
                self.name, one.target, SERVICE, Told(what=what, saving=more, evidence=why, spending=spending)
            )

    def _told(
        self, one: Setting, name: str, night: float, saving: Saving, spending: Decimal, evidence: list[str]
    ) -> Recommendation:
        facts, settings = one.facts, self._settings
        day = {"MinCapacity": facts["least"], "MaxCapacity": facts["greatest"]}
        low = (
            day | {"MinCapacity": night} | ({"SecondsUntilAutoPause": settings.pause_s} if night == 0 else {})
        )
        after = {
            when: {
                "expression": _cron(clock),
                "zone": settings.zone,
                "input": _input(name, held),
                "role": settings.role,
            }
            for when, clock, held in ((EVENING, settings.evening, low), (MORNING, settings.morning, day))
        }
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=settings.service or SERVICE,
            what=f"hold {night:g} instead of {facts['least']:g} units of {one.target} at least by night",
            before={when: one.content[when] for when in after},
            after=after,
            saving=saving,
            spending=spending,
            disruption=0.0,
            risk="medium",
            evidence=evidence,
            # It scales up by itself, from less: how slow the first requests of a burst are isn't measured.
            effects=None,
            selector=Selector(services=[SERVICE]),
        )


def _cluster(rds: Aws, name: str) -> dict[str, Any]:
    found: dict[str, Any] = rds.call("DescribeDBClusters", DBClusterIdentifier=name)["DBClusters"][0]
    return found


def _name(cluster: str, when: str) -> str:
    return f"tidewatt-{when}-{cluster}"


def _cron(clock: str) -> str:
    return f"cron({int(clock[3:])} {int(clock[:2])} * * ? *)"


def _input(name: str, held: dict[str, Any]) -> str:
    # The scheduler's names begin like this, not with DB as the API's do.
    told = {"DbClusterIdentifier": name, CAPACITY: held, "ApplyImmediately": True}
    return json.dumps(told, sort_keys=True)


def _request(cluster: str, when: str, part: Content, key: str) -> dict[str, Any]:
    target = {"Arn": TARGET, "RoleArn": part["role"], "Input": part["input"], "RetryPolicy": RETRIES}
    return {
        "Name": _name(cluster, when),
        "ScheduleExpression": part["expression"],
        "ScheduleExpressionTimezone": part["zone"],
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
        "Target": target,
        "ClientToken": f"{key}-{when}"[:64],
    }


def _schedule(scheduler: Aws, name: str) -> Content | None:
    try:
        found = scheduler.call("GetSchedule", Name=name)
    except Refusal as error:
        if error.code == "ResourceNotFoundException":
            return None
        raise
    target = found["Target"]
    part: Content = {
        "expression": found["ScheduleExpression"],
        "zone": found.get("ScheduleExpressionTimezone", "UTC"),
        "input": target.get("Input", ""),
        "role": target["RoleArn"],
    }
    # What differs from how we make them is not ours any more.
    odd = {"state": found.get("State", "ENABLED"), "arn": target["Arn"]}
    return part if odd == {"state": "ENABLED", "arn": TARGET} else part | odd
