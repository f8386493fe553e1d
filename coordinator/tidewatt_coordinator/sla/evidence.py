"""What Prometheus measured of a service's promise, asked when a verdict is needed."""

from collections.abc import Mapping
from pathlib import Path

import httpx
import msgspec

from tidewatt_coordinator import outward
from tidewatt_coordinator.sla.objectives import Metric, Service
from tidewatt_coordinator.sla.verdict import Series

#: Real seconds that an answer may take, and its greatest size.
PATIENCE_S = 10.0
MOST_BYTES = 16 * 1024 * 1024


class EvidenceError(RuntimeError):
    """Prometheus can't be asked, or doesn't say a single series; the sentence says which."""


class _Matrix(msgspec.Struct, frozen=True, rename="camel"):
    result_type: str
    result: list[dict[str, object]]


class _Series(msgspec.Struct, frozen=True):
    values: list[tuple[float, str]]


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Matrix | None = None
    error: str = ""


class Evidence:
    """One Prometheus."""

    def __init__(self, url: str, token_file: str = "") -> None:
        self._url, self._token_file = url.rstrip("/"), token_file
        self.failing: dict[str, str] = {}
        """By query, why it had no answer the last time."""

    def measured(self, service: Service, until_ms: int) -> Mapping[Metric, Series]:
        """Every metric of the service that could be had, over its window. What can't be had is left out."""
        found: dict[Metric, Series] = {}
        for metric, query in service.queries.items():
            try:
                found[metric] = self.ask(
                    query, until_ms - round(service.window_s * 1000), until_ms, service.step_s
                )
            except (EvidenceError, OSError, ValueError) as error:
                self.failing[query] = str(error)
            else:
                self.failing.pop(query, None)
        return found

    def ask(self, query: str, from_ms: int, until_ms: int, step_s: float) -> Series:
        """One series. EvidenceError for no answer, or one of several series."""
        if not self._url:
            raise EvidenceError("levers.prometheus is not set")
        headers = {}
        if self._token_file:
            headers = {"Authorization": f"Bearer {Path(self._token_file).read_text('utf-8').strip()}"}
        asked: dict[str, str | float] = {
            "query": query,
            "start": from_ms / 1000 + step_s,
            "end": until_ms / 1000,
            "step": step_s,
        }
        try:
            url = f"{self._url}/api/v1/query_range"
            with httpx.Client(timeout=PATIENCE_S) as client:
                answer = outward.ask(client, "GET", url, MOST_BYTES, params=asked, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EvidenceError(f"{query}: {error or type(error).__name__}") from error
        return parse(answer.content, query)


def parse(body: bytes, query: str) -> Series:
    """The one series of an answer; EvidenceError for what is none. No series at all is an empty one."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        if answer.status != "success" or answer.data is None or answer.data.result_type != "matrix":
            raise EvidenceError(f"{query}: {answer.error[:200] or 'Prometheus gives no series'}")
        series = msgspec.convert(answer.data.result, list[_Series])
        if len(series) > 1:
            raise EvidenceError(f"{query}: has {len(series)} series where one is needed: sum or max them")
        return {round(at_s * 1000): float(text) for one in series for at_s, text in one.values}
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise EvidenceError(f"{query}: no answer of Prometheus: {error}") from error
