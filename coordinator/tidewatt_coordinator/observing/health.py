"""The queue before the ledger, and devices that are missing, read when scraped."""

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_wire.units import seconds

#: By whose word nobody knows where they are; who is stopped or asleep said so.
MISSING = ("silent", "lost", "overdue")


class HealthMetrics(Collector):
    """What Prometheus sees of how well we listen, and to whom."""

    def __init__(self, ingest: Ingest, fleet: Fleet, now_ms: Callable[[], int]) -> None:
        self._ingest, self._fleet, self._now_ms = ingest, fleet, now_ms

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        ingest = self._ingest
        yield GaugeMetricFamily("tidewatt_ingest_waiting", "Reports that wait to be merged", ingest.waiting)
        yield GaugeMetricFamily(
            "tidewatt_ingest_lag_seconds",
            "For how long the oldest of them has waited, in real time",
            time.monotonic() - ingest.oldest_s if ingest.oldest_s is not None else 0.0,
        )
        yield GaugeMetricFamily(
            "tidewatt_ingest_failing", "1 while reports can't be merged; the log says why", ingest.failing
        )
        yield SummaryMetricFamily(
            "tidewatt_ingest_merge_seconds",
            "Batches merged, and what they took",
            ingest.merges,
            ingest.spent_s,
        )
        yield CounterMetricFamily(
            "tidewatt_ingest_thinned",
            "Reports given up for room while the ledger failed; their totals are in later ones",
            ingest.thinned,
        )
        yield CounterMetricFamily(
            "tidewatt_ingest_relieved",
            "Times that reports were acknowledged before the ledger had them, because it took too long",
            ingest.relieved,
        )
        yield from self._devices()

    def _devices(self) -> Iterator[Metric]:
        labels = ["device", "site"]
        missing = GaugeMetricFamily(
            "tidewatt_device_missing",
            "1 while a device is silent, lost, or overdue from its sleep",
            labels=labels,
        )
        ages = GaugeMetricFamily(
            "tidewatt_device_heard_age_seconds", "Seconds since a device was last heard", labels=labels
        )
        gaps = CounterMetricFamily(
            "tidewatt_device_missed_reports",
            "Reports of a device whose numbers were passed over; a later one counts what they counted",
            labels=labels,
        )
        late = CounterMetricFamily(
            "tidewatt_device_late_reports", "Reports of a device that came after a newer one", labels=labels
        )
        now_ms = self._now_ms()
        for name, device in self._fleet.known():
            site = device.birth.labels.get("site", "") if device.birth else ""
            status = device.status(now_ms, self._fleet.stale_after_ms)
            missing.add_metric([name, site], status in MISSING)
            if device.heard_ms:  # what is retained tells of a device, not that it is there
                ages.add_metric([name, site], seconds(max(0, now_ms - device.heard_ms)))
            if device.missed or device.late:
                gaps.add_metric([name, site], device.missed)
                late.add_metric([name, site], device.late)
        yield from (missing, ages, gaps, late)
