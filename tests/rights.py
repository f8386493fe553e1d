"""What drivers ask of AWS, as the rights that it takes: held against what each driver says that it needs.

While TIDEWATT_CALLS_FILE names a file, calls are written there instead; of it, rights.json is made by
python -m tests.rights FILE
"""

import inspect
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
}


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
def held_against_lists() -> Iterator[None]:
    """Every call that a driver makes is in its list; with TIDEWATT_CALLS_FILE they are written there."""
    send = BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: Any) -> Any:
        right = right_of(client.meta.service_model.service_name, operation)
        if (driver := asking()) is not None:
            if file := os.environ.get("TIDEWATT_CALLS_FILE", ""):
                with Path(file).open("a", encoding="utf-8") as out:
                    out.write(json.dumps([driver.name, right]) + "\n")
            elif right not in listed(driver):
                raise Unlisted(f"{type(driver).__name__}.calls lacks {right}")
        return send(client, operation, parameters)

    BaseClient._make_api_call = noted
    try:
        yield
    finally:
        BaseClient._make_api_call = send


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
    seen: dict[str, set[str]] = {}
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        driver, right = json.loads(line)
        seen.setdefault(driver, set()).add(right)
    told = {driver: sorted(rights) for driver, rights in sorted(seen.items())}
    (Path(__file__).parent / "rights.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
