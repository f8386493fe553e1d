"""The agent's Prometheus page: the report's own figures, and no series for what isn't known."""

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tidewatt_agent.metrics import AgentMetrics, serve
from tidewatt_agent.tegrastats.child import ReaderCounts
from tidewatt_wire.messages import Counters, Gauges, Report, Verdict

REPORT = Report(
    device="d",
    session="s",
    epoch="e",
    seq=1,
    at_ms=1,
    counters=Counters(
        energy_mj=1500, requests=7, violating_ms=2500, switches=1, mode_ms={"7W": 4000, "25W": 1}
    ),
    gauges=Gauges(point="7W", watts=4.5),
    verdict=Verdict(point="7W", rule="saving", reason="r", outcome="applied"),
)


def page(metrics: AgentMetrics) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(metrics)
    return {
        sample.name + "".join(f" {value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_what_is_known_is_shown_in_base_units() -> None:
    metrics = AgentMetrics("0.1", "board", ReaderCounts(lines=9), None)
    before = page(metrics)
    assert before["tidewatt_tegrastats_lines_total"] == 9
    assert not any("watts" in name or "joules" in name for name in before)
    metrics.show(REPORT)
    metrics.show(REPORT)
    shown = page(metrics)
    assert shown["tidewatt_board_watts"] == 4.5
    assert shown["tidewatt_energy_joules_total"] == 1.5
    assert shown["tidewatt_slo_violating_seconds_total"] == 2.5
    assert shown["tidewatt_mode_seconds_total 7W"] == 4.0
    assert shown["tidewatt_power_mode_info 7W"] == 1.0
    assert shown["tidewatt_decisions_total applied saving"] == 2.0
    assert "tidewatt_temperature_celsius" not in shown, "not measured is not zero"
    assert "tidewatt_requests_per_second" not in shown


def test_served_over_http_and_a_taken_port_says_so() -> None:
    metrics = AgentMetrics("0.1", "board", ReaderCounts(), None)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = serve(metrics, f"127.0.0.1:{port}")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            served = answer.read()
        assert b"tidewatt_agent_info" in served
        assert b"process_resident_memory_bytes" in served, "the agent's own cost"
        with pytest.raises(OSError, match=f"metrics.listen 127.0.0.1:{port}: Address already in use"):
            serve(metrics, f"127.0.0.1:{port}")
    finally:
        server.close()
    with pytest.raises(ValueError, match="'nonsense' is not host:port"):
        serve(metrics, "nonsense")
