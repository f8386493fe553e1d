"""Snapshots that are kept for longer than anybody asks for: advice to let a lifecycle policy end them.

Those of a policy are told by the policy, those made by hand by their volume; what backs an image, what a
backup plan keeps and our own copies are others' affairs. A snapshot holds only the blocks that differ from
the one before, and nobody tells how many those are: the interval says what is assumed of that.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from tidewatt_coordinator.levers.advice import Advice, Told
from tidewatt_coordinator.levers.aws.client import Aws, aws
from tidewatt_coordinator.levers.data.settings import SnapshotLifecycle
from tidewatt_coordinator.levers.data.unused_seen import COPY_OF, backing, tags_of
from tidewatt_coordinator.levers.driver import Setting
from tidewatt_coordinator.levers.months import shares

DAY_MS = 86_400_000
#: What Data Lifecycle Manager marks its snapshots with.
POLICY = "aws:dlm:lifecycle-policy-id"
BACKUP = "aws:backup:"
UNIT_DAYS = {"HOURS": 1 / 24, "DAYS": 1, "WEEKS": 7, "MONTHS": 365 / 12, "YEARS": 365}


class SnapshotLifecycleDriver(Advice):
    """See levers/advice.py."""

    name = "snapshot_lifecycle"
    service = "EC2 - Other"
    settings: SnapshotLifecycle
    calls = (
        "dlm:GetLifecyclePolicies", "dlm:GetLifecyclePolicy", "ec2:DescribeImages", "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
    )  # fmt: skip

    def look(self, now_ms: int) -> Iterator[Setting]:
        """Every policy and every volume that has snapshots, with those that are old."""
        with aws("ec2", self.settings) as ec2, aws("dlm", self.settings) as lifecycle:
            policies = dict(_policies(lifecycle))
            groups = _groups(ec2)
            volumes = _volumes(ec2) if groups else {}
            for (kind, name), snapshots in sorted(groups.items()):
                policy = policies.get(name) if kind == "policy" else None
                theirs = [
                    each
                    for each, told in policies.items()
                    if kind == "volume" and told["enabled"] and told["tags"] & volumes.get(name, set())
                ]
                yield self.setting(
                    f"{kind} {name}",
                    **_old(snapshots, now_ms, self.settings),
                    days=policy["days"] if policy else None,
                    policies=sorted(theirs),
                    gone=kind == "volume" and name not in volumes,
                )

    def advise(self, one: Setting, day: date) -> Iterator[Told]:
        """A policy, or a shorter one, where something is older than it need be."""
        facts, keep = one.facts, self.settings.keep_days
        if not facts["old"] or (facts["days"] is not None and facts["days"] <= keep):
            return  # a policy that is short enough ends them by itself, sooner or later
        found = self.price("aws-other", "ebs-snapshot", day)
        low, high = self.settings.saves
        kind, _, name = one.target.partition(" ")
        yield Told(
            what=_what(kind, name, facts, keep),
            saving=shares(found.price.cost(facts["gib"]), self.settings.saves, found.table.currency),
            evidence=[
                (
                    f"{facts['old']} of {facts['all']} snapshots are older than {keep} days, not counting the"
                    f" newest {self.settings.keep_least} of a volume; the oldest: {facts['oldest']} days"
                ),
                (
                    f"their volumes have {facts['gib']} GiB; that each snapshot holds between {low:.0%} and"
                    f" {high:.0%} of that by itself is assumed"
                ),
            ],
            # A policy doesn't end what it didn't make, and what it ended is gone.
            risk="medium",
        )


def _what(kind: str, name: str, facts: dict[str, Any], keep: int) -> str:
    if kind == "policy":
        return f"let policy {name} keep its snapshots for {keep} days"
    if facts["gone"]:
        return f"delete old snapshots of volume {name}, which is gone"
    if facts["policies"]:
        by = facts["policies"][0]
        return f"delete old snapshots of volume {name} that were made beside policy {by}"
    return f"put volume {name} under a lifecycle policy of {keep} days, and delete its older snapshots"


def _policies(lifecycle: Aws) -> Iterator[tuple[str, dict[str, Any]]]:
    for summary in lifecycle.call("GetLifecyclePolicies")["Policies"]:
        policy = lifecycle.call("GetLifecyclePolicy", PolicyId=summary["PolicyId"])["Policy"]
        details = policy.get("PolicyDetails", {})
        tags = {(tag["Key"], tag["Value"]) for tag in details.get("TargetTags", [])}
        enabled = policy.get("State") == "ENABLED"
        yield summary["PolicyId"], {"days": held_days(details), "tags": tags, "enabled": enabled}


def held_days(details: dict[str, Any]) -> float | None:
    """How long a policy keeps what it makes, by its longest schedule; None: it doesn't say. Pure."""
    if "RetainInterval" in details:
        return float(details["RetainInterval"])
    found: list[float] = []
    for schedule in details.get("Schedules", []):
        retain, create = schedule.get("RetainRule", {}), schedule.get("CreateRule", {})
        if "Interval" in retain:
            found.append(retain["Interval"] * UNIT_DAYS[retain.get("IntervalUnit", "DAYS")])
        elif "Count" in retain and "Interval" in create:
            found.append(
                retain["Count"] * create["Interval"] * UNIT_DAYS[create.get("IntervalUnit", "HOURS")]
            )
        else:
            return None
    return max(found, default=None)


def _groups(ec2: Aws) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found = [one for page in ec2.pages("DescribeSnapshots", OwnerIds=["self"]) for one in page["Snapshots"]]
    images = backing(ec2) if found else frozenset()
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in found:
        tags = tags_of(one)
        if one["SnapshotId"] in images or COPY_OF in tags or any(tag.startswith(BACKUP) for tag in tags):
            continue
        key = ("policy", tags[POLICY]) if POLICY in tags else ("volume", one["VolumeId"])
        groups.setdefault(key, []).append(one)
    return groups


def _volumes(ec2: Aws) -> dict[str, set[tuple[str, str]]]:
    return {
        volume["VolumeId"]: set(tags_of(volume).items())
        for page in ec2.pages("DescribeVolumes")
        for volume in page["Volumes"]
    }


def _old(snapshots: Sequence[dict[str, Any]], now_ms: int, settings: SnapshotLifecycle) -> dict[str, int]:
    """Those beyond the newest of each volume that are older than wanted."""
    ages: dict[str, list[tuple[float, int]]] = {}
    for one in snapshots:
        age = (now_ms - one["StartTime"].timestamp() * 1000) / DAY_MS
        ages.setdefault(one["VolumeId"], []).append((age, one["VolumeSize"]))
    old = [
        one
        for each in ages.values()
        for one in sorted(each)[settings.keep_least :]
        if one[0] > settings.keep_days
    ]
    oldest = max((age for age, _ in old), default=0.0)
    return {
        "all": len(snapshots),
        "old": len(old),
        "gib": sum(gib for _, gib in old),
        "oldest": int(oldest),
    }
