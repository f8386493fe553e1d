"""The coordinator's own Prometheus metrics, read from its parts when scraped."""

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewatt_coordinator.costs.imports import Imports
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import Ingest
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.publisher import Publisher
from tidewatt_coordinator.rollout.engine import Engine
from tidewatt_coordinator.rollout.metrics import policy_families
from tidewatt_wire.units import joules, seconds


class CoordinatorMetrics(Collector):
    """What Prometheus sees of the fleet's side."""

    def __init__(
        self,
        ingest: Ingest,
        fleet: Fleet,
        ledger: Ledger,
        publisher: Publisher,
        engine: Engine,
        imports: Imports,
        now_ms: Callable[[], int],
    ) -> None:
        self._ingest, self._fleet, self._ledger = ingest, fleet, ledger
        self._publisher, self._engine, self._now_ms = publisher, engine, now_ms
        self._imports = imports

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        messages = CounterMetricFamily("tidewatt_ingest_messages", "Messages taken", labels=["kind"])
        for kind, count in sorted(self._ingest.messages.items()):
            messages.add_metric([kind], count)
        yield messages
        refused = CounterMetricFamily("tidewatt_ingest_refused", "Messages refused", labels=["reason"])
        for reason, count in sorted(self._ingest.refused.items()):
            refused.add_metric([reason], count)
        yield refused
        aside = CounterMetricFamily(
            "tidewatt_ledger_quarantined",
            "Reports that can't be true and words on sleep that aren't proven, kept aside",
            labels=["code"],
        )
        for code, count in sorted(self._ingest.intake.quarantined.items()):
            aside.add_metric([code], count)
        yield aside
        yield GaugeMetricFamily(
            "tidewatt_ingest_connected", "1 while the broker is connected", self._ingest.connected
        )
        expires = GaugeMetricFamily(
            "tidewatt_ingest_certificate_expires_seconds",
            "Seconds until the coordinator's own certificate, or the one that the broker showed when it was "
            "connected to last, ends; negative: it has",
            labels=["of"],
        )
        ends = {"coordinator": self._ingest.certificate_ends_s, "broker": self._ingest.broker_ends_s}
        for whose, ends_s in ends.items():
            if ends_s is not None:
                expires.add_metric([whose], ends_s - time.time())  # TLS lives in real time, not the fleet's
        yield expires
        devices = GaugeMetricFamily("tidewatt_fleet_devices", "Known devices", labels=["status"])
        now_ms = self._now_ms()
        statuses = [self._fleet.status(name, now_ms) for name, _ in self._fleet.known()]
        for status in sorted(set(statuses)):
            devices.add_metric([status], statuses.count(status))
        yield devices
        skews = GaugeMetricFamily(
            "tidewatt_device_clock_skew_seconds",
            "The device's clock minus ours, by its least delayed report of the last five minutes",
            labels=["device"],
        )
        for name, device in self._fleet.known():
            if (skew_ms := device.skew.ms) is not None:
                skews.add_metric([name], seconds(skew_ms))
        yield skews
        yield from policy_families(self._engine, self._fleet, now_ms)
        displaced = CounterMetricFamily(
            "tidewatt_policy_displaced",
            "Times that the policy topic held something else than our set, which was put back",
            labels=["what"],
        )
        for what, count in sorted(self._publisher.policy.displaced.items()):
            displaced.add_metric([what], count)
        yield displaced
        yield from self._imports.families()
        yield from self._ledger_families()

    def _ledger_families(self) -> Iterator[Metric]:
        totals = self._ledger.totals()
        energy = CounterMetricFamily(
            "tidewatt_ledger_energy_joules", "Energy in the ledger", labels=["device"]
        )
        requests = CounterMetricFamily(
            "tidewatt_ledger_requests", "Requests in the ledger", labels=["device"]
        )
        for total in totals:
            values = dict(zip(COUNTERS, total.values, strict=True))
            energy.add_metric([total.device], joules(values["energy_mj"]))
            requests.add_metric([total.device], values["requests"])
        yield energy
        yield requests
        yield from self._asleep_families()

    def _asleep_families(self) -> Iterator[Metric]:
        slept = CounterMetricFamily("tidewatt_ledger_asleep_seconds", "Time asleep", labels=["device"])
        energy = CounterMetricFamily(
            "tidewatt_ledger_asleep_energy_joules",
            "Energy asleep, by the measured sleep watts: an estimate, in no other metric",
            labels=["device"],
        )
        for device, asleep in sorted(self._ledger.asleep().items()):
            slept.add_metric([device], seconds(asleep.ms))
            energy.add_metric([device], joules(asleep.energy_mj))
        yield slept
        yield energy
