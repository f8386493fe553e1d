"""Electricity Maps (average) and WattTime (marginal), asked over HTTP.

Both are asked by the caller's httpx client, whose timeouts hold. Keys are never in an error.
"""

from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Literal, Protocol, TypeVar

import httpx
import msgspec

from tidewatt_coordinator.carbon.intensity import (
    GRAMS_PER_KWH_OF_POUND_PER_MWH,
    HOUR_MS,
    CarbonError,
    Intensity,
)
from tidewatt_coordinator.outward import MIB, ask

S = TypeVar("S", bound=msgspec.Struct)

DAY_MS = 24 * HOUR_MS
MINUTE_MS = 60_000
#: The longest range that each answers at once.
MAPS_RANGE_MS = 10 * DAY_MS
WATTTIME_RANGE_MS = 31 * DAY_MS
#: More grams than the dirtiest plant's kWh: what is beyond is no intensity.
MOST_GRAMS = 5000

#: Of one answer: a month by five minutes is some hundreds of kilobytes.
MOST_BYTES = 16 * MIB
UNAUTHORIZED, FORBIDDEN, TOO_MANY = 401, 403, 429


class Source(Protocol):
    """Who knows a zone's intensities."""

    def intensities(self, zone: str, from_ms: int, to_ms: int) -> Iterator[Intensity]:
        """Those that begin in [from_ms, to_ms), in order; CarbonError if they can't be had."""


class _MapsPoint(msgspec.Struct, frozen=True, rename="camel"):
    datetime: datetime
    carbon_intensity: Decimal | None = None
    is_estimated: bool | None = None


class _MapsAnswer(msgspec.Struct, frozen=True, rename="camel"):
    data: list[_MapsPoint] = []
    history: list[_MapsPoint] = []
    temporal_granularity: Literal["5_minutes", "15_minutes", "hourly"] = "hourly"


GRANULARITY_MS = {"5_minutes": 5 * MINUTE_MS, "15_minutes": 15 * MINUTE_MS, "hourly": HOUR_MS}


class ElectricityMaps:
    """Average intensities of electricitymaps.com, life cycle of the plants included."""

    def __init__(self, client: httpx.Client, url: str, key: str, now_ms: int) -> None:
        """`now_ms` decides which hours are recent: the last day is free, what is older is not."""
        self._client, self._url, self._key, self._now_ms = client, url.rstrip("/"), key, now_ms

    def intensities(self, zone: str, from_ms: int, to_ms: int) -> Iterator[Intensity]:
        """Those that begin in [from_ms, to_ms), in order; CarbonError if they can't be had."""
        if from_ms >= self._now_ms - DAY_MS:
            yield from self._asked("history", {"zone": zone}, zone, from_ms, to_ms)
            return
        for start in range(from_ms, to_ms, MAPS_RANGE_MS):
            end = min(to_ms, start + MAPS_RANGE_MS)
            asked = {"zone": zone, "start": _moment(start), "end": _moment(end)}
            yield from self._asked("past-range", asked, zone, start, end)

    def _asked(
        self, what: str, asked: dict[str, str], zone: str, from_ms: int, to_ms: int
    ) -> Iterator[Intensity]:
        answer = _get(
            self._client,
            "Electricity Maps",
            f"{self._url}/carbon-intensity/{what}",
            asked,
            {"auth-token": self._key},
        )
        page = _decoded("Electricity Maps", answer, _MapsAnswer)
        length = GRANULARITY_MS[page.temporal_granularity]
        for point in sorted((*page.data, *page.history), key=lambda one: one.datetime):
            start_ms = round(point.datetime.timestamp() * 1000)
            if point.carbon_intensity is None or not from_ms <= start_ms < to_ms:
                continue
            yield Intensity(
                zone=zone,
                kind="average",
                start_ms=start_ms,
                end_ms=start_ms + length,
                grams_per_kwh=_believed("Electricity Maps", point.carbon_intensity),
                source="electricitymaps",
                estimated=bool(point.is_estimated),
            )


class _Token(msgspec.Struct, frozen=True):
    token: str


class _TimePoint(msgspec.Struct, frozen=True):
    point_time: datetime
    value: Decimal


