"""Replicas ahead of demand: what a forecast asks for, by a deployment's replicas or its autoscaler's bound.

A field that somebody else manages is never forced: then it is advice, with whom to take the field from.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import msgspec

from tidewatt_coordinator.levers.driver import (
    Context,
    Effect,
    LeverError,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.kubernetes.ahead import wanted
from tidewatt_coordinator.levers.kubernetes.client import Kubernetes, kubernetes, reachable
from tidewatt_coordinator.levers.kubernetes.managed import others
from tidewatt_coordinator.levers.kubernetes.nodes import SERVICE, Node, node, pod_month, requested
from tidewatt_coordinator.levers.kubernetes.objects import Objects, settled
from tidewatt_coordinator.levers.kubernetes.settings import Replicas, Scaled
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments/{}"
#: Where each way of writing writes.
PARTS = {
    "deployment": f"{DEPLOYMENTS}#spec/replicas",
    "hpa": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers/{}#spec/minReplicas",
    "keda": "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects/{}#spec/minReplicaCount",
}
#: Of one who answers nothing.
Ask = Callable[[str], float | None]
#: Of the deployment's pods, those that a smaller one loses at most: they drain.
DISRUPTION = 0.01


class ReplicasDriver:
    """See levers/driver.py. `ask` has the newest value of a PromQL query; None if there is none."""

    name = "replicas"
    calls: tuple[str, ...] = (
        "list nodes", "get,patch apps/deployments", "get,patch autoscaling/horizontalpodautoscalers",
        "get,patch keda.sh/scaledobjects",
    )  # fmt: skip

    def __init__(self, settings: Replicas, book: PriceBook, ask: Ask) -> None:
        self._settings, self._book, self._ask = settings, book, ask
        self._by_part = {_part(one): one for one in settings.scaled}

    def probe(self) -> Probe:
        """Needs workloads, and a cluster."""
        if not self._settings.scaled:
            return Probe("no", "levers.replicas.scaled names no workload")
        return reachable(self._settings)

    def observe(self) -> Sequence[Setting]:
        """Every workload with its forecast."""
        with kubernetes(self._settings, self.name) as api:
            nodes = [msgspec.to_builtins(node(found)) for found in api.items("/api/v1/nodes")]
            return [self._observed(api, part, nodes) for part in self._by_part]

    def read(self, target: str) -> Setting:
        """One workload's number."""
        with kubernetes(self._settings, self.name) as api:
            return self._setting(Objects(api), target)

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Other numbers where the forecast is trusted and far enough from what there is."""
        return [told for one in settings if (told := self._recommend(one, context))]

    def send(self, order: Order) -> None:
        """Write the number."""
        with kubernetes(self._settings, self.name) as api:
            Objects(api).send(order)

    def _setting(self, objects: Objects, part: str) -> Setting:
        content = objects.read([part])
        live = objects.live[part.split("#", maxsplit=1)[0]]
        if live is None:
            raise LeverError(f"there is no {part.split('#', maxsplit=1)[0]}")
        return Setting(target=part, content=content, settled=settled(live))

    def _observed(self, api: Kubernetes, part: str, nodes: list[Any]) -> Setting:
        objects, terms = Objects(api), self._by_part[part]
        one = self._setting(objects, part)
        path, _, pointer = part.partition("#")
        live = objects.live[path] or {}
        deployment = api.find(DEPLOYMENTS.format(*terms.workload.split("/")))
        if deployment is None:
            raise LeverError(f"levers.replicas: there is no deployment {terms.workload}")
        facts = {
            "nodes": nodes,
            "peak_rps": self._ask(terms.forecast),
            "skill": self._ask(terms.skill) if terms.skill else None,
            "request": requested(deployment["spec"]["template"]),
            "others": others(live, api.manager, pointer.split("/")),
            "most": live["spec"].get("maxReplicas", live["spec"].get("maxReplicaCount")),
        }
        return msgspec.structs.replace(one, facts=facts)

    def _recommend(self, one: Setting, context: Context) -> Recommendation | None:
        terms, facts = self._by_part[one.target], one.facts
        now = one.content[one.target]
        now = now if now is not None else (0 if terms.writes == "keda" else 1)  # what leaving it out means
        skilled = {"least_skill": self._settings.least_skill, "step": self._settings.step}
        told = wanted(terms, now, facts["peak_rps"], facts["skill"], context.now_ms, **skilled)
        if told.replicas is None:
            return None
        replicas = min(told.replicas, facts["most"]) if facts["most"] is not None else told.replicas
        if terms.production and replicas < now:
            step = max(1, math.floor(now * self._settings.fewer_at_once + 1e-9))
            replicas = max(replicas, now - step)
        if replicas == now:
            return None
        held = facts["others"]
        advice = [f"{', '.join(held)} manages the field: take it out there, else it stays as it is"]
        name, what = one.target.split("#")[0].split("/")[-1], one.target.split("/")[-1]
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=terms.service or terms.workload,
            what=f"{terms.workload}: {what} of {name} from {now} to {replicas}",
            before=one.content,
            after={one.target: replicas},
            saving=self._saving(facts, now - replicas, context),
            spending=self._price(facts, now, context),
            disruption=DISRUPTION if replicas < now else 0.0,
            capacity=max(0.0, 1 - replicas / now) if now and terms.production else 0.0,
            risk="low",
            evidence=[told.why, *(advice if held else [])],
            effects=_effects(terms, now, replicas),
            irreversible=bool(held),
            routine=True,
            selector=Selector(services=[SERVICE]),
        )

    def _price(self, facts: dict[str, Any], pods: int, context: Context) -> Decimal:
        day = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        nodes = msgspec.convert(facts["nodes"], list[Node])
        cpu, memory = facts["request"]
        return pods * pod_month(nodes, cpu, memory, self._book, self._settings.region, day)

    def _saving(self, facts: dict[str, Any], fewer: int, context: Context) -> Saving:
        """Room on nodes, from nothing (no node becomes empty) to all of it; more replicas cost likewise."""
        all_of_it = self._price(facts, fewer, context)
        low, high = sorted((Decimal(0), all_of_it))
        return Saving(low=low, middle=all_of_it / 2, high=high)


def _effects(terms: Scaled, now: int, replicas: int) -> dict[str, Effect]:
    """Fewer serve what is forecast, not what may come: at worst, their number's share of the capacity.

    More do no harm, and what isn't production has promised nothing.
    """
    if replicas >= now or not terms.production:
        return {}
    return {"throughput_rps": Effect(factor=replicas / now)}


def _part(one: Scaled) -> str:
    namespace, name = one.workload.split("/")
    named = name if one.writes == "deployment" else one.autoscaler or name
    return PARTS[one.writes].format(namespace, named)
