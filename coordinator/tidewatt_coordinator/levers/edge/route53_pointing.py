"""What asks a health check, and how it is made to ask another: records of all zones, and other checks."""

from typing import Any

import msgspec

from tidewatt_coordinator.levers.aws.client import Aws, Refusal
from tidewatt_coordinator.levers.driver import Lost

#: Records in one batch: the API takes a thousand changes, and each record is two.
BATCH = 400
#: A tag of a new check: the changes by which records came to it.
CHANGES = "tidewatt-changes"

Record = dict[str, Any]


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks certain checks."""

    records: dict[str, list[Record]]
    """By zone."""
    parents: list[dict[str, Any]]
    """Checks that are calculated from them."""
    managed: list[str]
    """Names of records that belong to a traffic policy."""
    olds: frozenset[str]
    """The checks' IDs."""


def pointing(route53: Aws, olds: list[str]) -> Users:
    """Everything that asks one of these."""
    records: dict[str, list[Record]] = {}
    managed: list[str] = []
    for page in route53.pages("ListHostedZones"):
        for zone in page["HostedZones"]:
            for one in _records(route53, zone["Id"]):
                if one.get("HealthCheckId") in olds:
                    records.setdefault(zone["Id"], []).append(one)
                    managed += [one["Name"]] if "TrafficPolicyInstanceId" in one else []
    parents = [
        one
        for page in route53.pages("ListHealthChecks")
        for one in page["HealthChecks"]
        if set(one["HealthCheckConfig"].get("ChildHealthChecks", [])) & set(olds)
    ]
    return Users(records=records, parents=parents, managed=managed, olds=frozenset(olds))


def point(route53: Aws, users: Users, new: str) -> bool:
    """Make them ask `new`; whether anything had to be changed. Lost if a record isn't as it was read.

    A record is deleted as it was and created anew in one batch, which is done whole or not at all: unlike an
    UPSERT that refuses what somebody has changed meanwhile.
    """
    changes: list[str] = []
    for zone, records in users.records.items():
        for start in range(0, len(records), BATCH):
            batch = [
                change
                for one in records[start : start + BATCH]
                for change in (
                    {"Action": "DELETE", "ResourceRecordSet": one},
                    {"Action": "CREATE", "ResourceRecordSet": one | {"HealthCheckId": new}},
                )
            ]
            changes.append(_change(route53, zone, batch))
            _remember(route53, new, changes)
    for one in users.parents:
        children = one["HealthCheckConfig"]["ChildHealthChecks"]
        route53.call(
            "UpdateHealthCheck",
            HealthCheckId=one["Id"],
            HealthCheckVersion=one["HealthCheckVersion"],
            ChildHealthChecks=[new if child in users.olds else child for child in children],
        )
    return bool(changes or users.parents)


def told(route53: Aws, new: str, users: Users) -> bool:
    """Whether every name server has the changes that led to `new`."""
    changes = _tags(route53, new).get(CHANGES, "").split()
    if not changes and not users.records:
        # Whoever pointed them died before he could write it down: said again, it has a number again.
        for page in route53.pages("ListHostedZones"):
            for zone in page["HostedZones"]:
                there = [one for one in _records(route53, zone["Id"]) if one.get("HealthCheckId") == new]
                batch = [{"Action": "UPSERT", "ResourceRecordSet": one} for one in there[:1]]
                changes += [_change(route53, zone["Id"], batch)] if batch else []
        if changes:
            _remember(route53, new, changes)
    return all(route53.call("GetChange", Id=one)["ChangeInfo"]["Status"] == "INSYNC" for one in changes)


def copy_tags(route53: Aws, old: str, new: str) -> None:
    """A check's name is a tag: the new one has those of the old."""
    tags = {key: value for key, value in _tags(route53, old).items() if key != CHANGES} if old else {}
    there = _tags(route53, new)
    if missing := {key: value for key, value in tags.items() if key not in there}:
        _tag(route53, new, missing)


def forget(route53: Aws, check: str) -> None:
    """Take our own tag away."""
    if CHANGES in _tags(route53, check):
        route53.call(
            "ChangeTagsForResource", ResourceType="healthcheck", ResourceId=check, RemoveTagKeys=[CHANGES]
        )


def _remember(route53: Aws, new: str, changes: list[str]) -> None:
    _tag(route53, new, {CHANGES: " ".join(one.removeprefix("/change/") for one in changes[-8:])})


def _change(route53: Aws, zone: str, batch: list[dict[str, Any]]) -> str:
    try:
        answer = route53.call("ChangeResourceRecordSets", HostedZoneId=zone, ChangeBatch={"Changes": batch})
    except Refusal as error:
        if error.code == "InvalidChangeBatch":
            raise Lost(str(error)) from error
        raise
    return str(answer["ChangeInfo"]["Id"])


def _records(route53: Aws, zone: str) -> list[Record]:
    pages = route53.pages("ListResourceRecordSets", HostedZoneId=zone)
    return [one for page in pages for one in page["ResourceRecordSets"]]


def _tags(route53: Aws, check: str) -> dict[str, str]:
    answer = route53.call("ListTagsForResource", ResourceType="healthcheck", ResourceId=check)
    return {one["Key"]: one["Value"] for one in answer["ResourceTagSet"]["Tags"]}


def _tag(route53: Aws, check: str, tags: dict[str, str]) -> None:
    added = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    route53.call("ChangeTagsForResource", ResourceType="healthcheck", ResourceId=check, AddTags=added)
