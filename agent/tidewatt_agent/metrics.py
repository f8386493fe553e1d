"""The agent's Prometheus endpoint: the same snapshot that the report carries.

Base units, one prefix, `_total` only on counters; a quantity that was not measured is an
absent series, never a zero.
"""

import logging
from collections.abc import Iterator
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewatt_agent.config import host_port
from tidewatt_agent.link import Link
from tidewatt_agent.tegrastats.child import ReaderCounts
from tidewatt_wire.messages import Report
from tidewatt_wire.units import joules, seconds

log = logging.getLogger(__name__)


class AgentMetrics(Collector):
    """What Prometheus sees. `show` replaces the snapshot; a scrape reads it."""

    def __init__(self, version: str, board: str, reader: ReaderCounts, link: Link | None) -> None:
        self._about = {"version": version, "board": board}
        self._reader, self._link = reader, link
        self._report: Report | None = None
        self._decisions: dict[tuple[str, str], int] = {}

    def show(self, report: Report) -> None:
        """Make this report the snapshot and count its decision."""
        self._report = report
        if report.verdict:
            key = (report.verdict.rule, report.verdict.outcome)
            self._decisions[key] = self._decisions.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Every metric family, absent where nothing was measured."""
        yield InfoMetricFamily("tidewatt_agent", "The agent and its board", self._about)
        yield from self._reader_families()
        if self._link:
            yield _gauge("tidewatt_link_connected", "1 while the broker is connected", self._link.connected)
            yield _counter(
                "tidewatt_reports_dropped", "Reports given up while it was not", self._link.dropped
            )
        if self._report:
            yield from _gauges(self._report)
            yield from _counters(self._report)
            yield from self._decision_families()

    def _reader_families(self) -> Iterator[Metric]:
        yield _counter("tidewatt_tegrastats_lines", "Lines read from tegrastats", self._reader.lines)
        yield _counter("tidewatt_tegrastats_lines_skipped", "Lines that made no sense", self._reader.skipped)
        yield _counter(
            "tidewatt_tegrastats_unknown_tokens", "Tokens not understood, kept", self._reader.unknown_tokens
        )
        yield _counter("tidewatt_tegrastats_starts", "Times tegrastats was started", self._reader.starts)

    def _decision_families(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "tidewatt_decisions", "Decisions by binding rule and outcome", labels=["rule", "outcome"]
        )
        for (rule, outcome), count in sorted(self._decisions.items()):
            family.add_metric([rule, outcome], count)
        yield family


def serve(metrics: AgentMetrics, listen: str) -> "Serving":
    """Serve on host:port until closed.

    Raises OSError if the port is taken, ValueError if `listen` is no host:port.
    """
    host, port = host_port(listen)
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)  # the agent's own cost: process_resident_memory_bytes and the like
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise OSError(f"metrics.listen {listen}: {error.strerror}") from error
    log.info("metrics on http://%s/metrics", listen)
    return Serving(server, thread)


class Serving:
    """The endpoint while it is served."""

    def __init__(self, server: WSGIServer, thread: Thread) -> None:
        self._server, self._thread = server, thread

    def close(self) -> None:
        """Stop serving and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _gauges(report: Report) -> Iterator[Metric]:
    now = report.gauges
    for name, text, value in (
        ("tidewatt_board_watts", "Power into the board", now.watts),
        ("tidewatt_requests_per_second", "Request rate over the last tick", now.requests_rps),
        ("tidewatt_temperature_celsius", "Junction temperature", now.temperature_c),
        (
            "tidewatt_latency_p95_seconds",
            "95th percentile latency over the last tick",
            None if now.p95_ms is None else now.p95_ms / 1000.0,
        ),
    ):
        if value is not None:
            yield _gauge(name, text, value)
    if now.point is not None:
        yield InfoMetricFamily("tidewatt_power_mode", "The power mode in force", {"mode": now.point})


def _counters(report: Report) -> Iterator[Metric]:
    so_far = report.counters
    yield _counter("tidewatt_energy_joules", "Energy measured", joules(so_far.energy_mj))
    yield _counter("tidewatt_requests", "Requests counted by the application", so_far.requests)
    yield _counter("tidewatt_slo_violating_seconds", "Time out of the promise", seconds(so_far.violating_ms))
    yield _counter("tidewatt_unmeasured_seconds", "Time without power reading", seconds(so_far.unmeasured_ms))
    yield _counter("tidewatt_switches", "Power mode switches done", so_far.switches)
    modes = CounterMetricFamily("tidewatt_mode_seconds", "Time spent in each power mode", labels=["mode"])
    for mode, ms in sorted(so_far.mode_ms.items()):
        modes.add_metric([mode], seconds(ms))
    yield modes


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value)
