"""What of EC2 nobody uses: volumes, addresses, snapshots and load balancers, as the API tells them.

A resource is idle by what it says of itself and by its metrics: a volume that is attached counts something
every few minutes, so one that counted nothing for days was attached to nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any, Literal

import msgspec

from tidewatt_coordinator.levers.aws.client import Aws, Refusal
from tidewatt_coordinator.levers.aws.series import Series

Kind = Literal["volume", "address", "snapshot", "load-balancer"]
#: Our tags: since when a resource is in quarantine, and of which volume a snapshot is our copy.
SINCE, COPY_OF = "tidewatt-quarantine-since", "tidewatt-copy-of"
#: Another of our copies: the day it was made, by the clock that told SINCE.
COPIED_ON = "tidewatt-copied-on"
#: Tags of AWS's own ways to keep snapshots: what has one is theirs to delete.
KEPT_BY = ("aws:backup:", "aws:dlm:", "dlm:")
TAGS_AT_ONCE = 20


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One of them."""

    kind: Kind
    id: str
    tags: dict[str, str]
    idle: bool
    """By what it says of itself."""
    since_ms: int | None = None
    """Its beginning, where the API tells it."""
    gib: int = 0
    """A volume's size, or that of the volume that a snapshot is of: it holds no more than that."""
    item: str = ""
    """What the price book calls it."""
    series: Series | None = None
    """A metric that counts nothing while nobody uses it."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Our snapshot of a volume."""

    id: str
    complete: bool
    made_ms: int
    """What was written to the volume since isn't in it."""


def everything(ec2: Aws, balancing: Aws, tag: str, values: Sequence[str]) -> Iterator[Resource]:
    """All in the region that has the tag with one of the values."""
    only = [{"Name": f"tag:{tag}", "Values": list(values)}]
    yield from _volumes(ec2, Filters=only)
    yield from _addresses(ec2, Filters=only)
    yield from _snapshots(ec2, Filters=only)
    yield from (one for one in _load_balancers(balancing) if one.tags.get(tag) in values)


def one(ec2: Aws, balancing: Aws, kind: str, name: str) -> Resource | None:
    """One of them; None: it is gone."""
    try:
        if kind == "volume":
            return next(_volumes(ec2, VolumeIds=[name]), None)
        if kind == "address":
            return next(_addresses(ec2, AllocationIds=[name]), None)
        if kind == "snapshot":
            return next(_snapshots(ec2, SnapshotIds=[name]), None)
        return next(_load_balancers(balancing, LoadBalancerArns=[name]), None)
    except Refusal as error:
        if "NotFound" in error.code:
            return None
        raise


def copies(ec2: Aws, volume: str = "") -> dict[str, Copy]:
    """By volume, of one or of all, our newest snapshot of it."""
    only = (
        {"Name": f"tag:{COPY_OF}", "Values": [volume]} if volume else {"Name": "tag-key", "Values": [COPY_OF]}
    )
    found: dict[str, Copy] = {}
    for page in ec2.pages("DescribeSnapshots", OwnerIds=["self"], Filters=[only]):
        for snapshot in page["Snapshots"]:
            tags = tags_of(snapshot)
            made_ms = day_ms(tags.get(COPIED_ON)) or _ms(snapshot["StartTime"])
            one = Copy(id=snapshot["SnapshotId"], complete=snapshot["State"] == "completed", made_ms=made_ms)
            known = found.get(tags[COPY_OF])
            if snapshot["State"] != "error" and (known is None or known.made_ms <= made_ms):
                found[tags[COPY_OF]] = one
    return found


def make_copy(ec2: Aws, volume: str, today: date) -> None:
    """Begin our snapshot of a volume."""
    tags = [{"Key": COPY_OF, "Value": volume}, {"Key": COPIED_ON, "Value": today.isoformat()}]
    ec2.call(
        "CreateSnapshot",
        VolumeId=volume,
        Description=f"copy of {volume} before its quarantine",
        TagSpecifications=[{"ResourceType": "snapshot", "Tags": tags}],
    )


