"""A VerticalPodAutoscaler of our own: it stays within what was replayed. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from tidewatt_coordinator.levers.driver import Content
from tidewatt_coordinator.levers.kubernetes.nodes import quantity
from tidewatt_coordinator.levers.kubernetes.objects import made
from tidewatt_coordinator.levers.kubernetes.usage import Sized, cpu_text, memory_text

Document = dict[str, Any]


def autoscaler(
    path: str, deployment: str, changes: Sequence[Sized], fixed: Sequence[str], mode: str
) -> Document:
    """For some containers of a deployment; it leaves the others, and the resources in `fixed`, alone."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment}
    policies = [_policy(each, fixed) for each in changes]
    every = {"containerName": "*", "mode": "Off"}
    spec = {
        "targetRef": target,
        "updatePolicy": {"updateMode": mode},
        "resourcePolicy": {"containerPolicies": [*policies, every]},
    }
    return made(path, "VerticalPodAutoscaler", spec)


def near(now: Content, after: Content, step: float) -> bool:
    """Whether both are autoscalers whose least requests differ by no more than `step`: not worth a change."""
    have, want = dict(_least(now)), dict(_least(after))
    return (
        bool(have)
        and have.keys() == want.keys()
        and all(abs(value - have[key]) <= step * have[key] for key, value in want.items())
    )


def _least(content: Content) -> Iterator[tuple[tuple[str, str], float]]:
    for value in content.values():
        if value and value.get("kind") == "VerticalPodAutoscaler":
            for policy in value["spec"]["resourcePolicy"]["containerPolicies"]:
                for name, text in policy.get("minAllowed", {}).items():
                    yield (policy["containerName"], name), float(quantity(text))


def _policy(one: Sized, fixed: Sequence[str]) -> Document:
    """No less than what was replayed, no more than the most of that and what is asked for now."""
    controlled = [name for name in ("cpu", "memory") if name not in fixed]
    low = {"cpu": cpu_text(one.size.cpu), "memory": memory_text(one.size.memory)}
    high = {
        "cpu": cpu_text(max(one.size.cpu, one.now.cpu)),
        "memory": memory_text(max(one.size.memory, one.now.memory)),
    }
    return {
        "containerName": one.name,
        "controlledResources": controlled,
        "controlledValues": "RequestsAndLimits",
        "minAllowed": {name: low[name] for name in controlled},
        "maxAllowed": {name: high[name] for name in controlled},
    }
