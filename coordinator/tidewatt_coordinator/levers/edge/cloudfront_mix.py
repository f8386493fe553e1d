"""Who asks a CloudFront distribution for what, from where, and how long it takes him. Pure.

A percentile of all viewers is taken over all their requests. Percentiles of regions are never averaged: of a
hundred requests of which seven take 62 ms, the ninety-fifth takes 62 ms.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from statistics import NormalDist

import msgspec

from tidewatt_coordinator.levers.edge.settings import Viewers
from tidewatt_coordinator.prices.book import Reach

MONTH_DAYS = 30
GB = Decimal(10**9)
#: A region's latencies as so many requests of equal weight.
POINTS = 200
#: By how much of itself a month that nobody has counted may be off.
UNKNOWN_SPREAD = 0.2
#: The 0.95 quantile of the normal distribution.
Z95 = NormalDist().inv_cdf(0.95)


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """A month of one region's viewers."""

    gb: Decimal
    requests: float
    ms: Sequence[float]
    """Latencies of requests of equal weight; none: not known."""


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """All viewers of one distribution."""

    by_region: dict[str, Audience]
    hits: float | None = None
    """Share of the requests that no origin saw; None: not known."""
    spread: float = UNKNOWN_SPREAD
    """By how much of itself a month's traffic is off, 80 times of 100."""
    evidence: list[str] = []

    @property
    def requests(self) -> float:
        """A month's."""
        return sum(one.requests for one in self.by_region.values())

    @property
    def gigabytes(self) -> dict[str, Decimal]:
        """A month's, by region."""
        return {region: one.gb for region, one in self.by_region.items()}

    def moved(self, reach: Reach, now: Reach) -> float:
        """The share of requests that would be served from farther than now."""
        gone = [
            one.requests
            for region, one in self.by_region.items()
            if region in now.regions and region not in reach.regions
        ]
        return sum(gone) / self.requests if self.requests else 0.0

    def quantile_ms(
        self, share: float, reach: Reach, now: Reach, farther: Mapping[str, float]
    ) -> float | None:
        """The latency that `share` of all requests keep, under a reach. None where a region's isn't known."""
        known: list[tuple[float, float]] = []
        for region, one in self.by_region.items():
            if not one.requests:
                continue
            if not one.ms:
                return None
            more = farther.get(region, 0.0) if region in now.regions and region not in reach.regions else 0.0
            known += [(ms + more, one.requests / len(one.ms)) for ms in one.ms]
        left = share * sum(weight for _, weight in known)
        for ms, weight in sorted(known):
            left -= weight
            if left <= 1e-9 * weight:
                return ms
        return None


def given(viewers: Mapping[str, Viewers]) -> Mix:
    """A mix that somebody tells: latencies are log-normal through the two that he knows."""
    by_region = {
        region: Audience(
            gb=Decimal(str(one.gb)), requests=one.requests, ms=_log_normal(one.p50_ms, one.p95_ms)
        )
        for region, one in viewers.items()
    }
    return Mix(by_region=by_region, evidence=["the mix of viewers is the one of the configuration"])


def _log_normal(p50_ms: float, p95_ms: float) -> list[float]:
    if p50_ms <= 0 or p95_ms <= p50_ms:
        return [max(p50_ms, p95_ms)]
    normal = NormalDist(math.log(p50_ms), math.log(p95_ms / p50_ms) / Z95)
    return [math.exp(normal.inv_cdf((point + 0.5) / POINTS)) for point in range(POINTS)]


class Line(msgspec.Struct, frozen=True):
    """One request of a log."""

    day: str
    region: str
    """Empty: the location is not known."""
    size: int
    ms: float
    hit: bool


def lines(text: str, region_of: Mapping[str, str]) -> Iterator[Line]:
    """The requests of one standard log; lines that can't be read are left out."""
    names: list[str] = []
    for row in csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row and row[0].startswith("#"):
            if row[0].startswith("#Fields:"):
                names = row[0].removeprefix("#Fields:").split()
            continue
        field = dict(zip(names, row, strict=False))
        try:
            size, ms = int(field["sc-bytes"]), float(field["time-taken"]) * 1000
            day, place = field["date"], field["x-edge-location"][:3].upper()
        except (KeyError, ValueError):
            continue
        hit = field.get("x-edge-result-type", "") in ("Hit", "RefreshHit")
        yield Line(day, region_of.get(place, ""), size, ms, hit)


def measured(found: Iterable[Line], days: int, scale: float) -> Mix | None:
    """The mix of a sample of `days` whole days, of which the logs hold `scale` times as much. None: empty."""
    sizes: dict[str, int] = {}
    times: dict[str, list[float]] = {}
    by_day: dict[str, int] = {}
    hits = unknown = count = 0
    for one in found:
        region = one.region or "us"
        count, hits, unknown = count + 1, hits + one.hit, unknown + (not one.region)
        sizes[region] = sizes.get(region, 0) + one.size
        by_day[one.day] = by_day.get(one.day, 0) + one.size
        times.setdefault(region, []).append(one.ms)
    if not count:
        return None
    month = scale * MONTH_DAYS / days
    by_region = {
        region: Audience(
            gb=Decimal(sizes[region]) / GB * Decimal(str(month)),
            requests=len(times[region]) * month,
            ms=_thinned(times[region]),
        )
        for region in sorted(sizes)
    }
    told = [f"{count} requests of {days} days' logs, which hold {scale:.1f} times as many"]
    if unknown:
        told.append(f"{unknown} of them were served at a place that isn't known here, and are counted as us")
    spread = _spread(list(by_day.values()))
    return Mix(by_region=by_region, hits=hits / count, spread=spread, evidence=told)


def _thinned(times: list[float]) -> list[float]:
    ordered = sorted(times)
    if len(ordered) <= POINTS:
        return ordered
    return [ordered[(2 * point + 1) * len(ordered) // (2 * POINTS)] for point in range(POINTS)]


def _spread(daily: Sequence[int]) -> float:
    """Of the mean of days, by how they differ: 80 of 100 lie within."""
    if len(daily) <= 1 or not sum(daily):
        return UNKNOWN_SPREAD
    mean = sum(daily) / len(daily)
    deviation = math.sqrt(sum((one - mean) ** 2 for one in daily) / (len(daily) - 1))
    return min(0.9, max(0.02, 1.28 * deviation / mean / math.sqrt(len(daily))))
