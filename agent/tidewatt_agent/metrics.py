"""The agent's Prometheus endpoint: the same snapshot that the report carries.

Base units, one prefix, `_total` only on counters; a quantity that was not measured is an
absent series, never a zero.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewatt_agent.forecastmetrics import forecast_families
from tidewatt_agent.foresight import Foresight
from tidewatt_agent.host import Host
from tidewatt_agent.learning import Learning
from tidewatt_agent.link import Link
from tidewatt_agent.linkmetrics import link_families
from tidewatt_agent.models import Models
from tidewatt_agent.overcurrent import MEANINGS
from tidewatt_agent.planhints import PlanHints
from tidewatt_agent.planmetrics import plan_families
from tidewatt_agent.pointmetrics import point_families
from tidewatt_agent.policies import Policies
from tidewatt_agent.policymetrics import policy_families
from tidewatt_agent.power import UNCONNECTED
from tidewatt_agent.readers import Readers
from tidewatt_agent.recognise import BoardIdentity
from tidewatt_agent.situation import Seen
from tidewatt_agent.sleeping.neighbours import Wakes
from tidewatt_agent.sleeping.sleeper import Sleeper
from tidewatt_agent.sleepmetrics import sleep_families, wake_families
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.sample import Clocked, Sample
from tidewatt_wire.messages import Counters, Report
from tidewatt_wire.units import joules, seconds


class AgentMetrics(Collector):
    """What Prometheus sees. `show` replaces the snapshot; a scrape reads it."""

    def __init__(
        self,
        version: str,
        profile: BoardProfile | None,
        board: BoardIdentity,
        readers: Readers,
        link: Link | None,
        host: Host,
        learning: Learning | None = None,
        foresight: Foresight | None = None,
        policies: Policies | None = None,
        models: Models | None = None,
        now_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        self._version, self._profile, self._board = version, profile, board
        self._readers, self._link, self._host, self._learning = readers, link, host, learning
        self._foresight, self._policies, self._models, self._now_ms = foresight, policies, models, now_ms
        self.sleeper: Sleeper | None = None
        """Who lets the board sleep, if anybody does."""
        self.plans: PlanHints | None = None
        """What the fleet's plan asks,"""
        self.now_s: Callable[[], float] = lambda: 0.0
        """by this monotonic clock."""
        self.wakes: Wakes | None = None
        """Who wakes its neighbours."""
        self._report: Report | None = None
        self._kept: Counters | None = None
        self._seen = Seen()
        self._decisions: dict[tuple[str, str], int] = {}

    def show(self, report: Report, seen: Seen) -> None:
        """Make this report the snapshot and count its decision."""
        self._report, self._seen = report, seen
        if report.verdict:
            key = (report.verdict.rule, report.verdict.outcome)
            self._decisions[key] = self._decisions.get(key, 0) + 1

    def keep(self, counters: Counters) -> None:
        """Show these counters: the ones on disk. After a power cut the page must not fall behind itself,
        or Prometheus would take it for a counter that began anew and add all of it again.
        """
        self._kept = counters

    def collect(self) -> Iterator[Metric]:
        """Every metric family, absent where nothing was measured."""
        yield from self._about()
        yield from self._reader_families()
        yield from _host_families(self._host)
        if self._link:
            yield from link_families(self._link)
        if self._report:
            yield from _gauges(self._report)
            yield from _counters(self._kept or self._report.counters)
            yield from self._decision_families()
        yield from point_families(self._learning)
        yield from forecast_families(self._foresight)
        yield from policy_families(self._policies, self._models, self._now_ms)
        yield from sleep_families(self.sleeper)
        yield from plan_families(self.plans, self._now_ms(), self.now_s())
        yield from wake_families(self.wakes)
        origin: dict[str, str] = {"provenance": self._seen.power.provenance}
        text = "Where the power comes from: measured, sum (of rails), none"
        yield InfoMetricFamily("tidewatt_board_power", text, origin)
        if self._seen.sample:
            yield from _board_families(self._seen.sample)
        rates = GaugeMetricFamily(
            "tidewatt_over_current_events_per_second",
            "Throttling events over the last minute",
            labels=["channel"],
        )
        for channel, rate in self._seen.over_current.items():
            rates.add_metric([channel], rate)
        yield rates

    def _about(self) -> Iterator[Metric]:
        profile = self._profile.name if self._profile else "none"
        about = {"version": self._version, "profile": profile}
        yield InfoMetricFamily("tidewatt_agent", "The agent and the operating points it works with", about)
        board = {
            name: getattr(self._board, name) or "unknown"
            for name in ("model", "family", "soc", "l4t", "jetpack")
        }
        yield InfoMetricFamily("tidewatt_board", "The board as its device tree names it", board)

    def _reader_families(self) -> Iterator[Metric]:
        current = self._readers.current
        name = {"reader": current.name if current else "none"}
        yield InfoMetricFamily("tidewatt_reader", "The reader in use", name)
        for metric, text in (
            ("samples", "Readings of the board taken"),
            ("skipped", "Readings that made no sense, or lacked the power"),
            ("unknown_tokens", "Tokens that were not understood, and kept"),
            ("starts", "Times the reader was started"),
        ):
            family = CounterMetricFamily(f"tidewatt_reader_{metric}", text, labels=["reader"])
            for reader in self._readers.all:
                family.add_metric([reader.name], getattr(reader.counts, metric))
            yield family

    def _decision_families(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "tidewatt_decisions", "Decisions by binding rule and outcome", labels=["rule", "outcome"]
        )
        for (rule, outcome), count in sorted(self._decisions.items()):
            family.add_metric([rule, outcome], count)
        yield family


