"""Advice on namespaces: a quota that means something, and a limit range where pods ask for nothing."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tidewatt_coordinator.levers.driver import Recommendation, Saving, Setting
from tidewatt_coordinator.levers.kubernetes.client import Kubernetes
from tidewatt_coordinator.levers.kubernetes.nodes import quantity
from tidewatt_coordinator.levers.kubernetes.usage import cpu_text, memory_text, whole_cpu, whole_memory

NAMESPACE = "namespace "
#: A quota of more than so many times what is asked for bounds nothing.
LOOSE = 3.0
KEYS = {"requests.cpu": "cpu", "requests.memory": "memory"}


def observed(api: Kubernetes, space: str, pods: Sequence[dict[str, Any]]) -> Setting:
    """A namespace's bounds and what its pods ask for."""
    hard: dict[str, str] = {}
    for one in api.items(f"/api/v1/namespaces/{space}/resourcequotas"):
        hard |= {KEYS.get(key, key): str(value) for key, value in one["spec"].get("hard", {}).items()}
    ranges = sum(1 for _ in api.items(f"/api/v1/namespaces/{space}/limitranges"))
    asks = [one["asks"] for one in pods if one["namespace"] == space]
    facts = {
        "cpu": sum(cpu for cpu, _ in asks),
        "memory": sum(memory for _, memory in asks),
        "silent": sum(not cpu or not memory for cpu, memory in asks),
        "pods": len(asks),
    }
    quota = {key: hard.get(key) for key in ("cpu", "memory")}
    return Setting(
        target=f"{NAMESPACE}{space}", content={"quota": quota, "limit_ranges": ranges}, facts=facts
    )


def namespace(one: Setting, room: float, driver: str) -> Recommendation | None:
    """What would bound a namespace; None if it is bounded well. Advice alone: quotas are their owners'."""
    facts, quota = one.facts, one.content["quota"]
    if not facts["pods"]:
        return None
    asks = {"cpu": facts["cpu"], "memory": facts["memory"]}
    bad = {
        key: "no quota" if quota[key] is None else f"a quota of {quota[key]}"
        for key, asked in asks.items()
        if asked and (quota[key] is None or float(quantity(quota[key])) > LOOSE * asked)
    }
    if not bad and (one.content["limit_ranges"] or not facts["silent"]):
        return None
    advised = {
        "cpu": cpu_text(whole_cpu(asks["cpu"] * room)),
        "memory": memory_text(whole_memory(asks["memory"] * room)),
    }
    after = {
        "quota": {key: advised[key] if key in bad else quota[key] for key in quota},
        "limit_ranges": max(1, one.content["limit_ranges"])
        if facts["silent"]
        else one.content["limit_ranges"],
    }
    said = [
        f"{key}: {text}, {cpu_text(asks[key]) if key == 'cpu' else memory_text(asks[key])} is asked for"
        for key, text in bad.items()
    ]
    if facts["silent"]:
        said.append(f"{facts['silent']} of {facts['pods']} pods don't say what they need")
    zero = Decimal(0)
    return Recommendation(
        driver=driver,
        target=one.target,
        service=one.target,
        what=f"{one.target}: a quota of {room:g} times what is asked for, and a limit range for the rest",
        before=one.content,
        after=after,
        saving=Saving(low=zero, middle=zero, high=zero),
        disruption=0.0,
        risk="low",
        evidence=said,
        irreversible=True,
    )
