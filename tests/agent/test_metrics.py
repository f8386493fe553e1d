"""The agent's Prometheus page: the report's own figures, and no series for what isn't known."""

import urllib.request

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.ports import free_port

from tidewatt_agent.host import Host
from tidewatt_agent.metrics import AgentMetrics
from tidewatt_agent.power import TotalPower
from tidewatt_agent.readers import Readers
from tidewatt_agent.recognise import BoardIdentity
from tidewatt_agent.serving import serve
from tidewatt_agent.situation import Seen
from tidewatt_agent.tegrastats.child import TegrastatsChild
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_governor.sample import Fan
from tidewatt_wire.clock import Clock
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


def metrics_of(clock: Clock) -> AgentMetrics:
    reader = TegrastatsChild(["tegrastats"], 1.0, clock)
    reader.counts.samples = 9
    board = BoardIdentity(model="A board", soc="t234")
    return AgentMetrics("0.1", None, board, Readers([reader], clock), None, Host(""))


def test_what_is_known_is_shown_in_base_units(clock: Clock) -> None:
    metrics = metrics_of(clock)
    before = page(metrics)
    assert before["tidewatt_reader_samples_total tegrastats"] == 9
    assert before["tidewatt_board_info unknown unknown unknown A board t234"] == 1.0
    assert before["tidewatt_board_power_info none"] == 1.0
    assert before["tidewatt_agent_resident_memory_bytes agent"] > 1e6, "the agent's own cost"
    assert before["tidewatt_host_memory_size_bytes"] > before["tidewatt_host_memory_available_bytes"] > 0
    assert not any("watts" in name or "joules" in name for name in before)
    metrics.show(REPORT, Seen())
    metrics.show(REPORT, Seen())
    shown = page(metrics)
    assert shown["tidewatt_board_watts"] == 4.5
    assert shown["tidewatt_energy_joules_total"] == 1.5
    assert shown["tidewatt_slo_violating_seconds_total"] == 2.5
    assert shown["tidewatt_mode_seconds_total 7W"] == 4.0
    assert shown["tidewatt_power_mode_info 7W"] == 1.0
    assert shown["tidewatt_decisions_total applied saving"] == 2.0
    assert "tidewatt_junction_temperature_celsius" not in shown, "not measured is not zero"
    assert "tidewatt_requests_per_second" not in shown


def test_the_board_unit_by_unit(clock: Clock) -> None:
    sample = parse_line(
        "RAM 1/2MB (lfb 1x2MB) CPU [30%@1036,off] EMC_FREQ 10%@1600 GR3D_FREQ 5%@[306,0] VIC off "
        "gpu@-256C cpu@40.5C VDD_IN 4000mW/4100mW NC 0mW/0mW NC 0mW/0mW A 1mW/1mW A 2mW/2mW"
    )
    sample = msgspec.structs.replace(
        sample, caps={"EMC": 2_133_000_000}, fan=Fan(duty=0.5), over_current={"oc1": 2}
    )
    metrics = metrics_of(clock)
    metrics.show(REPORT, Seen(sample=sample, power=TotalPower(4.0, "measured"), over_current={"oc1": 0.5}))
    shown = page(metrics)
    assert shown["tidewatt_board_power_info measured"] == 1.0
    assert shown["tidewatt_rail_watts VDD_IN"] == 4.0
    assert shown["tidewatt_rail_watts A#2"] == 0.002, "rails that share a name stay apart"
    assert shown["tidewatt_cpu_use_ratio 0"] == 0.3
    assert shown["tidewatt_cpu_hertz 0"] == 1.036e9
    assert shown["tidewatt_unit_hertz 1 GR3D"] == 0.0, "a gated GPC"
    assert shown["tidewatt_unit_use_ratio EMC"] == 0.1
    assert shown["tidewatt_temperature_celsius cpu"] == 40.5
    assert shown["tidewatt_cap_hertz EMC"] == 2.133e9
    assert shown["tidewatt_fan_duty_ratio"] == 0.5
    assert shown["tidewatt_over_current_events_total oc1 under-voltage"] == 2
    assert shown["tidewatt_over_current_events_per_second oc1"] == 0.5
    absent = ("NC", "_ratio 1", "celsius gpu", "VIC", "revolutions")
    assert not [name for name in shown if any(part in name for part in absent)], "missing is not zero"


def test_served_over_http_and_a_taken_port_says_so(clock: Clock) -> None:
    metrics = metrics_of(clock)
    port = free_port()
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
