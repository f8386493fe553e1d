"""Right-sizing: what pods ask for, by what they used (percentiles.py), replayed before it is proposed.

Written as a VerticalPodAutoscaler of our own, or into the deployment. What an HPA scales by stays as it is.
Namespaces' quotas are advice (levers/kubernetes/quotas.py).
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

import msgspec

from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    LeverError,
    Order,
    Probe,
    Recommendation,
    Setting,
)
from tidewatt_coordinator.levers.kubernetes.client import Document, Kubernetes, kubernetes, reachable
from tidewatt_coordinator.levers.kubernetes.managed import others
from tidewatt_coordinator.levers.kubernetes.nodes import SERVICE, Node, node, requested, split
from tidewatt_coordinator.levers.kubernetes.objects import Objects, settled
from tidewatt_coordinator.levers.kubernetes.percentiles import Series
from tidewatt_coordinator.levers.kubernetes.quotas import NAMESPACE, namespace, observed
from tidewatt_coordinator.levers.kubernetes.settings import RightSizing
from tidewatt_coordinator.levers.kubernetes.usage import (
    Container,
    Sized,
    cpu_text,
    memory_text,
    questions,
    saved,
    sized,
)
from tidewatt_coordinator.levers.kubernetes.vpa import autoscaler, near
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments/{}"
HPAS = "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers"
VPAS = "/apis/autoscaling.k8s.io/v1/namespaces/{}/verticalpodautoscalers"
ENDED = ("Succeeded", "Failed")
History = Callable[[str, int], Series]
"""The series of a PromQL query over so many days."""


class RightSizingDriver:
    """See levers/driver.py."""

    name = "right_sizing"
    calls = (
        "list nodes", "list pods", "list resourcequotas", "list limitranges", "get,patch apps/deployments",
        "list autoscaling/horizontalpodautoscalers",
        "get,list,create,patch,delete autoscaling.k8s.io/verticalpodautoscalers",
    )  # fmt: skip

    def __init__(self, settings: RightSizing, book: PriceBook, history: History) -> None:
        self._settings, self._book, self._history = settings, book, history

    def probe(self) -> Probe:
        """Needs a cluster; for VPAs, their kind."""
        where = reachable(self._settings)
        if where.ready != "ok" or self._settings.writes == "patch":
            return where
        try:
            with kubernetes(self._settings, self.name) as api:
                there = api.find("/apis/autoscaling.k8s.io/v1")
        except LeverError as error:
            return Probe("later", str(error))
        return Probe("ok") if there else Probe("later", "the cluster has no VerticalPodAutoscaler")

    def observe(self) -> Sequence[Setting]:
        """Every workload with its history, and every namespace of them."""
        with kubernetes(self._settings, self.name) as api:
            nodes = [msgspec.to_builtins(node(one)) for one in api.items("/api/v1/nodes")]
            running = (one for one in api.items("/api/v1/pods") if one["status"].get("phase") not in ENDED)
            pods = [_pod(one) for one in running]
            found = [self._observed(api, name, nodes, pods) for name in self._settings.workloads]
            spaces = sorted({name.split("/")[0] for name in self._settings.workloads})
            return found + [observed(api, space, pods) for space in spaces]

    def read(self, target: str) -> Setting:
        """One workload's VPA or requests; or a namespace's quota."""
        with kubernetes(self._settings, self.name) as api:
            if target.startswith(NAMESPACE):
                return observed(api, target.removeprefix(NAMESPACE), [])
            return self._setting(api, target)[0]

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """Other requests where history bears them, and advice on quotas."""
        found = []
        for one in settings:
            advice = one.target.startswith(NAMESPACE)
            room = self._settings.quota_room
            told = namespace(one, room, self.name) if advice else self._recommend(one, context)
            found += [told] if told else []
        return found

    def send(self, order: Order) -> None:
        """Write the VPA, or the requests."""
        with kubernetes(self._settings, self.name) as api:
            Objects(api).send(order)

    def _setting(self, api: Kubernetes, target: str) -> tuple[Setting, Document]:
        space, name = target.split("/")
        path, objects = DEPLOYMENTS.format(space, name), Objects(api)
        live = api.find(path)
        if live is None:
            raise LeverError(f"levers.right_sizing.workloads: there is no deployment {target}")
        parts = [f"{VPAS.format(space)}/tidewatt-{name}"]
        if self._settings.writes == "patch":
            names = [one["name"] for one in live["spec"]["template"]["spec"]["containers"]]
            parts = [f"{path}#{'/'.join(_steps(name))}" for name in names]
        content = objects.read(parts)
        calm = all(settled(one) for one in objects.live.values())
        return Setting(target=target, content=content, settled=calm), live

    def _observed(self, api: Kubernetes, target: str, nodes: list[Any], pods: list[Any]) -> Setting:
        one, live = self._setting(api, target)
        space, name = target.split("/")
        template = live["spec"]["template"]
        containers = [self._container(space, name, each) for each in template["spec"]["containers"]]
        facts = {
            "nodes": nodes,
            "pods": pods,
            "request": requested(template),
            "replicas": live["spec"].get("replicas", 1),
            "containers": containers,
            "scaled_by": _scaled_by(api, space, name),
            "other_vpas": _other_vpas(api, space, name),
            "others": sorted({who for c in containers for who in others(live, api.manager, _steps(c.name))}),
        }
        return msgspec.structs.replace(one, facts=facts)

    def _container(self, space: str, name: str, one: Document) -> Container:
        asked = questions(space, name, one["name"])
        days = self._settings.days
        return Container(
            name=one["name"],
            resources=one.get("resources") or {},
            cpu=self._history(asked["cpu"], days),
            memory=self._history(asked["memory"], days),
            killed=any(self._history(asked["killed"], days).values()),
        )

    def _recommend(self, one: Setting, context: Context) -> Recommendation | None:
        facts = one.facts
        containers: list[Container] = facts["containers"]
        fixed = facts["scaled_by"]
        found = (sized(each, len(containers), self._settings, fixed) for each in containers)
        changes = [each for each in found if each]
        if not changes or facts["other_vpas"]:  # what two VPAs of one pod do is undefined
            return None
        after = self._after(one, changes, fixed)
        if after == one.content or near(one.content, after, self._settings.step):
            return None
        day = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        nodes, book, region = msgspec.convert(facts["nodes"], list[Node]), self._book, self._settings.region
        own = [tuple(facts["request"])] * facts["replicas"]
        others_pods = [tuple(each["asks"]) for each in facts["pods"] if not _of(each, one.target)]
        saving, said = saved(changes, facts["replicas"], [*own, *others_pods], nodes, book, region, day)
        held = facts["others"] if self._settings.writes == "patch" else []
        evidence = [each.why for each in changes] + [said]
        evidence += [f"an HPA scales by its {', '.join(fixed)}, which stays"] if fixed else []
        evidence += [f"{', '.join(held)} manages the requests: take them out there"] if held else []
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=one.target,
            what=f"{one.target}: ask for what it uses ({', '.join(each.name for each in changes)})",
            before=one.content,
            after=after,
            saving=saving,
            spending=split(nodes, book, region, day).monthly if nodes else None,
            disruption=0.0 if self._settings.writes == "vpa" and self._settings.mode == "Initial" else 0.25,
            risk="medium",
            evidence=evidence,
            effects={},  # replayed: no sample of the history would have been killed, few throttled
            irreversible=bool(held),
            selector=Selector(services=[SERVICE]),
        )

    def _after(self, one: Setting, changes: Sequence[Sized], fixed: Sequence[str]) -> Content:
        if self._settings.writes == "patch":
            resources = {each.name: each.resources for each in one.facts["containers"]}
            texts = {each.name: _resources(each, resources[each.name]) for each in changes}
            return {
                part: texts.get(part.split("[name=")[1].split("]")[0], one.content[part])
                for part in one.content
            }
        path = next(iter(one.content))
        return {path: autoscaler(path, one.target.split("/")[1], changes, fixed, self._settings.mode)}


def _resources(one: Sized, resources: dict[str, Any]) -> dict[str, Any]:
    """The same with other requests; limits keep their ratio to them."""
    held = Container(name=one.name, resources=resources, cpu={}, memory={})
    found = {key: dict(value) for key, value in resources.items() if isinstance(value, dict)}
    found.setdefault("requests", {}).update(cpu=cpu_text(one.size.cpu), memory=memory_text(one.size.memory))
    cpu = held.limit("cpu", one.size.cpu, one.now.cpu)
    memory = held.limit("memory", one.size.memory, one.now.memory)
    if cpu is not None:
        found["limits"]["cpu"] = cpu_text(cpu)
    if memory is not None:
        found["limits"]["memory"] = memory_text(memory)
    return {**resources, **found}


def _steps(container: str) -> list[str]:
    """To a container's resources in a deployment."""
    return ["spec", "template", "spec", "containers", f"[name={container}]", "resources"]


