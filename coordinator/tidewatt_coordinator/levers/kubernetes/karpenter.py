"""Karpenter: workloads shared between spot and on-demand nodes by three pools (levers/kubernetes/pools.py).

A part of the setting is one object of ours, or what we add to a deployment. Pools of others stay as they are;
what leaves them when pods move is for Karpenter's own consolidation.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import msgspec

from tidewatt_coordinator.levers.driver import (
    Content,
    Context,
    Effect,
    LeverError,
    Order,
    Probe,
    Recommendation,
    Saving,
    Setting,
)
from tidewatt_coordinator.levers.kubernetes.client import Document, Kubernetes, kubernetes, reachable
from tidewatt_coordinator.levers.kubernetes.nodes import SERVICE, Node, Split, node, requested, split
from tidewatt_coordinator.levers.kubernetes.objects import Objects, settled
from tidewatt_coordinator.levers.kubernetes.pools import (
    BUFFERS,
    POOLS,
    bound,
    buffer,
    drains_well,
    layout,
    spot_domains,
    spread,
)
from tidewatt_coordinator.levers.kubernetes.settings import Karpenter
from tidewatt_coordinator.money import FINEST
from tidewatt_coordinator.prices.book import PriceBook
from tidewatt_coordinator.questions.changes import Selector

DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments/{}"
NODES = "/api/v1/nodes"


class KarpenterDriver:
    """See levers/driver.py."""

    name = "karpenter"
    #: Verb and resource, for roles.
    calls = (
        "list nodes", "get,patch apps/deployments",
        "get,list,create,patch,delete karpenter.sh/nodepools",
        "get,create,patch,delete karpenter.k8s.aws/ec2nodeclasses",
        "get,list,create,patch,delete autoscaling.x-k8s.io/capacitybuffers",
    )  # fmt: skip

    def __init__(self, settings: Karpenter, book: PriceBook) -> None:
        self._settings, self._book = settings, book

    def probe(self) -> Probe:
        """Needs Karpenter 1.0 or newer in the cluster."""
        where = reachable(self._settings)
        if where.ready != "ok":
            return where
        try:
            with kubernetes(self._settings, self.name) as api:
                there = api.find(f"{POOLS}?limit=1")
        except LeverError as error:
            return Probe("later", str(error))
        return Probe("ok") if there else Probe("later", "the cluster has no karpenter.sh/v1 NodePool")

    def observe(self) -> Sequence[Setting]:
        """The one layout, with the cluster's nodes and the workloads' pods."""
        with kubernetes(self._settings, self.name) as api:
            objects = Objects(api)
            wanted = self._wanted(api)
            one = self._setting(objects, sorted(wanted))
            nodes = [msgspec.to_builtins(node(found)) for found in api.items(NODES)]
            deployments = {path: live for path, live in objects.live.items() if "/deployments/" in path}
            facts = {
                "nodes": nodes,
                "wanted": wanted,
                "deployments": _told(deployments, self._settings.deregistration_s),
            }
            return [msgspec.structs.replace(one, facts=facts)]

    def read(self, target: str) -> Setting:  # noqa: ARG002 - there is one
        """Our part of everything in the layout."""
        with kubernetes(self._settings, self.name) as api:
            return self._setting(Objects(api), self._parts(api))

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """The layout, where it isn't there as it should be and more would be spot."""
        return [told for one in settings if (told := self._recommend(one, context))]

    def send(self, order: Order) -> None:
        """Write the objects, each on condition that it is as it was; pools before the pods that need them."""
        with kubernetes(self._settings, self.name) as api:
            first = sorted(order.put, key=lambda part: ("/deployments/" in part) != order.undo)
            put = {part: order.put[part] for part in first}
            Objects(api).send(msgspec.structs.replace(order, put=put))

    @property
    def _target(self) -> str:
        return f"karpenter {self._settings.name}"

    def _parts(self, api: Kubernetes) -> list[str]:
        found = [*layout(self._settings), *(_path(name) for name in self._settings.workloads)]
        return sorted(found + [path for path, _ in self._buffer(api)])

    def _wanted(self, api: Kubernetes) -> Content:
        """The whole layout; LeverError for a workload that isn't there."""
        found: Content = dict(layout(self._settings)) | dict(self._buffer(api))
        for name in self._settings.workloads:
            path = _path(name)
            live = api.find(path)
            if live is None:
                raise LeverError(f"levers.karpenter.workloads: there is no deployment {name}")
            template = live["spec"]["template"]
            found[path] = spread(path, live["spec"]["selector"], template["metadata"]["labels"])
        return found

    def _buffer(self, api: Kubernetes) -> Iterator[tuple[str, Document]]:
        namespace = self._settings.workloads[0].split("/")[0]
        if self._settings.headroom and api.find(f"{BUFFERS.format(namespace)}?limit=1"):
            yield buffer(self._settings)

    def _setting(self, objects: Objects, parts: Sequence[str]) -> Setting:
        content = objects.read(parts)
        calm = all(settled(objects.live[path]) for path in parts)
        return Setting(target=self._target, content=content, settled=calm)

    def _recommend(self, one: Setting, context: Context) -> Recommendation | None:
        day = datetime.fromtimestamp(context.now_ms / 1000, timezone.utc).date()
        nodes = msgspec.convert(one.facts["nodes"], list[Node])
        told = one.facts["deployments"]
        now = split(nodes, self._book, self._settings.region, day)
        ratio = self._book.find("aws-ec2-spot", "share-of-on-demand", on=day).price.marginal()
        pods = [deployment["replicas"] for deployment in told.values()]
        saving = self._saving(_portion(nodes, told), now, pods, ratio)
        if one.content == one.facts["wanted"] or saving.middle <= 0:
            return None
        rough = [f"{path.split('/')[-1]}: {why}" for path, facts in told.items() if (why := facts["rough"])]
        return Recommendation(
            driver=self.name,
            target=one.target,
            service=self._settings.service or SERVICE,
            what=f"keep {self._settings.spot:.0%} of {', '.join(self._settings.workloads)} on spot nodes",
            before=one.content,
            after=one.facts["wanted"],
            saving=saving,
            spending=now.monthly if context.currency == "USD" else None,
            disruption=0.25,  # a rolling update of the deployments, with Kubernetes' own default
            capacity=0.25,
            risk="medium",
            evidence=[*self._evidence(now, pods, len(nodes)), *rough],
            # Where pods don't drain well, requests fail whenever a spot node goes: nobody knows how many.
            effects=None if rough else {"throughput_rps": Effect(factor=0.75)},
            selector=Selector(services=[SERVICE]),
        )

    def _bound(self, pods: Sequence[int]) -> tuple[float, float]:
        """Of all pods: each deployment is spread by itself."""
        domains = self._settings.domains
        spot = spot_domains(self._settings.spot, domains)
        bounds, count = [bound(each, spot, domains) for each in pods], max(sum(pods), 1)
        low, high = (sum(n * one[side] for n, one in zip(pods, bounds, strict=True)) for side in (0, 1))
        return low / count, high / count

    def _saving(self, portion: float, now: Split, pods: Sequence[int], ratio: Decimal) -> Saving:
        """What the workloads hold of the nodes that would be spot and isn't, at what spot is taken to save.

        They are taken to be parted now as the nodes are.
        """
        least, most = self._bound(pods)
        middle = min(max(self._settings.spot, least), most)
        full = now.on_demand_monthly * Decimal(portion)
        low, mid, high = (
            (full * Decimal(share - now.vcpu) * (1 - ratio)).quantize(FINEST)
            for share in (least, middle, most)
        )
        return Saving(low=low, middle=mid, high=high)

    def _evidence(self, now: Split, pods: Sequence[int], count: int) -> list[str]:
        least, most = self._bound(pods)
        split_now = f"{now.nodes:.0%} of them, {now.vcpu:.0%} of their vCPU, {now.money:.0%} of their cost"
        over = f"{sum(pods)} pods over {self._settings.domains} domains"
        return [
            f"{count} nodes cost {now.monthly:.2f} USD a month; spot is {split_now}",
            f"of {over} {least:.1%} to {most:.1%} can be spot",
            "spot is priced as a share of on demand, an assumption of the price book",
        ]


def _path(workload: str) -> str:
    return DEPLOYMENTS.format(*workload.split("/"))


def _portion(nodes: Sequence[Node], told: dict[str, Any]) -> float:
    """The share of the nodes' room that the workloads ask for."""
    shares = [0.0]
    for what in ("cpu", "memory"):
        asked = sum(one[what] * one["replicas"] for one in told.values())
        if room := sum(getattr(one, what) for one in nodes):
            shares.append(asked / room)
    return min(max(shares), 1.0)


def _told(deployments: dict[str, Document | None], deregistration_s: int) -> dict[str, Any]:
    found = {}
    for path, live in deployments.items():
        template = live["spec"]["template"] if live else {"spec": {"containers": []}}
        cpu, memory = requested(template)
        found[path] = {
            "replicas": live["spec"].get("replicas", 1) if live else 0,
            "cpu": cpu,
            "memory": memory,
            "rough": drains_well(template, deregistration_s) if live else "",
        }
    return found
