"""What the tests of Kubernetes' drivers share: a workload, nodes, and what is read of them."""

from typing import Any

from msgspec.structs import replace
from tests.kubeclient import Cluster

from tidewatt_coordinator.levers.kubernetes.pools import BUFFERS
from tidewatt_coordinator.levers.kubernetes.settings import (
    NodeClass,
    Scaled,
)
from tidewatt_coordinator.prices.files import load_book

NOW_MS = 1_790_812_800_000
TOKEN = "t0ken"  # noqa: S105 - opens nothing
BOOK = load_book()
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SHOP = f"{DEPLOYMENTS}/shop"
HEADROOM = BUFFERS.format("default")
VPAS = "/apis/autoscaling.k8s.io/v1/namespaces/default/verticalpodautoscalers"
CLASS = NodeClass(role="nodes", ami="al2023@v20261101", tags={"karpenter.sh/discovery": "c"})


def deployment(**spec: Any) -> dict[str, Any]:
    sleep = {"preStop": {"sleep": {"seconds": 20}}}
    resources = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}}
    container = {"name": "app", "image": "shop:1", "lifecycle": sleep, "resources": resources}
    template = {
        "metadata": {"labels": {"app": "shop"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 40},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "shop", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": template} | spec,
    }


def node(name: str) -> dict[str, Any]:
    labels = {
        "node.kubernetes.io/instance-type": "c7g.2xlarge",
        "karpenter.sh/capacity-type": "on-demand",
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


ROOM = {"allocatable": {"cpu": "7910m", "memory": "15Gi"}, "capacity": {"cpu": "8", "memory": "16Gi"}}


def rolled_out(cluster: Cluster, path: str = SHOP) -> None:
    """As the deployment's controller says it."""
    live = cluster.find(path)
    count = live["spec"].get("replicas", 1)
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "readyReplicas"), count)
    cluster.status(path, counts | {"observedGeneration": live["metadata"]["generation"]})


def bare(document: dict[str, Any]) -> dict[str, Any]:
    """What people and controllers read of it."""
    return {"labels": document["metadata"].get("labels"), "spec": document["spec"]}


def a_scaled(**values: Any) -> Scaled:
    one = Scaled(
        workload="default/shop", writes="deployment", forecast="peak", skill="skill", per_replica_rps=100
    )
    return replace(one, **values)
