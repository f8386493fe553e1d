"""Three Karpenter pools that keep a share of pods on spot capacity. Pure.

Karpenter has no share: `weight` orders pools, and with both capacity types allowed it takes spot alone. So
pods are spread evenly over virtual domains, of which the spot pool carries some and the on-demand pool the
rest. A third pool carries the spot pool's domains on demand, with less weight: else pods would wait where
spot capacity has run out.
"""

from typing import Any

from tidewatt_coordinator.levers.kubernetes.objects import api_version, made
from tidewatt_coordinator.levers.kubernetes.settings import LEAST_TYPES, Karpenter, NodeClass

Document = dict[str, Any]

POOLS = "/apis/karpenter.sh/v1/nodepools"
CLASSES = "/apis/karpenter.k8s.aws/v1/ec2nodeclasses"
BUFFERS = "/apis/autoscaling.x-k8s.io/v1beta1/namespaces/{}/capacitybuffers"
OVERLAYS = "/apis/karpenter.sh/v1alpha1/nodeoverlays"
#: The label whose values are the domains.
DOMAIN = "tidewatt.dev/capacity-spread"
CAPACITY_TYPE, INSTANCE_TYPE = "karpenter.sh/capacity-type", "node.kubernetes.io/instance-type"
#: The pool with the greatest weight that fits is taken first.
WEIGHTS = {"spot": 30, "on-demand": 30, "fallback": 10}


def spot_domains(share: float, domains: int) -> int:
    """How many of the domains are spot's."""
    return min(max(round(share * domains), 1), domains - 1)


def bound(pods: int, spot: int, domains: int) -> tuple[float, float]:
    """The least and the greatest share on spot of so many pods that are spread as evenly as can be.

    Every domain has floor(pods/domains) or one more; nobody says which have one more.
    """
    if pods <= 0:
        return 0.0, 1.0
    each, more = divmod(pods, domains)
    least = spot * each + max(0, more - (domains - spot))
    return least / pods, (spot * each + min(more, spot)) / pods


def layout(settings: Karpenter) -> dict[str, Document]:
    """The objects by their path: a node class if it is ours, and the three pools."""
    spot = spot_domains(settings.spot, settings.domains)
    names = [f"d{index}" for index in range(settings.domains)]
    found = {}
    if settings.make_class:
        path = f"{CLASSES}/{settings.name}"
        found[path] = made(path, "EC2NodeClass", _node_class(settings.make_class))
    for kind, capacity, carried in (
        ("spot", "spot", names[:spot]),
        ("on-demand", "on-demand", names[spot:]),
        ("fallback", "on-demand", names[:spot]),
    ):
        path = f"{POOLS}/{settings.name}-{kind}"
        found[path] = made(path, "NodePool", _pool(settings, capacity, carried, WEIGHTS[kind]))
    return found


def spread(path: str, selector: Document, pod_labels: Document) -> Document:
    """A deployment's part: its pods are spread over the domains, those of each revision by themselves."""
    labels = selector.get("matchLabels") or pod_labels
    constraint = {
        "topologyKey": DOMAIN,
        "whenUnsatisfiable": "DoNotSchedule",
        "maxSkew": 1,
        "labelSelector": {"matchLabels": labels},
        "matchLabelKeys": ["pod-template-hash"],
    }
    spec = {"template": {"spec": {"topologySpreadConstraints": [constraint]}}}
    return {"apiVersion": api_version(path), "kind": "Deployment", "spec": spec}


def buffer(settings: Karpenter) -> tuple[str, Document]:
    """Headroom: a CapacityBuffer for pods like the first workload's.

    Only `replicas`: with `percentage`, too, the definition and the documentation say opposite things.
    """
    namespace, name = settings.workloads[0].split("/")
    path = f"{BUFFERS.format(namespace)}/{settings.name}-{name}"[:253]
    target = {"apiGroup": "apps", "kind": "Deployment", "name": name}
    return path, made(path, "CapacityBuffer", {"scalableRef": target, "replicas": settings.headroom})


