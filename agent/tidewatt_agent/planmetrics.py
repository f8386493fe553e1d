"""What the fleet's plan asks of the board, on the metrics page."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from tidewatt_agent.planhints import PlanHints


def plan_families(hints: PlanHints | None, now_ms: int, now_s: float) -> Iterator[Metric]:
    """Whether a hint stands, and why others were refused; nothing where nobody listens for them."""
    if hints is None:
        return
    stands = hints.at(now_ms, now_s) is not None
    yield GaugeMetricFamily("tidewatt_plan_hinted", "1 while a hint of the fleet's plan stands", stands)
    refused = CounterMetricFamily(
        "tidewatt_plan_hints_refused", "Hints of the fleet's plan not believed", labels=["reason"]
    )
    for reason, count in sorted(hints.refused.items()):
        refused.add_metric([reason], count)
    yield refused
