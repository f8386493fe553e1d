"""Sums and peaks of CloudWatch's metrics over some days."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from tidewatt_coordinator.levers.aws.client import Aws

#: So many metrics in one request.
MOST_QUERIES = 500
DAY_S = 86_400


class Asked(msgspec.Struct, frozen=True):
    """One metric, and how its days are put together."""

    namespace: str
    metric: str
    stat: str
    """Sum, Average, Maximum, or p95 and the like."""
    dimensions: tuple[tuple[str, str], ...] = ()


def daily(watch: Aws, asked: Sequence[Asked], days: int, now_ms: int) -> dict[Asked, list[float]]:
    """The values of the last days and of today so far, where there are any; days begin at midnight, UTC."""
    end = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
    start = end.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days)
    found: dict[Asked, list[float]] = {one: [] for one in asked}
    for first in range(0, len(asked), MOST_QUERIES):
        some = asked[first : first + MOST_QUERIES]
        queries = [_query(f"q{index}", one) for index, one in enumerate(some)]
        for page in watch.pages("GetMetricData", MetricDataQueries=queries, StartTime=start, EndTime=end):
            for result in page["MetricDataResults"]:
                found[some[int(result["Id"][1:])]] += result["Values"]
    return found


def _query(name: str, one: Asked) -> dict[str, Any]:
    metric = {
        "Namespace": one.namespace,
        "MetricName": one.metric,
        "Dimensions": [{"Name": key, "Value": value} for key, value in one.dimensions],
    }
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": DAY_S, "Stat": one.stat}}
