"""Metrics of CloudWatch as even series: one value for each period, 0 where nothing was counted."""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from tidewatt_coordinator.levers.aws.client import Aws

#: So many metrics in one request.
MOST_QUERIES = 500
DAY_S = 86_400


class Series(msgspec.Struct, frozen=True):
    """One metric."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    stat: str = "Sum"


def series(
    watch: Aws, asked: Mapping[str, Series], *, now_ms: int, days: int, period_s: int = DAY_S
) -> dict[str, list[float]]:
    """The last `days` whole days, oldest first; one that nobody ever counted is empty, not zeros."""
    end_s = now_ms // 1000 // DAY_S * DAY_S
    start_s = end_s - days * DAY_S
    names = sorted(asked)
    found: dict[str, list[float]] = {name: [] for name in names}
    for first in range(0, len(names), MOST_QUERIES):
        some = names[first : first + MOST_QUERIES]
        queries = [_query(f"q{index}", asked[name], period_s) for index, name in enumerate(some)]
        for page in watch.pages(
            "GetMetricData",
            MetricDataQueries=queries,
            StartTime=datetime.fromtimestamp(start_s, timezone.utc),
            EndTime=datetime.fromtimestamp(end_s, timezone.utc),
        ):
            for result in page["MetricDataResults"]:
                values = found[some[int(result["Id"][1:])]]
                for at, value in zip(result["Timestamps"], result["Values"], strict=True):
                    values[:] = values or [0.0] * (days * DAY_S // period_s)
                    place = int(at.timestamp() - start_s) // period_s
                    if 0 <= place < len(values):
                        values[place] += value
    return found


def _query(name: str, one: Series, period_s: int) -> dict[str, Any]:
    metric = {
        "Namespace": one.namespace,
        "MetricName": one.metric,
        "Dimensions": [{"Name": key, "Value": value} for key, value in one.dimensions],
    }
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": period_s, "Stat": one.stat}}
