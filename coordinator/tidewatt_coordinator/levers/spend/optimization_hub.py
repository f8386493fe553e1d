"""AWS's own advice: Cost Optimization Hub's recommendations, or Compute Optimizer's where there is no hub.

They are shown beside ours, each resource once: what a driver of ours proposes, that driver can also apply and
take back. AWS's are advice: its recommendations are worth a day, and say nothing of promises.
"""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from tidewatt_coordinator.levers.aws.client import Aws, Refusal, aws, installed
from tidewatt_coordinator.levers.driver import (
    Context,
    LeverError,
    Order,
    Probe,
    Recommendation,
    Risk,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend.settings import OptimizationHub

CENT = Decimal("0.01")
PART = "state"
#: The hub answers in this region alone.
HUB_REGION = "us-east-1"
HUB, OPTIMIZER = "cost-optimization-hub", "compute-optimizer"
#: What the hub says where an account hasn't enrolled.
NOT_ENROLLED = ("AccessDeniedException", "OptInRequiredException", "ValidationException")
PURCHASES = ("PurchaseSavingsPlans", "PurchaseReservedInstances")
#: Whose recommendations these are about, too.
OUR_PURCHASES = "commitments"
EFFORT: dict[str, Risk] = {"VeryLow": "low", "Low": "low", "Medium": "medium"}
#: How far AWS's estimates are off, either way: they are by list prices and the last weeks' use.
LOW, HIGH = Decimal("0.6"), Decimal("1.1")


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """One of AWS's recommendations, whichever service it is from."""

    resource: str
    """Its ARN; its id where it has none."""
    action: str
    now: str
    then: str
    saving: str
    """A month's, as a decimal number."""
    currency: str
    cost: str = ""
    effort: str = ""
    restart: bool = False
    source: str = ""
    days: int = 0
    """Looked back on."""


class OptimizationHubDriver:
    """See levers/driver.py."""

    name = "optimization_hub"
    calls = ("cost-optimization-hub:ListRecommendations", "compute-optimizer:GetEC2InstanceRecommendations")

    def __init__(self, settings: OptimizationHub, sights: Sights) -> None:
        self._settings, self._sights = settings, sights

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """A setting for each resource that AWS has advice on, with what we propose ourselves."""
        ours = [
            {"driver": one.driver, "about": msgspec.json.encode([one.target, one.before, one.after]).decode()}
            for one in self._sights.proposed()
            if one.driver != self.name
        ]
        found = [
            Setting(
                target=one.resource,
                content={PART: one.now},
                facts={"advice": msgspec.to_builtins(one), "ours": ours},
            )
            for one in self._advice()
        ]
        return sorted(found, key=lambda one: (one.target, one.facts["advice"]["action"]))

    def read(self, target: str) -> Setting:
        """The resource as AWS's latest advice describes it; null when there is none any more."""
        now = next((one.now for one in self._advice() if one.resource == target), None)
        return Setting(target=target, content={PART: now})

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Those worth it that we don't have, the best for each resource."""
        del context
        best: dict[str, Advice] = {}
        for one in settings:
            advice = msgspec.convert(one.facts["advice"], Advice)
            known = best.get(one.target)
            if covered(advice, one.facts["ours"]) or Decimal(advice.saving) < self._settings.least_saving:
                continue
            if known is None or Decimal(advice.saving) > Decimal(known.saving):
                best[one.target] = advice
        return [_told(best[target]) for target in sorted(best)]

    def send(self, order: Order) -> None:
        """Never."""
        raise LeverError(f"{order.target}: this is AWS's advice; no driver of ours applies it")

    def _advice(self) -> list[Advice]:
        settings = msgspec.structs.replace(self._settings, region=HUB_REGION)
        try:
            with aws(HUB, settings) as hub:
                return list(from_hub(hub))
        except Refusal as error:
            if error.code not in NOT_ENROLLED:
                raise
        with aws(OPTIMIZER, self._settings) as optimizer:
            return list(from_optimizer(optimizer))


def from_hub(hub: Aws) -> Iterator[Advice]:
    """The hub's recommendations: it tells the best of those that exclude each other."""
    for page in hub.pages("ListRecommendations", includeAllRecommendations=False):
        for one in page.get("items", []):
            yield Advice(
                resource=one.get("resourceArn") or one.get("resourceId") or one["recommendationId"],
                action=one["actionType"],
                now=one.get("currentResourceSummary") or one.get("currentResourceType") or "as it is",
                then=one.get("recommendedResourceSummary") or one.get("recommendedResourceType") or "none",
                saving=str(one.get("estimatedMonthlySavings", 0)),
                currency=one.get("currencyCode") or "USD",
                cost=str(one.get("estimatedMonthlyCost", "")),
                effort=one.get("implementationEffort", ""),
                restart=one.get("restartNeeded", False),
                source=one.get("source", ""),
                days=one.get("recommendationLookbackPeriodInDays", 0),
            )


def from_optimizer(optimizer: Aws) -> Iterator[Advice]:
    """Compute Optimizer's on instances: the first option of each that saves anything."""
    token: dict[str, Any] = {}
    while True:
        page = optimizer.call("GetEC2InstanceRecommendations", **token)
        for one in page.get("instanceRecommendations", []):
            for option in sorted(one.get("recommendationOptions", []), key=lambda each: each["rank"])[:1]:
                saved = option.get("savingsOpportunity", {}).get("estimatedMonthlySavings", {})
                yield Advice(
                    resource=one["instanceArn"],
                    action="Rightsize",
                    now=one["currentInstanceType"],
                    then=option["instanceType"],
                    saving=str(saved.get("value", 0)),
                    currency=saved.get("currency", "USD"),
                    effort=option.get("migrationEffort", ""),
                    restart=True,
                    source="ComputeOptimizer",
                    days=round(one.get("lookBackPeriodInDays", 0)),
                )
        if not page.get("nextToken"):
            return
        token = {"nextToken": page["nextToken"]}


def covered(advice: Advice, ours: Sequence[dict[str, str]]) -> bool:
    """Whether a driver of ours proposes something about the same resource, or a purchase, too.

    Whole names only: i-0ab isn't i-0abc.
    """
    if advice.action in PURCHASES:
        return any(one["driver"] == OUR_PURCHASES for one in ours)
    name = re.split(r"[:/]", advice.resource)[-1]
    whole = re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])")
    return bool(name) and any(whole.search(one["about"]) for one in ours)


