"""The enrolment door on the metrics page."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class DoorMetrics(Collector):
    """What Prometheus sees of the door."""

    def __init__(self, answers: Mapping[str, int]) -> None:
        """`answers`: by outcome, as the door counts on."""
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        """Its one family."""
        family = CounterMetricFamily(
            "tidewatt_enrolment_answers",
            "Answers of the enrolment door: enrolled, renewed, refused, malformed, limited, failed",
            labels=["outcome"],
        )
        for outcome, count in sorted(self._answers.items()):
            family.add_metric([outcome], count)
        yield family
