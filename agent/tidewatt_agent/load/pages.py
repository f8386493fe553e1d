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

_STUB_STATUS = re.compile(r"server accepts handled requests\s+\d+ \d+ (\d{1,15})\s", re.ASCII)


def parse_exposition(page: str, counter: str, histogram: str, labels: Mapping[str, str]) -> Reading:
    """The reading in a Prometheus page, summed over the series that carry all `labels`.

    Raises Unreadable if the counter isn't there or the page is broken. Only the wanted lines
    are parsed: pages of real applications have hundreds of series.
    """
    bucket = f"{histogram}_bucket" if histogram else None
    wanted = tuple(name for name in (counter, bucket) if name)
    requests: float | None = None
    buckets: dict[float, float] = {}
    try:
        for line in page.splitlines():
            if not line.startswith(wanted):
                continue
            end = line.rfind("}") + 1 or line.find(" ")
            name, own = _series(line[:end])
            if not labels.items() <= own.items():
                continue
            if name == counter:
                requests = (requests or 0.0) + float(line[end:].split()[0])
            elif name == bucket:
                bound = float(own["le"])
                buckets[bound] = buckets.get(bound, 0.0) + float(line[end:].split()[0])
    except (ValueError, KeyError, IndexError) as error:
        raise Unreadable(f"not Prometheus exposition text: {error}") from error
    if requests is None or not 0.0 <= requests < float("inf"):
        chosen = "".join(f" {key}={value!r}" for key, value in labels.items())
        raise Unreadable(f"no usable series {counter}{chosen} on the page")
    return Reading(requests, tuple(sorted(buckets.items())))


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
    return Reading(float(found[1]))
