"""An application's status page to a Reading. Pure: text in, value out.

Prometheus pages of any application by counter and histogram name; Triton and vLLM by their
own names; nginx by its stub_status text.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from tidewatt_agent.load.reading import Reading, Unreadable

#: What the servers call their counter of requests and, where they have one, their latency histogram.
KNOWN = {
    "triton": ("nv_inference_request_success", ""),
    "vllm": ("vllm:request_success_total", "vllm:e2e_request_latency_seconds"),
}

#: A sample: series, value, and perhaps a timestamp and an OpenMetrics exemplar.
_LINE = re.compile(
    r'([a-zA-Z_:][\w:]*(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\})?)'
    r"[ \t]+(\S+)(?:[ \t]+[-\d.]+)?(?:[ \t]+#.*|[ \t]*)",
    re.ASCII,
)
#: Series remembered: what has more of one name than this is parsed anew.
MOST_SERIES = 4096
_STUB_STATUS = re.compile(r"server accepts handled requests\s+\d+ \d+ (\d{1,15})\s", re.ASCII)


class Series(NamedTuple):
    """What a series is to a reading: a count of requests, a bucket up to `bound` seconds, or nothing."""

    counts: bool = False
    bound: float | None = None


class Exposition:
    """The Prometheus pages of one application, of which a counter and perhaps a histogram are read."""

    def __init__(self, counter: str, histogram: str = "", labels: Mapping[str, str] | None = None) -> None:
        """Read are the series that carry all `labels`."""
        self._counter, self._bucket = counter, f"{histogram}_bucket" if histogram else None
        self._names = tuple(name for name in (self._counter, self._bucket) if name)
        self._labels = labels or {}
        self._met: dict[str, Series] = {}
        """Series by their text on the page: they come again every second."""

    def read(self, page: str) -> Reading:
        """The reading in a page, summed over the series.

        Raises Unreadable if the counter isn't there or the page is broken. Only the wanted lines
        are parsed: pages of real applications have hundreds of series.
        """
        requests: dict[str, float] = {}
        buckets: dict[str, tuple[float, float]] = {}
        try:
            for line in page.splitlines():
                if not line.startswith(self._names):
                    continue
                text, _, value = line.rpartition(" ")
                # It is new, or more follows than its value: a time, an exemplar.
                if text not in self._met or "\t" in value:
                    text, value = self._meet(line)
                series = self._met[text]
                if series.counts:
                    requests[text] = _count(value)
                elif series.bound is not None:
                    buckets[text] = series.bound, _count(value)
        except (ValueError, KeyError) as error:
            raise Unreadable(f"not Prometheus exposition text: {error}") from error
        if not requests:
            chosen = "".join(f" {key}={value!r}" for key, value in self._labels.items())
            raise Unreadable(f"no usable series {self._counter}{chosen} on the page")
        return Reading(requests, buckets)

    def _meet(self, line: str) -> tuple[str, str]:
        """The series of any line, which is known from now on, and its value."""
        found = _LINE.fullmatch(line)
        if found is None:
            raise Unreadable(f"not a line of Prometheus text: {line[:80]!r}")
        if found[1] not in self._met:
            if len(self._met) >= MOST_SERIES:
                self._met.clear()
            self._met[found[1]] = self._series(found[1])
        return found[1], found[2]

    def _series(self, text: str) -> Series:
        (family,) = text_string_to_metric_families(f"{text} 0\n")
        (sample,) = family.samples
        if not self._labels.items() <= sample.labels.items():
            return Series()
        if sample.name == self._bucket:
            return Series(bound=float(sample.labels["le"]))
        return Series(counts=sample.name == self._counter)


def _count(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{text} is no count")
    return value


def parse_stub_status(page: str) -> Reading:
    """The reading in nginx's stub_status page; Unreadable if it is none."""
    found = _STUB_STATUS.search(page + "\n")
    if found is None:
        raise Unreadable("not nginx's stub_status page")
    return Reading({"requests": float(found[1])})
