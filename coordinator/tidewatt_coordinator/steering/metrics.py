"""The metrics of dispatch, read when scraped."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewatt_coordinator.steering.queue import Interruptions
from tidewatt_coordinator.steering.wheel import Steering


class DispatchMetrics(Collector):
    """What Prometheus sees of the routing weights."""

    def __init__(self, steering: Steering, interruptions: Interruptions) -> None:
        self._steering, self._interruptions = steering, interruptions

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        steering, queue = self._steering, self._interruptions
        yield CounterMetricFamily("tidewatt_dispatch_tables", "Tables published", steering.made)
        yield CounterMetricFamily(
            "tidewatt_dispatch_withheld", "Times that no table could be published", steering.refused
        )
        yield GaugeMetricFamily(
            "tidewatt_dispatch_blocked", "1 while no new table can be published", bool(steering.obstacle)
        )
        if steering.last:
            yield from _table(steering)
        events = CounterMetricFamily("tidewatt_spot_events", "Events of instances", labels=["what"])
        for what, count in sorted(queue.events.items()):
            events.add_metric([what], count)
        yield events
        yield GaugeMetricFamily(
            "tidewatt_spot_queue_failing", "1 while the queue of events can't be read", bool(queue.failing)
        )
        if queue.warned_s is not None:
            yield GaugeMetricFamily(
                "tidewatt_spot_warning_age_seconds",
                "Age of the last warning when it was read",
                queue.warned_s,
            )
        if queue.followed_s is not None:
            yield GaugeMetricFamily(
                "tidewatt_spot_followed_seconds",
                "From reading the last warning until a table without its pool was on the broker",
                queue.followed_s,
            )


def _table(steering: Steering) -> Iterator[Metric]:
    last = steering.last
    assert last  # noqa: S101 - the caller looked
    message, table = last.message, last.table
    yield GaugeMetricFamily(
        "tidewatt_dispatch_expires_timestamp_seconds",
        "When the dispatch table is void",
        message.expires_at_ms / 1000.0,
    )
    if proof := message.certificate:
        yield GaugeMetricFamily(
            "tidewatt_dispatch_gap_ratio", "How far above the cheapest the table is, at the most", proof.gap
        )
        cost = GaugeMetricFamily(
            "tidewatt_dispatch_cost_per_hour",
            "What the table costs at the planned demand",
            labels=["currency"],
        )
        cost.add_metric([proof.currency], proof.cost_per_hour)
        yield cost
    planned = GaugeMetricFamily(
        "tidewatt_dispatch_planned_rps", "Demand that the table holds up to", labels=["class"]
    )
    refused = GaugeMetricFamily(
        "tidewatt_dispatch_refused_ratio", "Share of the requests that nobody can serve", labels=["class"]
    )
    for name, rate in sorted(table.planned_rps.items()):
        planned.add_metric([name], rate)
        refused.add_metric([name], table.refused.get(name, 0.0))
    yield planned
    yield refused
    orders = GaugeMetricFamily("tidewatt_dispatch_orders", "Orders that hold", labels=["kind"])
    for kind in ("freeze", "weights", "drain", "interruption"):
        orders.add_metric([kind], sum(1 for one in last.facts.orders if one.kind == kind))
    yield orders
