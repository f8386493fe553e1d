"""The board's sleep on the metrics page."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from tidewatt_agent.sleeping.neighbours import Wakes
from tidewatt_agent.sleeping.sleeper import Sleeper


def wake_families(wakes: Wakes | None) -> Iterator[Metric]:
    """What became of orders to wake neighbours."""
    if wakes is None:
        return
    orders = CounterMetricFamily(
        "tidewatt_wake_orders", "Orders to wake a neighbour, by what became of them", labels=["outcome"]
    )
    for outcome, count in sorted(wakes.orders.items()):
        orders.add_metric([outcome], count)
    yield orders


def sleep_families(sleeper: Sleeper | None) -> Iterator[Metric]:
    """Whether the board may sleep, why it doesn't now, and how its naps ended."""
    if sleeper is None:
        return
    found = sleeper.verdict
    if found:
        yield GaugeMetricFamily(
            "tidewatt_sleep_qualified",
            "1 if the board passed its qualification for sleep and has not failed since; absent without one",
            found.passed,
        )
    yield InfoMetricFamily(
        "tidewatt_sleep_obstacle", "Why the board does not sleep now", {"why": sleeper.why}
    )
    naps = CounterMetricFamily("tidewatt_naps", "Naps, and tries, by how they ended", labels=["outcome"])
    for outcome, count in sorted(sleeper.naps.items()):
        naps.add_metric([outcome], count)
    yield naps
    yield CounterMetricFamily(
        "tidewatt_sleep_hints_refused", "Hints to sleep that could not be believed", sleeper.hints.refused
    )
