"""Budgets and alerts on the metrics page."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidewatt_coordinator.alerts.telling import Telling
from tidewatt_coordinator.alerts.watch import Watch


class AlertMetrics(Collector):
    """What Prometheus sees of them, read when scraped."""

    def __init__(self, watch: Watch, telling: Telling) -> None:
        self._watch, self._telling = watch, telling

    def collect(self) -> Iterator[Metric]:
        """Every metric family."""
        yield GaugeMetricFamily(
            "tidewatt_alerts_watch_failing",
            "1 while costs can't be read; the log says why",
            self._watch.failing,
        )
        yield from self._judged()
        for name, counts, what in (
            ("tidewatt_alerts_told", self._telling.told, "Events that a target has taken"),
            ("tidewatt_alerts_failures", self._telling.failures, "Tries in vain to tell a target"),
            ("tidewatt_alerts_given_up", self._telling.given_up, "Events that a target was never told"),
        ):
            family = CounterMetricFamily(name, what, labels=["target"])
            for target, count in sorted(counts.items()):
                family.add_metric([target], count)
            yield family
        failing = GaugeMetricFamily(
            "tidewatt_alerts_target_failing", "1 if the last try to tell it was in vain", labels=["target"]
        )
        for target in sorted(self._telling.targets):
            failing.add_metric([target], target in self._telling.failing)
        yield failing

    def _judged(self) -> Iterator[Metric]:
        firing = GaugeMetricFamily(
            "tidewatt_alerts",
            "Alerts that stand; absent where another coordinator looks",
            labels=["kind", "state"],
        )
        amount = GaugeMetricFamily(
            "tidewatt_budget_amount", "The month's budget", labels=["budget", "currency"]
        )
        spent = GaugeMetricFamily("tidewatt_budget_spent", "Spent this month", labels=["budget", "currency"])
        foreseen = GaugeMetricFamily(
            "tidewatt_budget_foreseen", "Foreseen for the month's end", labels=["budget", "currency"]
        )
        if judged := self._watch.judged:
            counts = Counter((one.kind, one.state) for one in judged.alerts)
            for (kind, state), count in sorted(counts.items()):
                firing.add_metric([kind, state], count)
            for one in judged.budgets:
                labels = [one.budget.name, one.budget.currency]
                amount.add_metric(labels, float(one.budget.amount))
                if one.spent is not None:
                    spent.add_metric(labels, float(one.spent))
                if one.foreseen:
                    foreseen.add_metric(labels, float(one.foreseen.middle))
        yield from (firing, amount, spent, foreseen)
