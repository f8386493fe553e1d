"""What the drivers' tests before moto's server share: their now, its prices, and its metrics."""

from datetime import datetime, timedelta, timezone
from typing import Any

from tidewatt_coordinator.levers.data.dynamodb import Rates
from tidewatt_coordinator.levers.driver import Context
from tidewatt_coordinator.prices.files import load_book

DAY_S = 86_400
TODAY_S = int(datetime.now(timezone.utc).timestamp()) // DAY_S * DAY_S
#: What these drivers take for now: moto makes resources today.
NOW_MS = (TODAY_S + 40 * DAY_S) * 1000
LATER = Context(now_ms=NOW_MS)
BOOK = load_book()
#: us-east-1: of a unit-hour that is provisioned, of a unit on demand.
READS, WRITES = Rates(0.00013, 0.125e-6), Rates(0.00065, 0.625e-6)


def now_ms() -> int:
    return NOW_MS


def count(watch: Any, space: str, metric: str, at: dict[str, str], values: dict[int, float]) -> None:
    """Values by the seconds before the day of now."""
    dimensions = [{"Name": key, "Value": value} for key, value in at.items()]
    end = datetime.fromtimestamp(NOW_MS / 1000, timezone.utc)
    data = [
        {
            "MetricName": metric,
            "Dimensions": dimensions,
            "Timestamp": end - timedelta(seconds=ago),
            "Value": value,
        }
        for ago, value in values.items()
    ]
    for first in range(0, len(data), 500):
        watch.put_metric_data(Namespace=space, MetricData=data[first : first + 500])
