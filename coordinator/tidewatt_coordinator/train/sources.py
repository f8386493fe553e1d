"""Where a history of traffic comes from, besides files: Prometheus, and our own ledger."""

import math
import re
from collections.abc import Iterator
from datetime import datetime

import httpx
import numpy as np

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, slices
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.outward import MIB, ask
from tidewatt_coordinator.train.traces import on_minutes
from tidewatt_coordinator.train.windows import Series

#: Prometheus refuses a range query of more points than this for one series.
MOST_POINTS = 11_000
MINUTE_S = 60
TIMEOUT_S = 60.0
#: Of one answer: 11,000 points of a thousand series.
MOST_BYTES = 512 * MIB
REQUESTS = COUNTERS.index("requests")


def from_prometheus(base: str, query: str, begin: datetime, end: datetime) -> list[Series]:
    """Requests/s by minute of every series that the PromQL `query` gives between the two times.

    Asked for in pieces under 11,000 points. A minute without a sample stays unknown. Raises ValueError
    saying what Prometheus answered.
    """
    found: dict[str, dict[int, float]] = {}
    with httpx.Client(timeout=TIMEOUT_S) as client:
        for first, last in pieces(math.ceil(begin.timestamp() / MINUTE_S), int(end.timestamp() // MINUTE_S)):
            for name, samples in _range(client, base, query, first, last):
                found.setdefault(name, {}).update(samples)
    if not found:
        raise ValueError(f"{shown(base)}: {query} has no samples between {begin:%Y-%m-%d} and {end:%Y-%m-%d}")
    return [_series(name, samples) for name, samples in sorted(found.items()) if samples]


def shown(url: str) -> str:
    """An address as anybody may read it, over REST too: without who asks there and by which password."""
    return re.sub(r"//[^/?#]*@", "//", url.partition("?")[0])


def pieces(first: int, last: int) -> Iterator[tuple[int, int]]:
    """Minutes `first` to `last`, both included, in pieces that Prometheus answers."""
    while first <= last:
        yield first, min(last, first + MOST_POINTS - 1)
        first += MOST_POINTS


def _range(
    client: httpx.Client, base: str, query: str, first: int, last: int
) -> Iterator[tuple[str, dict[int, float]]]:
    url = f"{base.rstrip('/')}/api/v1/query_range"
    asked = {"query": query, "start": first * MINUTE_S, "end": last * MINUTE_S, "step": MINUTE_S}
    try:
        answer = ask(client, "POST", url, MOST_BYTES, data=asked)
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ValueError(f"{shown(base)}: {error or type(error).__name__}") from error
    if not isinstance(body, dict) or body.get("status") != "success":
        detail = body.get("error", answer.reason_phrase) if isinstance(body, dict) else answer.reason_phrase
        raise ValueError(f"{shown(base)}: {detail}")
    data = body.get("data", {})
    if data.get("resultType") != "matrix":
        raise ValueError(f"{shown(base)}: {query} gives a {data.get('resultType')}, not series")
    for series in data["result"]:
        labels = series.get("metric", {})
        named = [f"{key}={value}" for key, value in sorted(labels.items()) if key != "__name__"]
        name = ",".join(named) or labels.get("__name__", "traffic")
        # A rate at a time is of the minute before it, which is what a device files it under, too.
        rates = ((int(float(stamp) // MINUTE_S) - 1, float(value)) for stamp, value in series["values"])
        yield name, {minute: rate for minute, rate in rates if math.isfinite(rate) and rate >= 0.0}


def _series(name: str, samples: dict[int, float]) -> Series:
    first, last = min(samples), max(samples)
    rps = np.full(last - first + 1, np.nan)
    for minute, rate in samples.items():
        rps[minute - first] = rate
    return Series(name, first, rps)


def from_ledger(url: str, bucket_s: int) -> list[Series]:
    """Requests/s of every device in the ledger, from its buckets; ValueError if it holds none."""
    ledger = Ledger(url, bucket_s * 1000)
    try:
        requests: dict[str, dict[int, float]] = {}
        for life in ledger.lives():
            mine = requests.setdefault(life.device, {})
            for piece in slices(life.spans, bucket_s * 1000):
                mine[piece.start_ms] = mine.get(piece.start_ms, 0.0) + piece.values[REQUESTS]
    finally:
        ledger.close()
    series = []
    for device, by_start in sorted(requests.items()):
        starts = sorted(by_start)
        if len(starts) < 2:  # noqa: PLR2004 - two make a step
            continue
        at = np.array([round(start / 60_000) for start in starts])
        series.append(on_minutes(device, at, np.array([by_start[start] / bucket_s for start in starts])))
    if not series:
        raise ValueError("the ledger: no device has two buckets of requests yet")
    return series
