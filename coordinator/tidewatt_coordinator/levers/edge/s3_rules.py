"""Our rules among others' in a bucket's lifecycle.

The API replaces a bucket's whole lifecycle and has no precondition, so it is read, merged and written back
within one breath; foreign rules go back as they came. A part of a setting is one of our rules, by its ID.
"""

from typing import Any

from tidewatt_coordinator.levers.aws.client import Aws, Refusal
from tidewatt_coordinator.levers.driver import Content, Lost, Order
from tidewatt_coordinator.levers.standing import expected

#: Rules whose ID begins so are ours.
OURS = "tidewatt-"


def bucket_of(target: str) -> str:
    """The bucket's name."""
    return target.removeprefix("s3://")


def lifecycle(s3: Aws, bucket: str) -> dict[str, Any]:
    """A bucket's lifecycle; empty where it has none."""
    try:
        return s3.call("GetBucketLifecycleConfiguration", Bucket=bucket)
    except Refusal as error:
        if error.code == "NoSuchLifecycleConfiguration":
            return {}
        raise


def our_rules(now: dict[str, Any]) -> Content:
    """Ours of a lifecycle's rules, by ID."""
    return {rule["ID"]: rule for rule in now.get("Rules", []) if rule.get("ID", "").startswith(OURS)}


def merge(s3: Aws, order: Order) -> None:
    """Put the order's rules among the bucket's. Lost if ours aren't what it expects."""
    bucket = bucket_of(order.target)
    now = lifecycle(s3, bucket)
    if not expected(order.expect, our_rules(now)):
        raise Lost(f"{order.target}: our rules are not as they were when this was ordered")
    rules = [rule for rule in now.get("Rules", []) if rule.get("ID") not in order.put]
    rules += [rule for _, rule in sorted(order.put.items()) if rule is not None]
    if not rules:
        s3.call("DeleteBucketLifecycle", Bucket=bucket)
        return
    kept = {key: now[key] for key in ("TransitionDefaultMinimumObjectSize",) if key in now}
    configuration = {"Rules": rules}
    s3.call("PutBucketLifecycleConfiguration", Bucket=bucket, LifecycleConfiguration=configuration, **kept)
