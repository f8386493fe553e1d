"""The days that cost too much, as far as the ledger shows: read, judged, the dearest first."""

from datetime import timedelta

from sqlalchemy import Engine

from tidewatt_coordinator.alerts.watch import recent_costs
from tidewatt_coordinator.anomalies.groups import Found, anomalies, groups, settling_of, terms_of
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.days import day_of


def look(database: Engine, config: Config, now_ms: int, days: int) -> list[Found]:
    """Those of the last so many days. CostError where the charges can't be read as one."""
    settings = config.anomalies
    recent = recent_costs(database, config, days).read(now_ms, 0.0)
    first, terms = day_of(now_ms) - timedelta(days=days), terms_of(settings)
    watched = groups(recent.costs, recent.tags, settings.tags, now_ms, settling_of(settings))
    found = [one for group in watched for one in anomalies(group, first, terms)]
    found.sort(key=lambda one: (-one.verdict.impact, one.verdict.day, one.by, one.value))
    return found