def price_overlay(name: str, instance_types: list[str], adjustment: str) -> tuple[str, Document]:
    """A NodeOverlay that tells Karpenter what types really cost us, such as "-15%" under a savings plan."""
    path = f"{OVERLAYS}/{name}"
    requirements = [
        {"key": INSTANCE_TYPE, "operator": "In", "values": sorted(instance_types)},
        {"key": CAPACITY_TYPE, "operator": "In", "values": ["on-demand"]},
    ]
    return path, made(path, "NodeOverlay", {"requirements": requirements, "priceAdjustment": adjustment})


def drains_well(template: Document, deregistration_s: int) -> str:
    """Why requests would notice that a node drains; empty: deregistration < preStop sleep < grace period."""
    spec = template["spec"]
    grace_s = spec.get("terminationGracePeriodSeconds", 30)
    for one in spec["containers"]:
        sleep_s = _sleep_s((one.get("lifecycle") or {}).get("preStop") or {})
        if deregistration_s < sleep_s < grace_s:
            return ""
    return (
        f"no container sleeps in preStop for longer than the {deregistration_s} s that its load balancer "
        f"still sends to it, and less than its {grace_s} s of grace"
    )


def _sleep_s(hook: Document) -> float:
    """How long a preStop hook sleeps: by Kubernetes' own `sleep`, or a command that ends in `sleep N`."""
    if "sleep" in hook:
        return float(hook["sleep"]["seconds"])
    words = " ".join((hook.get("exec") or {}).get("command") or []).split()
    if len(words) > 1 and words[-2].endswith("sleep") and words[-1].rstrip("s").isdigit():
        return float(words[-1].rstrip("s"))
    return 0.0


def _node_class(terms: NodeClass) -> Document:
    where = [{"tags": dict(sorted(terms.tags.items()))}]
    return {
        "role": terms.role,
        "amiSelectorTerms": [{"alias": terms.ami}],
        "subnetSelectorTerms": where,
        "securityGroupSelectorTerms": where,
    }


def _pool(settings: Karpenter, capacity: str, domains: list[str], weight: int) -> Document:
    reference = {
        "group": "karpenter.k8s.aws",
        "kind": "EC2NodeClass",
        "name": settings.node_class or settings.name,
    }
    spec = {
        "requirements": _requirements(settings, capacity, domains),
        "nodeClassRef": reference,
        "expireAfter": settings.expire_after,
        "terminationGracePeriod": settings.grace,  # without it a pod may hold up an expired node for ever
    }
    disruption = {
        "consolidationPolicy": settings.consolidation,
        "consolidateAfter": settings.consolidate_after,
        "budgets": [{"nodes": settings.budget}],
    }
    limits = {"cpu": str(settings.cpu_limit)}
    return {"template": {"spec": spec}, "disruption": disruption, "limits": limits, "weight": weight}


def _requirements(settings: Karpenter, capacity: str, domains: list[str]) -> list[Document]:
    wide = {"minValues": LEAST_TYPES} if capacity == "spot" else {}
    types: Document = {"key": INSTANCE_TYPE, "operator": "Exists"}
    if settings.types:
        types = {"key": INSTANCE_TYPE, "operator": "In", "values": sorted(settings.types)}
    found = [
        {"key": CAPACITY_TYPE, "operator": "In", "values": [capacity]},
        {"key": DOMAIN, "operator": "In", "values": domains},
        {"key": "kubernetes.io/arch", "operator": "In", "values": list(settings.architectures)},
        types | wide,
    ]
    if not settings.types:
        category = {"key": "karpenter.k8s.aws/instance-category", "operator": "In"}
        newer = {"key": "karpenter.k8s.aws/instance-generation", "operator": "Gt"}
        found.append(category | {"values": list(settings.categories)})
        found.append(newer | {"values": [str(settings.newer_than)]})
    return found
