"""What a window is held against: targets from a file, under those of the command line."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec
from msgspec.structs import asdict, replace

from tidewatt_coordinator.sla.objectives import METRICS, Metric, Positive, Ratio, Service

#: A longer range of Prometheus has longer steps: it answers with 11,000 at most.
MOST_STEPS = 10_000
#: The metrics that can be targets.
JUDGED: tuple[Metric, ...] = ("availability", "p95_ms", "throughput_rps", "promise")


class Targets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A targets file. What isn't set isn't judged."""

    cost: Decimal | None = None
    """At most this, for the window's whole days together."""
    cost_per_million: Decimal | None = None
    """At most this for a million requests."""
    currency: str = ""
    """Of both; empty: whatever the fleet pays in, if that is one currency."""
    p95_ms: Positive | None = None
    """At most."""
    throughput_rps: Positive | None = None
    """At least."""
    availability: Ratio | None = None
    """At least."""
    promise: Ratio | None = None
    """At least this share of the time the boards keep their policy's promise, by the ledger."""
    spot_share: Ratio | None = None
    """At least this share of the nodes, or of whatever the query counts, is spot."""
    queries: dict[Literal["availability", "p95_ms", "throughput_rps", "spot_share"], str] = {}
    """PromQL, one series each; default: those of the service's [[sla]] section."""
    coverage: Ratio = 0.8
    """At least this share of the window must have been measured; with less it is unknown."""
    tolerated: Ratio = 0.05
    """Share of the steps whose latency or throughput may be worse."""

    @property
    def any(self) -> bool:
        """Whether there is one."""
        names = ("cost", "cost_per_million", "spot_share", *JUDGED)
        return any(getattr(self, name) is not None for name in names)

    def over(self, given: Mapping[str, object]) -> "Targets":
        """These under what was given with the command. ValueError for a value that can't be."""
        told = {name: value for name, value in given.items() if value is not None}
        try:
            found = msgspec.convert(asdict(self) | told, Targets)
        except msgspec.ValidationError as error:
            raise ValueError(f"a target can't be: {error}") from error
        for name in ("cost", "cost_per_million"):
            amount = getattr(found, name)
            if amount is not None and not (amount.is_finite() and amount >= 0):
                raise ValueError(f"{name} {amount} is no amount of money")
        return found


def service_of(
    targets: Targets, promised: Service | None, window_s: float, bucket_s: float
) -> Service | None:
    """The targets as a promise for the engine that judges promises; None if none of them is its business."""
    wanted = {name: getattr(targets, name) for name in JUDGED if getattr(targets, name) is not None}
    if not wanted:
        return None
    base = promised or Service(service="fleet", ledger=True)
    queries = {name: query for name, query in targets.queries.items() if name in METRICS}
    shortest_s = bucket_s if base.ledger else 1.0
    return replace(
        base,
        **dict.fromkeys(METRICS) | wanted,
        queries=base.queries | queries,
        window_s=window_s,
        step_s=max(base.step_s, shortest_s, window_s / MOST_STEPS),
        coverage=targets.coverage,
        tolerated=targets.tolerated,
    )
