"""The audit's metrics."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewatt_coordinator.audit.guard import Guard


class AuditMetrics(Collector):
    """What Prometheus sees of the chain, as it was looked at last."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        seen = self._guard.seen
        intact = GaugeMetricFamily(
            "tidewatt_audit_intact",
            "1: the audit's chain holds and goes on from the head told before",
        )
        entries = GaugeMetricFamily("tidewatt_audit_entries", "Entries in the audit")
        at = GaugeMetricFamily(
            "tidewatt_audit_checked_timestamp_seconds", "When the audit's chain was checked last"
        )
        if seen:
            intact.add_metric([], 0.0 if seen.broken else 1.0)
            entries.add_metric([], seen.head.sequence)
            at.add_metric([], seen.at_s)
        yield from (intact, entries, at)
