"""Asking AWS: Cost Explorer, each call counted before it is made, Budgets, and files in S3.

boto3 is an optional dependency, tidewatt-coordinator[aws]. Credentials are found by boto3 alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tidewatt_coordinator.costs import awsbudgets
from tidewatt_coordinator.costs.awsbudgets import CloudBudget
from tidewatt_coordinator.costs.charge import Charge, CostError
from tidewatt_coordinator.costs.costexplorer import charges, page, request
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.costs.files import ENDINGS
from tidewatt_coordinator.costs.settings import AwsBudgets, CostExplorer, Focus

#: Cost Explorer is served from here, whatever region pays.
REGION = "us-east-1"
WHERE, BUDGETS = "Cost Explorer", "AWS Budgets"
#: How errors name what was asked.
NAMES = {"ce": WHERE, "budgets": BUDGETS, "sts": "AWS STS", "s3": "S3"}
#: More pages than this for one request are an endless loop.
MOST_PAGES = 1000


def ask_cost_explorer(settings: CostExplorer, window: Window, count: Callable[[], None]) -> list[Charge]:
    """The charges of whole days; `count` is called before every HTTP request, and may refuse it by raising.

    Raises CostError saying what AWS answered.
    """
    request(window, settings.group_by, None)  # what can't be asked costs nothing
    with _client("ce", settings) as client:
        client.meta.events.register("before-send.ce", lambda **_: count())
        found: list[Charge] = []
        token: str | None = None
        for _ in range(MOST_PAGES):
            answer = page(client.get_cost_and_usage(**request(window, settings.group_by, token)), WHERE)
            found += charges(answer, window, settings.group_by, WHERE)
            token = answer.next_page_token
            if not token:
                return found
    raise CostError(f"{WHERE}: more than {MOST_PAGES} pages for one request")


def ask_budgets(settings: AwsBudgets, now_ms: int) -> tuple[str, list[CloudBudget]]:
    """The account, and the cost budgets that it has now. Raises CostError saying what AWS answered."""
    account = settings.account or _own_account(settings)
    found: list[CloudBudget] = []
    token: str | None = None
    with _client("budgets", settings) as client:
        for _ in range(MOST_PAGES):
            asked = awsbudgets.request(account, token)
            answer = awsbudgets.page(client.describe_budgets(**asked), BUDGETS)
            found += awsbudgets.budgets(answer, account, now_ms, BUDGETS)
            token = answer.next_token
            if not token:
                return account, found
    raise CostError(f"{BUDGETS}: more than {MOST_PAGES} pages for one request")


def _own_account(settings: AwsBudgets) -> str:
    with _client("sts", settings) as client:
        return str(client.get_caller_identity()["Account"])


def fetch_s3(settings: Focus, url: str, folder: Path) -> int:
    """Bring the FOCUS files below s3://bucket/prefix into `folder`; how many they are."""
    place = urlsplit(url)
    bucket, prefix = place.netloc, place.path.lstrip("/")
    if place.scheme != "s3" or not bucket:
        raise CostError(f"{url!r} is not s3://bucket/prefix")
    with _client("s3", settings) as client:
        count = 0
        for key in _keys(client, bucket, prefix):
            # A number goes before the name: keys of different folders can have the same.
            count += 1
            client.download_file(bucket, key, str(folder / f"{count:06}-{Path(key).name}"))
    if not count:
        raise CostError(f"{url}: holds no file that ends in {', '.join(ENDINGS)}")
    return count


def _keys(client: Any, bucket: str, prefix: str) -> Iterator[str]:
    for listed in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in listed.get("Contents", []):
            if item["Key"].endswith(ENDINGS):
                yield item["Key"]


@contextmanager
def _client(service: str, settings: CostExplorer | AwsBudgets | Focus) -> Iterator[Any]:
    try:
        import boto3  # noqa: PLC0415 - optional
        from boto3.exceptions import Boto3Error  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CostError("AWS can't be asked: install tidewatt-coordinator[aws]") from error
    try:
        session = boto3.session.Session(profile_name=settings.profile or None)
        client = session.client(
            service,
            region_name=session.region_name if service == "s3" and session.region_name else REGION,
            endpoint_url=settings.endpoint or None,
            config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
        )
        try:
            yield client
        finally:
            client.close()
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise CostError(f"{NAMES[service]}: {error}") from error