def day_ms(value: str | None) -> int | None:
    """The beginning of a day that a tag tells; None where it tells none."""
    try:
        day = datetime.strptime(value or "", "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return _ms(day)


def backing(ec2: Aws) -> frozenset[str]:
    """The snapshots behind images: the account's own only, nobody else's can be backed by its snapshots
    unless it shared them.
    """
    return frozenset(
        mapping["Ebs"]["SnapshotId"]
        for page in ec2.pages("DescribeImages", Owners=["self"])
        for image in page["Images"]
        for mapping in image.get("BlockDeviceMappings", [])
        if mapping.get("Ebs", {}).get("SnapshotId")
    )


def tags_of(resource: Mapping[str, Any]) -> dict[str, str]:
    """Tags by key."""
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", [])}


def _volumes(ec2: Aws, **only: Any) -> Iterator[Resource]:
    for page in ec2.pages("DescribeVolumes", **only):
        for volume in page["Volumes"]:
            if volume["State"] in ("deleting", "deleted"):
                continue  # for a while it is still told
            name = volume["VolumeId"]
            yield Resource(
                kind="volume",
                id=name,
                tags=tags_of(volume),
                idle=volume["State"] == "available" and not volume["Attachments"],
                since_ms=_ms(volume["CreateTime"]),
                gib=volume["Size"],
                item=f"ebs-{volume['VolumeType']}",
                series=Series("AWS/EBS", "VolumeIdleTime", (("VolumeId", name),), "SampleCount"),
            )


def _addresses(ec2: Aws, **only: Any) -> Iterator[Resource]:
    for address in ec2.call("DescribeAddresses", **only)["Addresses"]:
        if "AllocationId" in address:
            used = any(address.get(key) for key in ("AssociationId", "InstanceId", "NetworkInterfaceId"))
            name = address["AllocationId"]
            yield Resource(kind="address", id=name, tags=tags_of(address), idle=not used, item="public-ipv4")


def _snapshots(ec2: Aws, **only: Any) -> Iterator[Resource]:
    found = [
        one for page in ec2.pages("DescribeSnapshots", OwnerIds=["self"], **only) for one in page["Snapshots"]
    ]
    images = backing(ec2) if found else frozenset()
    for snapshot in found:
        tags = tags_of(snapshot)
        kept = COPY_OF in tags or any(key.startswith(KEPT_BY) for key in tags)
        yield Resource(
            kind="snapshot",
            id=snapshot["SnapshotId"],
            tags=tags,
            idle=snapshot["SnapshotId"] not in images and not kept,
            since_ms=_ms(snapshot["StartTime"]),
            gib=snapshot["VolumeSize"],
            item="ebs-snapshot",
        )


def _load_balancers(balancing: Aws, **only: Any) -> Iterator[Resource]:
    every = [
        one for page in balancing.pages("DescribeLoadBalancers", **only) for one in page["LoadBalancers"]
    ]
    tags: dict[str, dict[str, str]] = {}
    for first in range(0, len(every), TAGS_AT_ONCE):
        arns = [balancer["LoadBalancerArn"] for balancer in every[first : first + TAGS_AT_ONCE]]
        told = balancing.call("DescribeTags", ResourceArns=arns)["TagDescriptions"]
        tags |= {each["ResourceArn"]: tags_of(each) for each in told}
    for balancer in every:
        arn, kind = balancer["LoadBalancerArn"], balancer["Type"]
        if kind not in ("application", "network"):
            continue
        space, metric = (
            ("AWS/ApplicationELB", "RequestCount")
            if kind == "application"
            else ("AWS/NetworkELB", "NewFlowCount")
        )
        yield Resource(
            kind="load-balancer",
            id=arn,
            tags=tags.get(arn, {}),
            idle=True,
            since_ms=_ms(balancer["CreatedTime"]),
            item="alb" if kind == "application" else "nlb",
            series=Series(space, metric, (("LoadBalancer", arn.partition(":loadbalancer/")[2]),)),
        )


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