def _other_vpas(api: Kubernetes, space: str, name: str) -> list[str]:
    """Those of a deployment that aren't ours."""
    vpas = [one for one in api.items(VPAS.format(space)) if one["spec"]["targetRef"]["name"] == name]
    return [one["metadata"]["name"] for one in vpas if one["metadata"]["name"] != f"tidewatt-{name}"]


def _scaled_by(api: Kubernetes, space: str, name: str) -> list[str]:
    """The resources by which HPAs scale a deployment."""
    found = set()
    for one in api.items(HPAS.format(space)):
        target = one["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == ("Deployment", name):
            metrics = one["spec"].get("metrics") or [{"resource": {"name": "cpu"}}]  # cpu, if none is named
            held = [metric.get("resource") or metric.get("containerResource") for metric in metrics]
            found |= {each["name"] for each in held if each}
    return sorted(found)


def _pod(one: Document) -> dict[str, Any]:
    return {
        "namespace": one["metadata"]["namespace"],
        "name": one["metadata"]["name"],
        "asks": requested(one),
    }


def _of(pod: dict[str, Any], workload: str) -> bool:
    """Whether a pod is the deployment's, by the name that its replica sets give it: NAME-HASH-SUFFIX."""
    space, name = workload.split("/")
    return bool(pod["namespace"] == space and pod["name"].rsplit("-", 2)[0] == name)
