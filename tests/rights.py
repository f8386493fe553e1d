"""What drivers ask of AWS, as the rights that it takes: held against what each driver says that it needs. And
what the coordinator asks besides, for costs and for spot's warnings: held against rights.json.

While TIDEWATT_CALLS_FILE names a file, calls are written there instead; of it, rights.json is made by
python -m tests.rights FILE
"""

import inspect
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.client import BaseClient

#: Where a right isn't named as its operation is, by the service's name at botocore.
PREFIXES = {
    "elbv2": "elasticloadbalancing",
    "resourcegroupstaggingapi": "tag",
    "stepfunctions": "states",
}
RIGHTS = {
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:DeleteBucketLifecycle": "s3:PutLifecycleConfiguration",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:ListBucketMetricsConfigurations": "s3:GetMetricsConfiguration",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "budgets:DescribeBudgets": "budgets:ViewBudget",
}
#: Everybody has it, and no policy takes it away.
FREE = "sts:GetCallerIdentity"
#: Who asks AWS and is no driver, by module and function: the section of the configuration that turns it on.
OTHERS = {
    ("tidewatt_coordinator.costs.aws", "ask_budgets"): "aws_budgets",
    ("tidewatt_coordinator.costs.aws", "ask_cost_explorer"): "cost_explorer",
    ("tidewatt_coordinator.costs.aws", "fetch_s3"): "focus",
    ("tidewatt_coordinator.doctor.surroundings", "cloud"): "doctor",
    ("tidewatt_coordinator.steering.queue", "_ask"): "spot",
}
SEEN = Path(__file__).parent / "rights.json"


class Unlisted(AssertionError):
    """A driver asked for what it doesn't say that it needs."""


def right_of(service: str, operation: str) -> str:
    """The right that a call takes."""
    plain = f"{service}:{operation}"
    return RIGHTS.get(plain, f"{PREFIXES.get(service, service)}:{operation}")


def listed(driver: Any) -> set[str]:
    """What a driver says that it needs, without remarks."""
    return {one.split(" ")[0] for one in getattr(driver, "calls", ())}


@contextmanager
def held_against_lists() -> Iterator[dict[str, set[str]]]:
    """Every call that is made is in its list; with TIDEWATT_CALLS_FILE they are written there. What was asked
    for, by driver or section, is in what this yields.
    """
    asked: dict[str, set[str]] = {}
    send, make = BaseClient._make_api_call, botocore.session.Session.create_client

    def noted(client: Any, operation: str, parameters: Any) -> Any:
        right = right_of(client.meta.service_model.service_name, operation)
        if (driver := asking()) is not None:
            asked.setdefault(driver.name, set()).add(right)
            _hold(driver.name, right, listed(driver))
        elif (other := getattr(client, "tidewatt_asker", "")) and right != FREE:
            asked.setdefault(other, set()).add(right)
            _hold(other, right, seen().get(other, set()))
        return send(client, operation, parameters)

    def made(session: Any, *arguments: Any, **options: Any) -> Any:
        client = make(session, *arguments, **options)
        client.tidewatt_asker = other_asking()  # what it is asked, threads ask whose stack doesn't tell
        return client

    BaseClient._make_api_call, botocore.session.Session.create_client = noted, made
    try:
        yield asked
    finally:
        BaseClient._make_api_call, botocore.session.Session.create_client = send, make


def _hold(name: str, right: str, allowed: set[str]) -> None:
    if file := os.environ.get("TIDEWATT_CALLS_FILE", ""):
        with Path(file).open("a", encoding="utf-8") as out:
            out.write(json.dumps([name, right]) + "\n")
    elif right not in allowed:
        raise Unlisted(f"{name} asks for {right}, which is not in its list")


@cache
def seen() -> dict[str, set[str]]:
    """What tests saw asked for, by driver or section."""
    return {name: set(rights) for name, rights in json.loads(SEEN.read_text("utf-8")).items()}


def other_asking() -> str:
    """Whose client is being made, if it is one of OTHERS."""
    frame = inspect.currentframe()
    while frame:
        if one := OTHERS.get((frame.f_globals.get("__name__", ""), frame.f_code.co_name)):
            return one
        frame = frame.f_back
    return ""


def asking() -> Any:
    """The driver on whose behalf this is called, if it is one's."""
    frame = inspect.currentframe()
    while frame:
        one = frame.f_locals.get("self")
        if frame.f_globals.get("__name__", "").startswith("tidewatt_coordinator.levers.") and hasattr(
            one, "probe"
        ):
            return one
        frame = frame.f_back
    return None


def main(file: str) -> None:
    """Make rights.json of what was written down."""
    found: dict[str, set[str]] = {}
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        name, right = json.loads(line)
        found.setdefault(name, set()).add(right)
    told = {name: sorted(rights) for name, rights in sorted(found.items())}
    SEEN.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
