"""Tags: what lacks a tag that the policy requires gets it, where the policy says which value.

A part of the setting is one tag. AWS's tagging API lists only what has or had a tag: what never had one is
known from the bill, if that names resources. Tags save nothing by themselves: they say who could.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.levers.aws.client import Aws, aws, installed
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
    Throttled,
    Unsure,
)
from tidewatt_coordinator.levers.sights import Sights
from tidewatt_coordinator.levers.spend.settings import Required, Tags
from tidewatt_coordinator.levers.standing import expected

API = "resourcegroupstaggingapi"
NOTHING = Decimal(0)
CENT = Decimal("0.01")
#: Resources that are proposed at once: the dearest.
MOST = 50
SPENT_DAYS = 30
SERVER_ERROR, TOO_MANY = 500, 429


class TagsDriver:
    """See levers/driver.py."""

    name = "tags"
    calls = ("tag:GetResources", "tag:TagResources", "tag:UntagResources")
    """Beside these AWS wants each service's own right to tag."""

    def __init__(self, settings: Tags, sights: Sights) -> None:
        self._settings, self._sights = settings, sights
        self._names = [one.tag for one in settings.require]

    def probe(self) -> Probe:
        """Needs boto3 and a policy."""
        return installed() if self._settings.require else Probe("no", "levers.tags.require is empty")

    def observe(self) -> Sequence[Setting]:
        """Every resource that lacks a required tag or has a wrong value, with what it cost lately."""
        try:
            costs = self._sights.spent(SPENT_DAYS, ["resource"])
        except CostError as error:
            raise LeverError(str(error)) from error
        spent: dict[str, dict[str, str]] = {}
        for cost in costs:
            spent.setdefault(cost.key[0], {})[cost.currency] = str(cost.effective)
        with aws(API, self._settings) as tagging:
            tagged = dict(self._listed(tagging))
        # The bill's own that AWS doesn't list: those without any tag ever.
        never: dict[str, dict[str, str]] = {name: {} for name in spent if name.startswith("arn:")}
        known = never | tagged
        found = []
        for arn in sorted(known):
            content = {name: known[arn].get(name) for name in self._names}
            if any(not fits(one, content[one.tag]) for one in self._settings.require):
                found.append(Setting(target=arn, content=content, facts={"spent": spent.get(arn, {})}))
        return found

    def read(self, target: str) -> Setting:
        """The required tags of one resource."""
        with aws(API, self._settings) as tagging:
            tags = dict(self._listed(tagging, target)).get(target, {})
        return Setting(target=target, content={name: tags.get(name) for name in self._names})

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """The tags that the policy can tell, for the dearest resources first. A tag that is there stays."""
        found = []
        for one in settings:
            missing = [each for each in self._settings.require if one.content[each.tag] is None]
            told = {each.tag: derived(each, one.target) for each in missing}
            told = {tag: value for tag, value in told.items() if value is not None}
            if told:
                found.append(_recommend(one, told, context))
        return sorted(found, key=lambda each: (-(each.spending or NOTHING), each.target))[:MOST]

    def send(self, order: Order) -> None:
        """Put tags on, and take away those that are to be null."""
        with aws(API, self._settings) as tagging:
            tags = dict(self._listed(tagging, order.target)).get(order.target, {})
            if not expected(order.expect, dict(tags)):
                raise Lost(f"{order.target}: its tags are not as they were when this was ordered")
            put = {tag: value for tag, value in order.put.items() if value is not None}
            gone = [tag for tag, value in sorted(order.put.items()) if value is None and tag in tags]
            if put:
                _check(tagging.call("TagResources", ResourceARNList=[order.target], Tags=put))
            if gone:
                answer = tagging.call("UntagResources", ResourceARNList=[order.target], TagKeys=gone)
                _check(answer, after=bool(put))

    def _listed(self, tagging: Aws, arn: str = "") -> Iterator[tuple[str, dict[str, str]]]:
        asked: dict[str, Any] = {"ResourceARNList": [arn]} if arn else {}
        if self._settings.resource_types and not arn:
            asked["ResourceTypeFilters"] = self._settings.resource_types
        for page in tagging.pages("GetResources", **asked):
            for one in page.get("ResourceTagMappingList", []):
                yield one["ResourceARN"], {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}


def fits(required: Required, value: str | None) -> bool:
    """Whether a tag's value is what the policy wants."""
    return bool(value) and (not required.values or value in required.values)


def derived(required: Required, arn: str) -> str | None:
    """The value that the policy tells for a resource; None: a person must say."""
    return next((one.value for one in required.derive if fnmatchcase(arn, one.match)), None)


def _recommend(one: Setting, told: Content, context: Context) -> Recommendation:
    spent = one.facts["spent"].get(context.currency)
    shown = ", ".join(f"{tag} = {value}" for tag, value in sorted(told.items()))
    return Recommendation(
        driver=TagsDriver.name,
        target=one.target,
        service=_service(one.target),
        what=f"tag {one.target} with {shown}",
        before=dict.fromkeys(told),
        after=told,
        saving=Saving(low=NOTHING, middle=NOTHING, high=NOTHING, currency=context.currency),
        spending=Decimal(spent).quantize(CENT) if spent else None,
        disruption=0.0,
        risk="medium",  # policies and budgets may go by tags: a person looks
        evidence=[
            f"it lacks {', '.join(sorted(told))}; the tag policy tells the value by its ARN",
            f"it cost {Decimal(spent):,.2f} {context.currency} in {SPENT_DAYS} days that nobody answers for"
            if spent
            else "the bill doesn't tell what it costs",
        ],
    )


def _check(answer: dict[str, Any], *, after: bool = False) -> None:
    """Raise what a failure in the answer means; `after`: something was done before it already."""
    for arn, failed in answer.get("FailedResourcesMap", {}).items():
        status, code = failed.get("StatusCode", 0), failed.get("ErrorCode", "")
        sentence = f"{arn}: {code}: {failed.get('ErrorMessage', '')}"
        if after or status >= SERVER_ERROR:
            raise Unsure(sentence)
        if status == TOO_MANY or "Throttl" in code:
            raise Throttled(sentence)
        raise LeverError(sentence)


def _service(arn: str) -> str:
    parts = arn.split(":")
    return parts[2] if len(parts) > 2 else "AWS"  # noqa: PLR2004 - an ARN's third part
