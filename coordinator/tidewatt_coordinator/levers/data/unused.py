"""Resources that nobody uses: quarantined, and deleted when nobody missed them and a person says so.

A quarantine can be taken back: it tags, and copies a volume into a snapshot first; taking it back takes away
the tag and our own copy. After it, volumes that have their copy and addresses are deleted, if a person
approves that as final; the deletion of snapshots and load balancers is recommended only, with the call.
A copy counts only if nobody used the volume since: one of an earlier quarantine lacks what came after it.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from tidewatt_coordinator.levers.aws.client import Aws, aws, installed
from tidewatt_coordinator.levers.aws.series import Series, series
from tidewatt_coordinator.levers.aws.steps import in_order
from tidewatt_coordinator.levers.data.settings import Unused
from tidewatt_coordinator.levers.data.unused_seen import (
    SINCE,
    Copy,
    Resource,
    copies,
    day_ms,
    everything,
    make_copy,
    one,
)
from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    Foreign,
    LeverError,
    Lost,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.months import day_of
from tidewatt_coordinator.levers.standing import expected
from tidewatt_coordinator.prices.book import HOURS_PER_MONTH, PriceBook
from tidewatt_coordinator.questions.changes import Selector

SERVICE = "EC2 - Other"
EXISTS, QUARANTINED, COPIED = "exists", "quarantined", "copied"
DAY_MS = 86_400_000
#: CloudWatch keeps days for 455 of them.
MOST_DAYS = 450
#: What a person calls to delete one.
DELETES = {
    "snapshot": "ec2 DeleteSnapshot SnapshotId=",
    "load-balancer": "elbv2 DeleteLoadBalancer LoadBalancerArn=",
}


#: What this driver deletes itself once a person has approved it as final, and how to get it back.
FINAL = {
    "volume": "make another volume of its copy: ec2 CreateVolume SnapshotId={}",
    "address": "allocate another address: this one goes to whoever asks for it next",
}


class UnusedDriver:
    """See levers/driver.py."""

    name = "unused"
    calls = (
        "cloudwatch:GetMetricData", "ec2:CreateSnapshot", "ec2:CreateTags",
        "ec2:DeleteSnapshot (its own copies)",
        "ec2:DeleteVolume", "ec2:ReleaseAddress",
        "ec2:DeleteTags", "ec2:DescribeAddresses", "ec2:DescribeImages", "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes", "elasticloadbalancing:AddTags", "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeTags", "elasticloadbalancing:RemoveTags",
    )  # fmt: skip

    def __init__(self, settings: Unused, book: PriceBook, now_ms: Callable[[], int]) -> None:
        self._settings, self._book, self._now_ms = settings, book, now_ms

    def probe(self) -> Probe:
        """Needs boto3."""
        return installed()

    def observe(self) -> Sequence[Setting]:
        """What is tagged as of the environments, with how long it was idle."""
        with aws("ec2", self._settings) as ec2, aws("elbv2", self._settings) as balancing:
            ours = list(everything(ec2, balancing, self._settings.tag, self._settings.environments))
            copied, counted = copies(ec2), self._counted(ours)
            return [
                self._setting(each, copied.get(each.id), used=any(counted.get(each.id, [])))
                for each in sorted(ours, key=lambda each: (each.kind, each.id))
            ]

    def read(self, target: str) -> Setting:
        """One of them."""
        kind, name = target.split(" ", 1)
        with aws("ec2", self._settings) as ec2, aws("elbv2", self._settings) as balancing:
            return self._read(ec2, balancing, kind, name)

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Quarantine what is idle, delete what was quarantined long enough, release what is used again."""
        told = [self._recommend(each, context) for each in settings]
        return [each for each in told if each]

    def send(self, order: Order) -> None:
        """Copy and tag, or take both away."""
        kind, name = order.target.split(" ", 1)
        if EXISTS in order.put:
            self._delete(order, kind, name)
            return
        with aws("ec2", self._settings) as ec2, aws("elbv2", self._settings) as balancing:
            now = self._read(ec2, balancing, kind, name)
            if not expected(order.expect, now.content):
                raise Lost(f"{order.target} is not as it was when this was ordered")
            if not order.undo and not now.facts["ours"]:
                raise Foreign(f"{order.target} is not tagged {self._settings.tag} as one of the environments")
            if not order.undo and order.put[QUARANTINED] and not now.facts["idle"]:
                raise Lost(f"{order.target} is used again")
            put = order.put
            steps: list[Callable[[], object]] = [
                partial(self._tag, ec2, balancing, kind, name, since=bool(put[QUARANTINED]))
            ]
            if put.get(COPIED) and not now.content.get(COPIED):
                steps.insert(0, partial(make_copy, ec2, name, day_of(self._now_ms())))
            if COPIED in put and not put[COPIED] and (copy := copies(ec2, name).get(name)):
                steps.append(partial(ec2.call, "DeleteSnapshot", SnapshotId=copy.id))
            in_order(*steps)

    def _delete(self, order: Order, kind: str, name: str) -> None:
        """For good: only what is secured, idle, ours to look at, and was quarantined for long enough."""
        if order.undo or order.put[EXISTS] or kind not in FINAL:
            raise LeverError(f"{order.target}: a deletion can't be taken back: it is recommended only")
        with aws("ec2", self._settings) as ec2, aws("elbv2", self._settings) as balancing:
            now = self._read(ec2, balancing, kind, name)
            if not expected(order.expect, now.content):
                raise Lost(f"{order.target} is not as it was when this was ordered")
            found = one(ec2, balancing, kind, name)
            used = found is None or any(self._counted([found]).get(name, []))
            if used or not now.facts["ours"] or not now.facts["idle"]:
                raise Lost(f"{order.target} is used again, or is no more of the environments looked at")
            if not self._waited(now, self._now_ms()):
                raise Lost(f"{order.target} has not been in quarantine for long enough, or has no copy")
            if kind == "volume":
                ec2.call("DeleteVolume", VolumeId=name)
            else:
                ec2.call("ReleaseAddress", AllocationId=name)

    def _waited(self, each: Setting, now_ms: int) -> bool:
        """Whether its quarantine is over, and its copy complete."""
        began_ms = each.facts["quarantined_ms"]
        over = began_ms is not None and now_ms - began_ms >= self._settings.quarantine_days * DAY_MS
        return over and bool(each.content[QUARANTINED] and each.content.get(COPIED, True) and each.settled)

    def _looked_at(self, each: Resource) -> bool:
        return each.tags.get(self._settings.tag) in self._settings.environments

    def _counted(self, some: Sequence[Resource]) -> dict[str, list[float]]:
        """What was counted of each in the last days and today; of one in quarantine since that began."""
        by_days: dict[int, dict[str, Series]] = {}
        now_ms = self._now_ms()
        for each in some:
            if each.series:
                began_ms = day_ms(each.tags.get(SINCE))
                since = 0 if began_ms is None else math.ceil((now_ms - began_ms) / DAY_MS)
                days = min(max(self._settings.days, since), MOST_DAYS)
                by_days.setdefault(days, {})[each.id] = each.series
        found: dict[str, list[float]] = {}
        with aws("cloudwatch", self._settings) as watch:
            for days, asked in by_days.items():
                found |= series(watch, asked, now_ms=now_ms + DAY_MS, days=days + 1)
        return found

    def _read(self, ec2: Aws, balancing: Aws, kind: str, name: str) -> Setting:
        found = one(ec2, balancing, kind, name)
        if found is None:
            return _gone(f"{kind} {name}")
        return self._setting(found, copies(ec2, name).get(name) if kind == "volume" else None, used=False)

    def _setting(self, each: Resource, copy: Copy | None, *, used: bool) -> Setting:
        began_ms = day_ms(each.tags.get(SINCE))
        # Nobody had used it for `days` when its quarantine began, nor if one began now.
        idle_ms = (self._now_ms() if began_ms is None else began_ms) - self._settings.days * DAY_MS
        copy = copy if copy and copy.made_ms >= idle_ms else None
        content: Content = {EXISTS: True, QUARANTINED: SINCE in each.tags or None}
        if each.kind == "volume":
            content[COPIED] = bool(copy) or None
        facts = {
            "idle": each.idle and not used,
            "ours": self._looked_at(each),
            "kind": each.kind,
            "id": each.id,
            "since_ms": each.since_ms,
            "quarantined_ms": began_ms,
            "gib": each.gib,
            "item": each.item,
            "copy": copy.id if copy else "",
        }
        return Setting(
            target=f"{each.kind} {each.id}",
            content=content,
            settled=copy is None or copy.complete,
            facts=facts,
        )

    def _recommend(self, each: Setting, context: Context) -> Recommendation | None:
        facts, quarantined = each.facts, each.content[QUARANTINED]
        if quarantined and not facts["idle"]:
            nothing = Saving(low=Decimal(0), middle=Decimal(0), high=Decimal(0), currency=context.currency)
            return self._told(each, nothing, "end the quarantine of {}: it is used again", quarantine=False)
        saving = self._saving(each, context)
        if not facts["idle"] or saving.middle < Decimal(repr(self._settings.least_usd)):
            return None
        if not quarantined:
            least = self._settings.snapshot_days if facts["kind"] == "snapshot" else self._settings.days
            old = facts["since_ms"] is None or context.now_ms - facts["since_ms"] >= least * DAY_MS
            return self._told(each, saving, "quarantine {}: nobody uses it", quarantine=True) if old else None
        if not self._waited(each, context.now_ms):
            return None
        return self._told(each, saving, "delete {}: nobody missed it in its quarantine", quarantine=None)

    def _told(self, each: Setting, saving: Saving, what: str, *, quarantine: bool | None) -> Recommendation:
        """`quarantine` None: deletion."""
        facts = each.facts
        # Our copy stays when the quarantine ends by itself: only a rollback knows that it came with it.
        parts = [QUARANTINED, COPIED] if COPIED in each.content and quarantine else [QUARANTINED]
        after: Content = {EXISTS: None} if quarantine is None else dict.fromkeys(parts, quarantine or None)
        evidence = [f"{each.target}: tagged {self._settings.tag} as one of the environments looked at"]
        if facts["idle"]:
            evidence.append(
                f"attached to nothing, asked by nobody in {self._settings.days} days of its metrics"
            )
        if facts["kind"] == "address":
            evidence[-1] = "associated with nothing; since when is told by its quarantine alone"
        if facts["kind"] == "snapshot":
            evidence[-1] = "no image of the account is backed by it, and no backup plan keeps it"
        final = quarantine is None and facts["kind"] in FINAL
        if final and facts["copy"]:
            evidence.append(f"its copy, snapshot {facts['copy']}, is complete and stays")
        elif quarantine is None and not final:
            evidence.append(f"to delete it, call {DELETES[facts['kind']]}{facts['id']}")
        elif quarantine:
            evidence.append(
                f"saved once it is deleted, {self._settings.quarantine_days} days from now or later"
            )
        return Recommendation(
            driver=self.name,
            target=each.target,
            service=SERVICE,
            what=what.format(each.target),
            before={part: each.content[part] for part in after},
            after=after,
            saving=saving,
            spending=saving.high or None,
            disruption=0.0,
            risk="medium" if quarantine is None else "low",
            evidence=evidence,
            irreversible=quarantine is None and not final,
            final=FINAL[facts["kind"]].format(facts["copy"]) if final else "",
            routine=quarantine is False,
            selector=Selector(services=[SERVICE]),
        )

    def _saving(self, each: Setting, context: Context) -> Saving:
        """What it costs; of a volume less its copy, which is at most as large."""
        facts, day = each.facts, day_of(context.now_ms)
        region, item = self._settings.region, facts["item"]
        table = "aws-data" if item in ("ebs-gp2", "nlb") else "aws-other"
        if item not in ("ebs-gp2", "ebs-gp3", "ebs-snapshot", "public-ipv4", "alb", "nlb"):
            item, table = "ebs-gp3", "aws-other"  # other volumes cost no less than this
        found = self._book.find(table, item, region, on=day)
        high = found.price.cost(facts["gib"] or HOURS_PER_MONTH)
        low = high
        if facts["kind"] == "volume":
            low -= self._book.find("aws-other", "ebs-snapshot", region, on=day).price.cost(facts["gib"])
        if facts["kind"] == "snapshot":
            low = high / 10  # blocks that later snapshots need, too, stay
        return Saving(
            low=max(low, Decimal(0)), middle=(low + high) / 2, high=high, currency=found.table.currency
        )

    def _tag(self, ec2: Aws, balancing: Aws, kind: str, name: str, *, since: bool) -> None:
        today = day_of(self._now_ms()).isoformat()
        tags: list[dict[str, Any]] = [{"Key": SINCE, "Value": today}]
        if kind == "load-balancer" and since:
            balancing.call("AddTags", ResourceArns=[name], Tags=tags)
        elif kind == "load-balancer":
            balancing.call("RemoveTags", ResourceArns=[name], TagKeys=[SINCE])
        elif since:
            ec2.call("CreateTags", Resources=[name], Tags=tags)
        else:
            ec2.call("DeleteTags", Resources=[name], Tags=[{"Key": SINCE}])


def _gone(target: str) -> Setting:
    facts = {"idle": False, "ours": False}
    return Setting(target=target, content={EXISTS: None, QUARANTINED: None, COPIED: None}, facts=facts)
