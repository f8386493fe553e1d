"""Sections of the drivers that ask a Kubernetes API server."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from tidewatt_coordinator.levers.lever import Lever, Ratio
from tidewatt_wire.messages import MaintenanceWindow

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=86_400)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$")]
Workload = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9.]*$")]
"""NAMESPACE/DEPLOYMENT."""
Duration = Annotated[str, msgspec.Meta(pattern=r"^([0-9]+(s|m|h))+$")]

#: Karpenter replaces a spot node by a cheaper spot node only among so many types.
LEAST_TYPES = 15


class KubernetesLever(Lever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A driver of Kubernetes."""

    kubeconfig: str = ""
    """A file that says where the API server is; empty: the one of the cluster that this runs in."""
    context: str = ""
    """Of that file; empty: the current one."""
    region: str = "us-east-1"
    """Where its nodes are priced."""


class NodeClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An EC2NodeClass of our own."""

    role: str
    """The IAM role of its nodes."""
    ami: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+@.+$")]
    """An alias with its version, such as al2023@v20261101: `latest` drifts by itself."""
    tags: dict[str, str]
    """By these tags its subnets and security groups are found."""


class Karpenter(KubernetesLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Three node pools that share workloads between spot and on-demand capacity."""

    name: Name = "tidewatt"
    """What the pools' names begin with."""
    spot: Share = 0.7
    """Wanted share of the pods on spot capacity."""
    domains: Annotated[int, msgspec.Meta(ge=2, le=100)] = 10
    """Pods are spread over so many; more of them come closer to the share, with more pods."""
    workloads: list[Workload] = msgspec.field(default_factory=list)
    """The deployments that are spread."""
    service: str = ""
    """As [[sla]] names what they serve."""
    node_class: str = ""
    """An EC2NodeClass that is there already; else `make_class`."""
    make_class: NodeClass | None = None
    categories: tuple[str, ...] = ("c", "m", "r")
    """Instance families by their first letter."""
    newer_than: Annotated[int, msgspec.Meta(ge=0, le=99)] = 5
    """Generations above this one."""
    architectures: tuple[Literal["amd64", "arm64"], ...] = ("amd64",)
    """Of processors."""
    types: list[str] = msgspec.field(default_factory=list)
    """Only these instance types, at least 15; empty: any of the categories."""
    cpu_limit: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """vCPU that each pool may have; Karpenter may overrun it for a moment."""
    consolidation: Literal["WhenEmpty", "WhenEmptyOrUnderutilized", "Balanced"] = "WhenEmptyOrUnderutilized"
    """When Karpenter may move pods to fewer nodes,"""
    consolidate_after: Duration = "1m"
    """and after how long."""
    budget: Annotated[str, msgspec.Meta(pattern=r"^((100|[0-9]{1,2})%|[0-9]+)$")] = "10%"
    """Nodes that may be disrupted at once. Expiry doesn't keep to it."""
    expire_after: Duration = "720h"
    """Nodes are replaced when they are so old."""
    grace: Duration = "1h"
    """A node that expired or drains is ended by then, whatever its pods say."""
    deregistration_s: Seconds = 15
    """How long a load balancer still sends to a pod that ends."""
    headroom: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    """Pods of the first workload that a CapacityBuffer keeps room for, where the cluster has that."""


class Scaled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One workload whose replicas follow its forecast."""

    workload: Workload
    """As namespace/name."""
    writes: Literal["deployment", "hpa", "keda"] = "hpa"
    """Its replicas, or the lower bound of the autoscaler named in `autoscaler`."""
    autoscaler: str = ""
    """Empty: named as the workload."""
    service: str = ""
    """As [[sla]] names it; empty: the workload."""
    forecast: str
    """PromQL: the peak quantile of what is to come, requests a second."""
    skill: str = ""
    """PromQL: how much better the forecast was than the naive one, 1 at best; empty: never trusted."""
    per_replica_rps: Positive
    """What one replica serves within its promise."""
    utilisation: Share = 0.7
    """Share of what a replica serves that is planned for."""
    least: Annotated[int, msgspec.Meta(ge=0)] = 2
    """Never fewer replicas,"""
    most: Annotated[int, msgspec.Meta(ge=1)] = 20
    """and never more."""
    production: bool = True
    """False: it may sleep in the windows of `asleep`."""
    asleep: list[MaintenanceWindow] = []
    """When one that isn't production has no replicas."""


class Replicas(KubernetesLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Replicas ahead of demand."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=2_592_000)] = 60.0
    """Demand moves by the minute."""
    guard_s: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = 300.0
    """Replicas show within minutes what they do."""
    scaled: list[Scaled] = msgspec.field(default_factory=list)
    least_skill: float = 0.1
    """Below it the autoscaler is left alone."""
    fewer_at_once: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.25
    """Share of a production workload's replicas that one change takes away at most, each with its guard;
    `most_capacity` holds larger ones."""
    step: Ratio = 0.2
    """Smaller differences aren't worth a change."""


class RightSizing(KubernetesLever, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests of pods by what they used."""

    workloads: list[Workload] = msgspec.field(default_factory=list)
    """As namespace/name."""
    days: Annotated[int, msgspec.Meta(ge=2, le=30)] = 8
    """Of history. Prometheus keeps 15 unless told otherwise."""
    margin: Ratio = 0.15
    """Share above what was used that is requested."""
    writes: Literal["vpa", "patch"] = "vpa"
    """What is changed: a VerticalPodAutoscaler, or the requests themselves."""
    mode: Literal["Initial", "Recreate", "InPlaceOrRecreate"] = "Initial"
    """Of the VPA. Only the last can do without evictions, and not always."""
    most_throttled: Ratio = 0.01
    """Share of the history in which the new limit may throttle."""
    step: Ratio = 0.1
    """Smaller differences aren't worth a change."""
    quota_room: Annotated[float, msgspec.Meta(ge=1, le=10)] = 1.3
    """A namespace's quota should be this many times what is requested in it."""


def wrong_kubernetes(karpenter: Karpenter, replicas: Replicas, sizing: RightSizing) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    if karpenter.enabled and bool(karpenter.node_class) == (karpenter.make_class is not None):
        yield "levers.karpenter needs either node_class or make_class"
    if karpenter.enabled and not karpenter.workloads:
        yield "levers.karpenter.workloads names no deployment"
    if 0 < len(karpenter.types) < LEAST_TYPES:
        yield f"levers.karpenter.types: {len(karpenter.types)} types, spot needs {LEAST_TYPES}"
    if not 0 < round(karpenter.spot * karpenter.domains) < karpenter.domains:
        yield f"levers.karpenter: {karpenter.domains} domains can't part {karpenter.spot:.0%} from the rest"
    for one in replicas.scaled:
        if one.least > one.most:
            yield f"levers.replicas, {one.workload}: least {one.least} is above most {one.most}"
        if one.production and (one.asleep or not one.least):
            yield f"levers.replicas, {one.workload}: production always has a replica"
        if one.asleep and one.writes == "hpa":
            yield f"levers.replicas, {one.workload}: an HPA has no zero; write deployment or keda"
    if sizing.enabled and not sizing.workloads:
        yield "levers.right_sizing.workloads names no deployment"
