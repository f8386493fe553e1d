"""The policy and its rollout on the metrics page, read from the engine when scraped."""

from collections import Counter
from collections.abc import Iterator
from typing import get_args

from prometheus_client.core import GaugeMetricFamily, Metric

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.rollout.engine import Engine
from tidewatt_coordinator.rollout.plan import Stage
from tidewatt_coordinator.rollout.report import answer
from tidewatt_coordinator.rollout.roster import known_of


def policy_families(engine: Engine, fleet: Fleet, now_ms: int) -> Iterator[Metric]:
    """What stands, who publishes it, how the devices answered, and how far a rollout has come."""
    standing = engine.standing
    yield GaugeMetricFamily(
        "tidewatt_policy_revision", "Revision of the policy set that stands", standing.revision
    )
    yield GaugeMetricFamily(
        "tidewatt_policy_lease_held",
        "1 while this coordinator is the one to publish; of several one is",
        engine.may_publish(),
    )
    yield GaugeMetricFamily(
        "tidewatt_policy_failing",
        "1 while the database can't be read or written; the log says why",
        engine.failing,
    )
    answers = GaugeMetricFamily(
        "tidewatt_policy_answers",
        "Known devices by their answer to the policy set that stands",
        labels=["status"],
    )
    counts = Counter(answer(one, standing.revision) for one in known_of(fleet, now_ms))
    for status, count in sorted(counts.items()):
        answers.add_metric([status], count)
    yield answers
    stages = GaugeMetricFamily(
        "tidewatt_rollout_stage",
        "1 for the stage that the last rollout is in, 0 for others",
        labels=["stage"],
    )
    state = standing.rollout
    for stage in get_args(Stage):
        stages.add_metric([stage], state is not None and state.stage == stage)
    yield stages
    yield GaugeMetricFamily(
        "tidewatt_rollout_waves", "Waves that the last rollout has", len(state.plan.waves) if state else 0
    )
    yield GaugeMetricFamily(
        "tidewatt_rollout_waves_reached",
        "Waves that the last rollout has reached",
        state.wave if state else 0,
    )
