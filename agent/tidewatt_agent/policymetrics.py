"""The fleet's policy on the metrics page: which one holds, until when, and which were refused."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from tidewatt_agent.models import Models
from tidewatt_agent.policies import Policies


def policy_families(
    policies: Policies | None, models: Models | None, now_ms: Callable[[], int]
) -> Iterator[Metric]:
    """Every family about the policy; nothing for an agent that takes none."""
    if policies is None:
        return
    refused = CounterMetricFamily("tidewatt_policy_refusals", "Policy sets refused", labels=["code"])
    for code, count in sorted(policies.refused.items()):
        refused.add_metric([code], count)
    yield refused
    if policies.refusal:
        text = "The last policy set that was refused, until one is accepted"
        told = {"revision": str(policies.refusal.revision), "code": str(policies.refusal.code)}
        yield InfoMetricFamily("tidewatt_policy_refusal", text, told)
    if held := policies.accepted:
        yield GaugeMetricFamily(
            "tidewatt_policy_revision", "Revision of the policy set accepted last", held.revision
        )
        if held.not_after_ms is not None:
            yield GaugeMetricFamily(
                "tidewatt_policy_expires_seconds",
                "Seconds until the policy set decays to the built-in policy; negative: it has",
                (held.not_after_ms - now_ms()) / 1000.0,
            )
    if policies.rollout:
        family = GaugeMetricFamily(
            "tidewatt_policy_rollout_member",
            "1 if the rollout's rules hold here, 0 if not yet",
            labels=["rollout"],
        )
        family.add_metric([policies.rollout], bool(policies.member))
        yield family
    if models:
        yield CounterMetricFamily(
            "tidewatt_model_refusals",
            "Forecast models that the policy named and that were not used",
            models.refused,
        )
