"""The [[sla]] sections of the coordinator's file: what each service promises, and where that is measured."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec

Metric = Literal["availability", "error_rate", "p95_ms", "p99_ms", "throughput_rps", "promise"]
METRICS: tuple[Metric, ...] = ("availability", "error_rate", "p95_ms", "p99_ms", "throughput_rps", "promise")
#: A promise is at least this much; of the others, at most.
AT_LEAST: tuple[Metric, ...] = ("availability", "throughput_rps", "promise")
#: Averaged over the window, each minute by its requests where these are known; the others are judged by the
#: minute.
RATIOS: tuple[Metric, ...] = ("availability", "error_rate", "promise")

Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e12)]


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service's promise. A metric that isn't promised isn't judged."""

    service: str
    """As drivers and people name it."""
    availability: Ratio | None = None
    """At least this share of requests is answered."""
    error_rate: Ratio | None = None
    """At most this share fails."""
    p95_ms: Positive | None = None
    """What 95 of 100 requests take at the most; absent: not promised."""
    p99_ms: Positive | None = None
    """What 99 of 100 take at the most; absent: not promised."""
    throughput_rps: Positive | None = None
    """It must be able to serve this, or does."""
    promise: Ratio | None = None
    """At least this share of the time the fleet's boards keep their own policy's promise, by the ledger."""
    ledger: bool = False
    """The ledger measures `promise` and `throughput_rps`, of the whole fleet by bucket; for the service
    "edge"."""
    queries: dict[Metric, str] = {}
    """PromQL by metric, each with one series as its answer. One that is promised and has no query is
    unknown."""
    window_s: Annotated[float, msgspec.Meta(ge=60, le=2_592_000)] = 3600.0
    """What is looked back at."""
    step_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] = 60.0
    """A minute, or how long the queries' ranges are."""
    coverage: Ratio = 0.8
    """At least this share of the steps must have been measured; with less the verdict is unknown."""
    tolerated: Ratio = 0.05
    """Share of the steps whose latency or throughput may be worse: one odd minute breaks no promise."""

    @property
    def promised(self) -> dict[Metric, float]:
        """Every objective that is set."""
        found = {name: getattr(self, name) for name in METRICS}
        return {name: value for name, value in found.items() if value is not None}


def wrong_sla(services: Sequence[Service]) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    names = [one.service for one in services]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"sla: service {name!r} stands there twice"
    for one in services:
        if not one.service:
            yield "sla: a service has no name"
        if not one.promised:
            yield f"sla {one.service}: promises nothing; set one of {', '.join(METRICS)}"
        if one.promise is not None and not one.ledger:
            yield f"sla {one.service}: promise is measured by the ledger alone: set ledger = true"
        if one.step_s > one.window_s:
            yield f"sla {one.service}: step_s {one.step_s:g} is longer than window_s {one.window_s:g}"