def _told(advice: Advice) -> Recommendation:
    saving = Decimal(advice.saving)
    after = advice.then if advice.then != advice.now else f"{advice.then} ({advice.action})"
    return Recommendation(
        driver=OptimizationHubDriver.name,
        target=advice.resource,
        service=_service(advice.resource),
        what=f"{advice.action}: {advice.now} to {advice.then}, AWS says",
        before={PART: advice.now},
        after={PART: after},
        saving=Saving(
            low=(saving * LOW).quantize(CENT),
            middle=saving.quantize(CENT),
            high=(saving * HIGH).quantize(CENT),
            currency=advice.currency,
        ),
        spending=Decimal(advice.cost).quantize(CENT) if advice.cost else None,
        disruption=1.0 if advice.restart else 0.01,
        risk=EFFORT.get(advice.effort, "high"),
        evidence=[
            f"{advice.source or 'AWS'}: {saving:,.2f} {advice.currency} a month, by {advice.days} days",
            (
                f"effort {advice.effort or 'unknown'}, {'a restart' if advice.restart else 'no restart'};"
                f" no driver of ours proposes anything for it"
            ),
        ],
        effects=None,
        irreversible=True,
    )


def _service(resource: str) -> str:
    parts = resource.split(":")
    return parts[2] if len(parts) > 2 and parts[0] == "arn" else "AWS"  # noqa: PLR2004 - an ARN's third part
