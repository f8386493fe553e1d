"""An application's status page to a Reading. Pure: text in, value out.

Prometheus pages of any application by counter and histogram name; Triton and vLLM by their
own names; nginx by its stub_status text.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

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
_STUB_STATUS = re.compile(r"server accepts handled requests\s+\d+ \d+ (\d{1,15})\s", re.ASCII)


def parse_exposition(page: str, counter: str, histogram: str, labels: Mapping[str, str]) -> Reading:
    """The reading in a Prometheus page, summed over the series that carry all `labels`.

    Raises Unreadable if the counter isn't there or the page is broken. Only the wanted lines
    are parsed: pages of real applications have hundreds of series.
    """
    bucket = f"{histogram}_bucket" if histogram else None
    wanted = tuple(name for name in (counter, bucket) if name)
    requests: dict[str, float] = {}
    buckets: dict[str, tuple[float, float]] = {}
    try:
        for line in page.splitlines():
            if not line.startswith(wanted):
                continue
            found = _LINE.fullmatch(line)
            if found is None:
                raise Unreadable(f"not a line of Prometheus text: {line[:80]!r}")
            name, own = _series(found[1])
            if not labels.items() <= own.items():
                continue
            if name == counter:
                requests[found[1]] = _count(found[2])
            elif name == bucket:
                buckets[found[1]] = float(own["le"]), _count(found[2])
    except (ValueError, KeyError) as error:
        raise Unreadable(f"not Prometheus exposition text: {error}") from error
    if not requests:
        chosen = "".join(f" {key}={value!r}" for key, value in labels.items())
        raise Unreadable(f"no usable series {counter}{chosen} on the page")
    return Reading(requests, buckets)


def _count(text: str) -> float:
    value = float(text)
    if not 0.0 <= value < float("inf"):
        raise ValueError(f"{text} is no count")
    return value


@lru_cache(maxsize=4096)
def _series(text: str) -> tuple[str, dict[str, str]]:
    """Name and labels of a series, by the library's parser: once, for they come again every second."""
    (family,) = text_string_to_metric_families(f"{text} 0\n")
    (sample,) = family.samples
    return sample.name, sample.labels


def parse_stub_status(page: str) -> Reading:
    """The reading in nginx's stub_status page; Unreadable if it is none."""
    found = _STUB_STATUS.search(page + "\n")
    if found is None:
        raise Unreadable("not nginx's stub_status page")
    return Reading({"requests": float(found[1])})
