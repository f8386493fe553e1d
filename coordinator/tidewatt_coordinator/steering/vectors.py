"""Answers of Prometheus to an instant query. Pure."""

import math

import msgspec

from tidewatt_coordinator.dispatch.backends import Histogram


class VectorError(ValueError):
    """An answer that says nothing that can be used; the sentence says why."""


class _Sample(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data | None = None
    error: str = ""


Vector = list[tuple[dict[str, str], float]]


def parse(body: bytes) -> Vector:
    """The samples, those that are no numbers left out; VectorError for what is no such answer."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        if answer.status != "success" or answer.data is None:
            raise VectorError(answer.error[:200] or f"Prometheus answers {answer.status[:40]!r}")
        if answer.data.result_type == "scalar":
            _, text = msgspec.json.decode(answer.data.result, type=tuple[float, str])
            found: list[tuple[dict[str, str], str]] = [({}, text)]
        elif answer.data.result_type == "vector":
            samples = msgspec.json.decode(answer.data.result, type=list[_Sample])
            found = [(one.metric, one.value[1]) for one in samples]
        else:
            raise VectorError(f"a {answer.data.result_type[:40]}, not a number now")
        numbers = [(metric, float(text)) for metric, text in found]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise VectorError(f"no answer of Prometheus: {error}") from error
    except ValueError as error:
        raise VectorError(str(error)[:200]) from error
    return [(metric, number) for metric, number in numbers if math.isfinite(number)]


def number(vector: Vector) -> float | None:
    """The sum; None where there is no sample, or it is negative."""
    total = sum(value for _, value in vector)
    return total if vector and total >= 0.0 else None


def histogram(vector: Vector) -> Histogram | None:
    """Cumulative counts by `le` in seconds, as buckets; None where they are none."""
    upto: dict[float, float] = {}
    try:
        for metric, value in vector:
            bound = float(metric.get("le", "nan"))
            if not math.isnan(bound):
                upto[bound] = upto.get(bound, 0.0) + value
    except ValueError:
        return None
    bounds = sorted(bound for bound in upto if math.isfinite(bound) and bound > 0.0)
    whole = upto.get(math.inf, max((upto[bound] for bound in bounds), default=0.0))
    if not bounds or whole <= 0.0 or whole > 2.0**53:
        return None
    counts, below = [], 0
    for bound in [*bounds, math.inf]:
        # Rates are not exactly cumulative, and not whole: never fewer than below, never more than all.
        here = max(below, math.floor(min(max(upto.get(bound, whole), 0.0), whole)))
        counts.append(here - below)
        below = here
    return Histogram(tuple(bounds), tuple(counts)) if below > 0 else None
