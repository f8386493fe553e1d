"""What nodes cost by a gauge of cost per hour in Prometheus, such as `node_total_hourly_cost`.

Asked minute by minute and summed up: each minute with a sample costs a sixtieth of the hourly
price. A minute without one is not known to have cost anything.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from tidewatt_coordinator.costs.charge import SMALLEST, Charge, CostError, amount, identity, total, word
from tidewatt_coordinator.costs.days import HOUR_MS, Window, iso

SOURCE = "prometheus"
MINUTE_MS = 60_000
NOT_NUMBERS = ("NaN", "+Inf", "-Inf", "Inf")


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data | None = None
    error: str = ""


def parameters(window: Window, metric: str) -> dict[str, str]:
    """How `/api/v1/query_range` is asked: a day is 1,440 of the 11,000 points that it gives at most."""
    return {
        "query": metric,
        "start": str(window.start_ms // 1000),
        "end": str((window.end_ms - MINUTE_MS) // 1000),
        "step": "60",
    }


def parse(body: bytes, window: Window, metric: str, currency: str, where: str) -> list[Charge]:
    """A charge for each node and hour; CostError, which names `where`, for what is no such answer."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        if answer.status != "success" or answer.data is None:
            raise CostError(f"{where}: {metric}: {answer.error[:200] or answer.status[:40]}")
        if answer.data.result_type != "matrix":
            raise CostError(f"{where}: {metric} gives a {answer.data.result_type[:40]}, not series")
        series = msgspec.json.decode(answer.data.result, type=list[_Series])
    except (msgspec.DecodeError, RecursionError) as error:
        raise CostError(f"{where}: no answer of Prometheus: {error}") from error
    return [charge for one in series for charge in _hours(one, window, metric, currency, where)]


def _hours(one: _Series, window: Window, metric: str, currency: str, where: str) -> Iterable[Charge]:
    tags = {word(key): word(value) for key, value in one.metric.items() if key != "__name__"}
    node = tags.get("node") or tags.get("instance") or metric
    minutes: dict[int, Decimal] = {}
    for at_s, text in one.values:
        if not window.start_ms / 1000 <= at_s < window.end_ms / 1000:
            raise CostError(f"{where}: {metric} of {node[:80]}: a sample lies outside the window asked for")
        if text not in NOT_NUMBERS:
            minutes[int(at_s * 1000) // MINUTE_MS] = amount(text, f"{where}: {metric} of {node[:80]}")
    by_hour: dict[int, list[Decimal]] = {}
    for minute, price in minutes.items():
        by_hour.setdefault(minute * MINUTE_MS // HOUR_MS * HOUR_MS, []).append(price)
    for hour_ms, prices in sorted(by_hour.items()):
        cost = (total(prices) / 60).quantize(SMALLEST).normalize() + 0
        yield Charge(
            source=SOURCE,
            key=identity(iso(hour_ms), metric, *(f"{key}={value}" for key, value in sorted(tags.items()))),
            start_ms=hour_ms,
            end_ms=hour_ms + HOUR_MS,
            provider="Kubernetes",
            service="Kubernetes nodes",
            category="Compute",
            region=tags.get("region", ""),
            resource=node,
            description=metric,
            tags=tags,
            quantity=(Decimal(len(prices)) / 60).quantize(SMALLEST).normalize() + 0,
            unit="Hours",
            billed=cost,
            effective=cost,
            currency=currency,
        )
