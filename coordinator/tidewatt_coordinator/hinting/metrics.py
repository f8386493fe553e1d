"""The metrics of planning, read when scraped."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewatt_coordinator.hinting.topic import PlanTopics


class PlanMetrics(Collector):
    """What Prometheus sees of the plan; nothing where planning is off."""

    def __init__(self, topics: PlanTopics) -> None:
        self._planner, self._topics = topics.planner, topics

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        planner = self._planner
        if planner.settings.mode == "off":
            return
        yield CounterMetricFamily("tidewatt_plans", "Plans made", planner.made)
        yield CounterMetricFamily(
            "tidewatt_plan_messages", "Hints said, and taken away", self._topics.messages
        )
        yield GaugeMetricFamily(
            "tidewatt_plan_blocked",
            "1 while there is no new plan, or it can't be told",
            bool(planner.obstacle),
        )
        if planner.last is None:
            return
        shown = planner.last.shown
        yield GaugeMetricFamily(
            "tidewatt_plan_timestamp_seconds", "When the last plan was made", shown.at_ms / 1000.0
        )
        texts = {
            "demand_rps": "Known of the minute before the plan",
            "need_rps": "Demand that the plan is ready for",
            "capacity_rps": "What the plan counts on",
            "watts": "Power of the devices as planned, by their points' model",
        }
        for key, text in texts.items():
            family = GaugeMetricFamily(f"tidewatt_plan_{key}", text, labels=["group"])
            for group in shown.groups:
                if (value := getattr(group, key)) is not None:
                    family.add_metric([group.name], value)
            yield family
        for key, text in {
            "asleep": "Devices that sleep by the plan, or are to",
            "called": "Devices that are to be woken before their alarm, by a neighbour",
            "missing": "Devices that should be back from their sleep, and aren't",
        }.items():
            family = GaugeMetricFamily(f"tidewatt_plan_{key}", text, labels=["group"])
            for group in shown.groups:
                found = getattr(group, key)
                family.add_metric([group.name], found if isinstance(found, int) else len(found))
            yield family
        devices = GaugeMetricFamily("tidewatt_plan_devices", "Devices by the point planned", labels=["point"])
        for point, count in sorted(Counter(one.point for one in shown.devices).items()):
            devices.add_metric([point], count)
        yield devices
        nodes = GaugeMetricFamily(
            "tidewatt_plan_nodes", "Nodes to hold in the coming hour: a proposal", labels=["pool"]
        )
        for pool in shown.nodes:
            nodes.add_metric([pool.pool], pool.hold)
        yield nodes