class _TimeMeta(msgspec.Struct, frozen=True):
    units: str
    signal_type: str
    data_point_period_seconds: int = 300


class _TimeAnswer(msgspec.Struct, frozen=True):
    data: list[_TimePoint]
    meta: _TimeMeta


class WattTime:
    """Marginal operating emissions rates of watttime.org."""

    def __init__(self, client: httpx.Client, url: str, user: str, password: str) -> None:
        """It logs in when it is first asked, and again when its token has run out."""
        self._client, self._url, self._login = client, url.rstrip("/"), (user, password)
        self._token = ""

    def intensities(self, zone: str, from_ms: int, to_ms: int) -> Iterator[Intensity]:
        """Those that begin in [from_ms, to_ms), in order; CarbonError if they can't be had."""
        for start in range(from_ms, to_ms, WATTTIME_RANGE_MS):
            end = min(to_ms, start + WATTTIME_RANGE_MS)
            yield from self._historical(zone, start, end)

    def _historical(self, zone: str, from_ms: int, to_ms: int) -> Iterator[Intensity]:
        asked = {"region": zone, "start": _moment(from_ms), "end": _moment(to_ms), "signal_type": "co2_moer"}
        page = _decoded("WattTime", self._get("/v3/historical", asked), _TimeAnswer)
        if page.meta.units != "lbs_co2_per_mwh" or page.meta.signal_type != "co2_moer":
            raise CarbonError(f"WattTime answered in {page.meta.units!r}, not in lbs_co2_per_mwh")
        for point in sorted(page.data, key=lambda one: one.point_time):
            start_ms = round(point.point_time.timestamp() * 1000)
            if from_ms <= start_ms < to_ms:
                yield Intensity(
                    zone=zone,
                    kind="marginal",
                    start_ms=start_ms,
                    end_ms=start_ms + page.meta.data_point_period_seconds * 1000,
                    grams_per_kwh=_believed("WattTime", point.value * GRAMS_PER_KWH_OF_POUND_PER_MWH),
                    source="watttime",
                )

    def _get(self, path: str, asked: dict[str, str]) -> httpx.Response:
        fresh = not self._token
        if fresh:
            self._token = self._log_in()
        try:
            return _get(
                self._client,
                "WattTime",
                self._url + path,
                asked,
                {"Authorization": f"Bearer {self._token}"},
            )
        except Refused:
            self._token = ""
            if fresh:
                raise
            return self._get(path, asked)

    def _log_in(self) -> str:
        answer = _get(self._client, "WattTime", f"{self._url}/login", {}, {}, auth=self._login)
        return _decoded("WattTime", answer, _Token).token


class Refused(CarbonError):
    """The key or the password is not good for what was asked."""


def _get(
    client: httpx.Client,
    who: str,
    url: str,
    asked: dict[str, str],
    headers: dict[str, str],
    auth: tuple[str, str] | None = None,
) -> httpx.Response:
    try:
        answer = ask(client, "GET", url, MOST_BYTES, params=asked, headers=headers, auth=auth)
    except httpx.HTTPError as error:
        raise CarbonError(f"{who} can't be asked: {type(error).__name__}: {error}") from error
    if answer.status_code in (UNAUTHORIZED, FORBIDDEN):
        about = f" for {asked.get('zone') or asked['region']}" if asked else ""
        raise Refused(f"{who} refused the key{about} (HTTP {answer.status_code})")
    if answer.status_code == TOO_MANY:
        wait = answer.headers.get("Retry-After", "some")
        raise CarbonError(f"{who} was asked too often; again in {wait} s")
    if not answer.is_success:
        raise CarbonError(f"{who} answered HTTP {answer.status_code}: {answer.text[:100]!r}")
    return answer


def _decoded(who: str, answer: httpx.Response, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CarbonError(f"{who} answered what is not its format: {error}") from error


def _believed(who: str, grams: Decimal) -> Decimal:
    if not grams.is_finite() or not 0 <= grams <= MOST_GRAMS:
        raise CarbonError(f"{who} answered {grams} g/kWh, which is no intensity")
    return grams


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
