"""The forecaster on the metrics page: what it foresees, and whether it is followed."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from tidewatt_agent.foresight import Foresight

QUANTILES = ("0.5", "0.9", "0.99")


def forecast_families(foresight: Foresight | None) -> Iterator[Metric]:
    """Every family about the forecaster; nothing where none is configured."""
    if foresight is None or not foresight.configured:
        return
    forecast = foresight.forecast
    failures = CounterMetricFamily(
        "tidewatt_forecast_failures", "Minutes with a model and without a forecast"
    )
    failures.add_metric([], foresight.failures)
    trusted = GaugeMetricFamily(
        "tidewatt_forecast_trusted", "1 while forecasts are followed: skilled and covering what they promise"
    )
    trusted.add_metric([], bool(forecast and forecast.trusted))
    yield from (failures, trusted)
    if foresight.model_id:
        told = {"sha256": foresight.model_id}
        yield InfoMetricFamily("tidewatt_forecast_model", "The model in use, by its first digits", told)
    yield from _optional(
        "tidewatt_forecast_skill_ratio", "1 - error / the last value's error, six hours", foresight.skill
    )
    yield from _optional(
        "tidewatt_forecast_coverage_ratio",
        "Share of the peaks at or below their p90, six hours",
        foresight.coverage,
    )
    peak = GaugeMetricFamily(
        "tidewatt_forecast_peak_requests_per_second",
        "The highest minute to come",
        labels=["minutes", "quantile"],
    )
    if forecast:
        for minutes, row in (("3", forecast.soon), ("15", forecast.later)):
            for quantile, rps in zip(QUANTILES, row, strict=True):
                peak.add_metric([minutes, quantile], rps)
    yield peak


def _optional(name: str, text: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield GaugeMetricFamily(name, text, value)