def _host_families(host: Host) -> Iterator[Metric]:
    for name, text, space in (
        ("memory", "Host memory, shared with the GPU", host.memory()),
        ("swap", "Host swap", host.swap()),
        ("disk", "File system of the state folder", host.disk()),
    ):
        if space:
            yield _gauge(f"tidewatt_host_{name}_size_bytes", f"{text}, in all", space.total)
            yield _gauge(f"tidewatt_host_{name}_available_bytes", f"{text}, available", space.available)
    rss = GaugeMetricFamily(
        "tidewatt_agent_resident_memory_bytes", "The agent's own memory, by process", labels=["process"]
    )
    cpu = CounterMetricFamily(
        "tidewatt_agent_cpu_seconds", "The agent's own CPU time, by process", labels=["process"]
    )
    for process, cost in host.costs().items():
        rss.add_metric([process], cost.rss)
        cpu.add_metric([process], cost.cpu_s)
    yield from (rss, cpu)


def _gauges(report: Report) -> Iterator[Metric]:
    now = report.gauges
    for name, text, value in (
        ("tidewatt_board_watts", "Power into the board", now.watts),
        ("tidewatt_requests_per_second", "Request rate over the last tick", now.requests_rps),
        ("tidewatt_junction_temperature_celsius", "The board's hottest junction", now.temperature_c),
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


def _counters(so_far: Counters) -> Iterator[Metric]:
    yield _counter("tidewatt_energy_joules", "Energy measured", joules(so_far.energy_mj))
    yield _counter(
        "tidewatt_asleep_energy_joules",
        "Energy of the time asleep: its measured sleep watts x time, an estimate in no other counter",
        joules(so_far.asleep_mj),
    )
    yield _counter("tidewatt_requests", "Requests that the applications counted", so_far.requests)
    yield _counter("tidewatt_slo_violating_seconds", "Time out of the promise", seconds(so_far.violating_ms))
    yield _gauge(
        "tidewatt_slo_longest_violation_seconds",
        "Longest time out of the promise without a break",
        seconds(so_far.longest_violation_ms),
    )
    yield _counter(
        "tidewatt_slo_unjudged_seconds",
        "Time in which neither load nor latency was known",
        seconds(so_far.unjudged_ms),
    )
    estimated = CounterMetricFamily(
        "tidewatt_estimated_energy_joules",
        "Energy by the operating points' model: as the board stood, and as the governor would have had it",
        labels=["case"],
    )
    estimated.add_metric(["as_it_stood"], joules(so_far.modelled_mj))
    estimated.add_metric(["as_governed"], joules(so_far.governed_mj))
    yield estimated
    yield _counter("tidewatt_unmeasured_seconds", "Time without power reading", seconds(so_far.unmeasured_ms))
    yield _counter("tidewatt_switches", "Power mode switches done", so_far.switches)
    modes = CounterMetricFamily(
        "tidewatt_mode_seconds",
        "Time spent in each power mode, asleep, or in an unknown one",
        labels=["mode"],
    )
    for mode, ms in sorted(so_far.mode_ms.items()):
        modes.add_metric([mode], seconds(ms))
    yield modes


def _board_families(sample: Sample) -> Iterator[Metric]:
    yield from _rail_families(sample)
    heat = GaugeMetricFamily("tidewatt_temperature_celsius", "Temperature by sensor", labels=["sensor"])
    for name, reading in sample.temperatures.items():
        if reading:
            heat.add_metric([name], reading.now)
    yield heat
    use = GaugeMetricFamily("tidewatt_cpu_use_ratio", "Use of each online core", labels=["core"])
    hertz = GaugeMetricFamily("tidewatt_cpu_hertz", "Clock of each online core", labels=["core"])
    for number, core in enumerate(sample.cores or ()):
        if core and core.use is not None:
            use.add_metric([str(number)], core.use)
        if core and core.hertz is not None:
            hertz.add_metric([str(number)], core.hertz)
    yield from (use, hertz)
    units = {**sample.gpus, **({"EMC": sample.emc} if sample.emc else {}), **sample.engines}
    yield from _unit_families(units)
    caps = GaugeMetricFamily("tidewatt_cap_hertz", "Upper clock caps in force", labels=["clock"])
    for clock, cap in sample.caps.items():
        caps.add_metric([clock], cap)
    yield caps
    if sample.fan and sample.fan.duty is not None:
        yield _gauge("tidewatt_fan_duty_ratio", "Duty of the fan", sample.fan.duty)
    if sample.fan and sample.fan.rpm is not None:
        yield _gauge("tidewatt_fan_revolutions_per_minute", "Speed of the fan", sample.fan.rpm)
    events = CounterMetricFamily(
        "tidewatt_over_current_events",
        "Throttling events since boot; oc3 in small numbers is normal, oc1 and oc2 never are",
        labels=["channel", "meaning"],
    )
    for channel, count in sample.over_current.items():
        events.add_metric([channel, MEANINGS.get(channel, "unknown")], count)
    yield events


def _rail_families(sample: Sample) -> Iterator[Metric]:
    rails = GaugeMetricFamily(
        "tidewatt_rail_watts", "Power by rail. Rails overlap: never sum them", labels=["rail"]
    )
    met: Counter[str] = Counter()
    for rail in sample.rails:
        met[rail.name] += 1
        if rail.name != UNCONNECTED:
            rails.add_metric(
                [rail.name if met[rail.name] == 1 else f"{rail.name}#{met[rail.name]}"], rail.now
            )
    yield rails


def _unit_families(units: dict[str, Clocked]) -> Iterator[Metric]:
    use = GaugeMetricFamily(
        "tidewatt_unit_use_ratio", "Use of the GPU (GR3D), the memory (EMC) and the engines", labels=["unit"]
    )
    hertz = GaugeMetricFamily(
        "tidewatt_unit_hertz",
        "Clock of the GPU, the memory and the engines; 0 is a gated domain",
        labels=["unit", "domain"],
    )
    for name, unit in units.items():
        if unit.use is not None:
            use.add_metric([name], unit.use)
        for domain, value in enumerate(unit.hertz):
            hertz.add_metric([name, str(domain)], value)
    yield from (use, hertz)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value)
