"""CloudFront: a distribution's price class; with advice on flat-rate plans and caching.

UpdateDistribution replaces the whole configuration, so it goes back as it came but for the price class, with
the ETag that it came with. It has settled when every edge location has it: Deployed.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

from tidewatt_coordinator.levers.aws.client import Aws, aws, installed
from tidewatt_coordinator.levers.driver import (
    Context,
    Effect,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.edge.cloudfront_advice import cache_advice, compressible, plan_obstacles
from tidewatt_coordinator.levers.edge.cloudfront_logs import read_logs
from tidewatt_coordinator.levers.edge.cloudfront_mix import Mix, given
from tidewatt_coordinator.levers.edge.settings import CloudFront
from tidewatt_coordinator.levers.standing import expected
from tidewatt_coordinator.money import FINEST
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.prices.worked import least_plan, transfer
from tidewatt_coordinator.questions.changes import Selector

#: The bill's name of the service.
SERVICE = "Amazon CloudFront"
TABLE = "aws-cloudfront"
PART = "PriceClass"
#: Moving fewer requests than this is of low risk.
FEW = 0.01


class CloudFrontDriver:
    """See levers/driver.py."""

    name = "cloudfront"
    calls = (
        "cloudfront:ListDistributions",
        "cloudfront:GetDistribution",
        "cloudfront:UpdateDistribution",
        "s3:ListBucket",
        "s3:GetObject",
    )

    def __init__(self, settings: CloudFront, book: PriceBook, now_ms: Callable[[], int]) -> None:
        self._settings, self._book, self._now_ms = settings, book, now_ms

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """Every enabled distribution, with its configuration and its viewers."""
        with aws("cloudfront", self._settings) as cloudfront:
            found = [
                (name, _get(cloudfront, name))
                for name in sorted(self._settings.distributions or _all(cloudfront))
            ]
        kept = [(name, got) for name, got in found if _ours(got["Distribution"]["DistributionConfig"])]
        return [_setting(name, got, self._facts(name, got)) for name, got in kept]

    def read(self, target: str) -> Setting:
        """One distribution's price class."""
        with aws("cloudfront", self._settings) as cloudfront:
            return _setting(target, _get(cloudfront, target), {})

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """A cheaper class, a plan, and what caching would need."""
        on = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        found: list[Recommendation] = []
        for one in settings:
            mix = one.facts["mix"]
            if mix is not None:
                found += self._classes(one, mix, on)
                found += self._plan(one, mix, on)
                found += self._caching(one, mix, on)
        return found

    def send(self, order: Order) -> None:
        """Put the whole configuration back with another price class."""
        with aws("cloudfront", self._settings) as cloudfront:
            got = _get(cloudfront, order.target)
            config = got["Distribution"]["DistributionConfig"]
            if not expected(order.expect, _content(config)):
                raise Lost(f"{order.target}: its price class is not as it was when this was ordered")
            config = config | {PART: order.put[PART]}
            cloudfront.call(
                "UpdateDistribution", DistributionConfig=config, Id=order.target, IfMatch=got["ETag"]
            )

    def _facts(self, name: str, got: dict[str, Any]) -> dict[str, Any]:
        config = got["Distribution"]["DistributionConfig"]
        if viewers := self._settings.mix.get(name):
            return {"config": config, "mix": given(viewers)}
        return {
            "config": config,
            "mix": read_logs(name, config.get("Logging", {}), self._settings, self._now_ms()),
        }

    def _cost(self, mix: Mix, price_class: str, on: date, by: float = 1.0) -> Decimal:
        factor = Decimal(str(by))
        return transfer(
            self._book, {region: gb * factor for region, gb in mix.gigabytes.items()}, price_class, on=on
        )

    def _classes(self, one: Setting, mix: Mix, on: date) -> list[Recommendation]:
        """Every cheaper class, the one that saves most first."""
        table = self._book.table(TABLE, on=on)
        now = one.content[PART]
        if now not in table.reach:
            return []
        found = [
            self._class(one, mix, name, on)
            for name in table.reach
            if name != now and set(table.reach[name].regions) < set(table.reach[now].regions)
        ]
        worth = [each for each in found if each.saving.middle >= Decimal(str(self._settings.least_usd))]
        return sorted(worth, key=lambda each: (-each.saving.middle, each.what))

    def _class(self, one: Setting, mix: Mix, name: str, on: date) -> Recommendation:
        table, now = self._book.table(TABLE, on=on), one.content[PART]
        reach, present = table.reach[name], table.reach[now]
        spent = self._cost(mix, now, on)
        saved = [
            (self._cost(mix, now, on, by) - self._cost(mix, name, on, by)).quantize(FINEST)
            for by in (1 - mix.spread, 1.0, 1 + mix.spread)
        ]
        moved = mix.moved(reach, present)
        lost = ", ".join(sorted((set(present.regions) - set(reach.regions)) & mix.by_region.keys()))
        evidence = [
            *mix.evidence,
            (
                f"transfer costs {spent:.2f} {table.currency} a month in {now},"
                f" {self._cost(mix, name, on):.2f} in {name} ({table.name} of {table.date})"
            ),
            f"{moved:.1%} of the requests ({lost}) would be served from farther",
        ]
        effects, sentences = self._latency(mix, name, now, on)
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=self._settings.service or SERVICE,
            what=f"serve {one.target} by {name} instead of {now}",
            before={PART: now},
            after={PART: name},
            saving=Saving(low=saved[0], middle=saved[1], high=saved[2], currency=table.currency),
            spending=spent,
            disruption=min(1.0, moved),
            risk="low" if moved <= FEW else "medium",
            evidence=evidence + sentences,
            effects=effects,
            selector=Selector(services=[SERVICE]),
        )

    def _latency(self, mix: Mix, name: str, now: str, on: date) -> tuple[dict[str, Effect] | None, list[str]]:
        """What the class does to the tail, over all requests. None: nobody knows."""
        reach = self._book.table(TABLE, on=on).reach
        effects, told = {}, []
        for metric, share in (("p95_ms", 0.95), ("p99_ms", 0.99)):
            before = mix.quantile_ms(share, reach[now], reach[now], self._settings.farther_ms)
            after = mix.quantile_ms(share, reach[name], reach[now], self._settings.farther_ms)
            if before is None or after is None:
                return None, ["how long viewers wait is not known"]
            effects[metric] = Effect(plus=after - before)
            told.append(f"{metric[:3]} of all requests: {before:.0f} ms now, {after:.0f} ms then")
        return effects, [*told, "how much farther is assumed (farther_ms)"]

    def _plan(self, one: Setting, mix: Mix, on: date) -> list[Recommendation]:
        """A flat-rate plan is bought: advice."""
        gigabytes = sum(mix.gigabytes.values(), Decimal(0))
        plan = least_plan(self._book, requests=round(mix.requests), gigabytes=gigabytes, on=on)
        if plan is None:
            return []
        paid = {
            by: self._cost(mix, one.content[PART], on, by) for by in (1 - mix.spread, 1.0, 1 + mix.spread)
        }
        low, middle, high = ((each - plan.cost).quantize(FINEST) for each in paid.values())
        if middle < Decimal(str(self._settings.least_usd)):
            return []
        table = self._book.table("aws-cloudfront-flat", on=on)
        obstacles = plan_obstacles(one.facts["config"])
        evidence = [
            *mix.evidence,
            (
                f"{mix.requests:.0f} requests and {gigabytes:.0f} GB a month cost {paid[1.0]:.2f}"
                f" {table.currency} by use; {plan.name} is {plan.cost:f} a month and holds them"
                f" ({table.name} of {table.date}, {table.grade})"
            ),
            "instead of a price class, not beside it; beyond its allowance AWS may serve slower",
        ]
        if obstacles:
            evidence.append(f"it needs first that {'; '.join(obstacles)}")
        what = f"put {one.target} on the flat-rate plan {plan.name}"
        saving = Saving(low=low, middle=middle, high=high, currency=table.currency)
        return [self._advice(one, "plan", plan.name, what, saving, paid[1.0], evidence)]

    def _caching(self, one: Setting, mix: Mix, on: date) -> list[Recommendation]:
        told = cache_advice(one.facts["config"], mix, self._settings.least_hits)
        if not told:
            return []
        spent = self._cost(mix, one.content[PART], on)
        low, high = (each.quantize(FINEST) for each in compressible(one.facts["config"], spent))
        saving = Saving(low=low, middle=(low + high) / 2, high=high)
        what = f"look after the caching of {one.target}"
        return [self._advice(one, "caching", "as advised", what, saving, spent, told)]

    def _advice(
        self,
        one: Setting,
        part: str,
        then: str,
        what: str,
        saving: Saving,
        spent: Decimal,
        evidence: list[str],
    ) -> Recommendation:
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=self._settings.service or SERVICE,
            what=what,
            before={part: None},
            after={part: then},
            saving=saving,
            spending=spent,
            disruption=0.0,
            risk="medium",
            evidence=evidence,
            effects=None,
            irreversible=True,
            selector=Selector(services=[SERVICE]),
        )


def _all(cloudfront: Aws) -> list[str]:
    pages = cloudfront.pages("ListDistributions")
    return [one["Id"] for page in pages for one in page["DistributionList"].get("Items", [])]


def _get(cloudfront: Aws, name: str) -> dict[str, Any]:
    got = cloudfront.call("GetDistribution", Id=name)
    if not got.get("ETag"):
        raise LeverError(f"{name} came without an ETag: it could not be changed safely")
    return got


def _ours(config: dict[str, Any]) -> bool:
    """Disabled ones cost nothing; staging ones and those for tenants have no class of their own."""
    return bool(config["Enabled"]) and not config.get("Staging") and PART in config


def _content(config: dict[str, Any]) -> dict[str, Any]:
    return {PART: config.get(PART)}


def _setting(target: str, got: dict[str, Any], facts: dict[str, Any]) -> Setting:
    return Setting(
        target=target,
        content=_content(got["Distribution"]["DistributionConfig"]),
        version=got["ETag"],
        settled=got["Distribution"]["Status"] == "Deployed",
        facts=facts,
    )
