"""The operating points on the metrics page: their figures, and where these come from."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from tidewatt_agent.learning import Learning


def point_families(learning: Learning | None) -> Iterator[Metric]:
    """Every family about the points; nothing where none are known."""
    origins = learning.origins() if learning else {}
    if learning is None or not origins:
        return
    about = InfoMetricFamily(
        "tidewatt_operating_point",
        "Where a point's figures come from: measured here, calibrated, class_default (unmeasured)",
        labels=["point"],
    )
    idle = GaugeMetricFamily(
        "tidewatt_operating_point_idle_watts", "Power without load, as it is reckoned with", labels=["point"]
    )
    each = GaugeMetricFamily(
        "tidewatt_operating_point_request_joules", "Energy per request beyond that", labels=["point"]
    )
    error = GaugeMetricFamily(
        "tidewatt_operating_point_error_ratio",
        "How far predictions of a minute's power were off, by root mean square",
        labels=["point"],
    )
    minutes = CounterMetricFamily(
        "tidewatt_operating_point_learned_minutes",
        "Minutes learned from, and those left out as outliers",
        labels=["point", "taken"],
    )
    for point in learning.points:
        about.add_metric([point.name], {"origin": origins[point.name]})
        idle.add_metric([point.name], point.idle_watts)
        each.add_metric([point.name], point.joules_per_request)
        if known := learning.known(point.name):
            minutes.add_metric([point.name, "yes"], known.minutes)
            minutes.add_metric([point.name, "no"], known.refused)
            if known.error is not None:
                error.add_metric([point.name], known.error)
    yield from (about, idle, each, error, minutes)
