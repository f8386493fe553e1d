"""The router's Prometheus endpoint. What isn't known is an absent series, never a zero."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from tidewatt_router import rounding
from tidewatt_router.applier import Applier
from tidewatt_router.config import host_port
from tidewatt_router.link import Link
from tidewatt_router.tables import Tables
from tidewatt_router.watch import Watch

log = logging.getLogger(__name__)


class RouterMetrics(Collector):
    """What Prometheus sees."""

    def __init__(
        self,
        version: str,
        tables: Tables,
        appliers: Sequence[Applier],
        link: Link | None,
        watch: Watch,
        now_ms: Callable[[], int],
    ) -> None:
        self._version, self._tables, self._appliers = version, tables, appliers
        self._link, self._watch, self._now_ms = link, watch, now_ms

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        yield InfoMetricFamily("tidewatt_router", "The router", {"version": self._version})
        yield from self._link_families()
        yield from self._table_families()
        yield from self._wanted_families()
        yield from self._share_families()
        yield from self._applier_families()

    def _link_families(self) -> Iterator[Metric]:
        if self._link:
            text = "1 while the broker is connected"
            yield GaugeMetricFamily("tidewatt_router_connected", text, self._link.connected)
            text = "When the certificate that is shown to the broker ends, in Unix seconds"
            ends = GaugeMetricFamily("tidewatt_router_certificate_ends_timestamp_seconds", text)
            if (ends_s := self._link.certificate_ends_s) is not None:
                ends.add_metric([], ends_s)
            yield ends

    def _table_families(self) -> Iterator[Metric]:
        refused = CounterMetricFamily("tidewatt_router_refusals", "Tables refused", labels=["code"])
        for code, count in sorted(self._tables.refused.items()):
            refused.add_metric([code], count)
        yield refused
        yield CounterMetricFamily("tidewatt_router_tables", "Tables taken", self._tables.taken)
        if table := self._tables.table:
            now_ms = self._now_ms()
            yield GaugeMetricFamily("tidewatt_router_table_epoch", "Epoch of the table held", table.epoch)
            text = "Seconds since the table was issued"
            age_s = (now_ms - table.issued_at_ms) / 1000.0
            yield GaugeMetricFamily("tidewatt_router_table_age_seconds", text, age_s)
            text = "Seconds until the table's safe half holds; negative: it does"
            left_s = (table.expires_at_ms - now_ms) / 1000.0
            yield GaugeMetricFamily("tidewatt_router_table_expires_seconds", text, left_s)

    def _wanted_families(self) -> Iterator[Metric]:
        if (wanted := self._watch.wanted) is None:
            return
        labels = ["route", "source"]
        text = "1 if the route does not follow a table in force, but its safe half or equal shares"
        safe = GaugeMetricFamily("tidewatt_router_on_safe_table", text, labels=labels)
        labels = ["route", "backend"]
        text = "Share of the requests that aren't shed, as the table wants it"
        share = GaugeMetricFamily("tidewatt_router_wanted_share_ratio", text, labels=labels)
        text = "Share of all requests that the proxy should refuse"
        shed = GaugeMetricFamily("tidewatt_router_wanted_shed_ratio", text, labels=["route"])
        for split in wanted.splits:
            safe.add_metric([split.route, split.source], split.source != "table")
            for backend, part in rounding.shares(split.parts).items():
                share.add_metric([split.route, backend], part)
            whole = sum(split.parts.values()) + split.shed
            shed.add_metric([split.route], split.shed / whole if whole else 0.0)
        yield from (safe, share, shed)
        text = (
            "Backends that the table names and the configuration doesn't know: their share goes to the others"
        )
        yield GaugeMetricFamily("tidewatt_router_unknown_backends", text, len(wanted.unknown))

    def _share_families(self) -> Iterator[Metric]:
        labels = ["proxy", "route", "backend"]
        text = "Share of the requests that aren't refused, as the proxy's whole numbers make it"
        share = GaugeMetricFamily("tidewatt_router_achieved_share_ratio", text, labels=labels)
        text = "Share of all requests that the proxy refuses"
        shed = GaugeMetricFamily("tidewatt_router_achieved_shed_ratio", text, labels=labels[:2])
        for applier in self._appliers:
            for route, achieved in applier.achieved.items():
                for backend, part in achieved.shares.items():
                    share.add_metric([applier.proxy.name, route, backend], part)
                shed.add_metric([applier.proxy.name, route], achieved.shed)
        yield from (share, shed)

    def _applier_families(self) -> Iterator[Metric]:
        labels = ["proxy"]
        text = "1 while the proxy does what is wanted"
        step = GaugeMetricFamily("tidewatt_router_in_step", text, labels=labels)
        text = "Epoch of the table that the proxy was last seen to follow"
        epoch = GaugeMetricFamily("tidewatt_router_applied_epoch", text, labels=labels)
        text = "Changes to the proxy, and what they took"
        took = SummaryMetricFamily("tidewatt_router_apply_seconds", text, labels=labels)
        failed = CounterMetricFamily("tidewatt_router_failures", "Tries that failed", labels=labels)
        text = "Changes made again because the proxy had lost them"
        again = CounterMetricFamily("tidewatt_router_restored", text, labels=labels)
        for applier in self._appliers:
            name = [applier.proxy.name]
            step.add_metric(name, applier.in_step)
            if applier.applied:
                epoch.add_metric(name, applier.applied.epoch)
            took.add_metric(name, applier.applies, applier.seconds)
            failed.add_metric(name, applier.failures)
            again.add_metric(name, applier.restored)
        yield from (step, epoch, took, failed, again)


@contextlib.contextmanager
def serve(listen: str, metrics: RouterMetrics) -> Iterator[None]:
    """Serve on host:port, nowhere if that is empty. Raises OSError if the port is taken."""
    if not listen:
        yield
        return
    host, port = host_port(listen, "metrics.listen")
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise OSError(f"metrics.listen {listen}: {error.strerror}") from error
    log.info("metrics on http://%s/metrics", listen)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
