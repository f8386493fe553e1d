"""What a cluster's nodes are and cost, and how their capacity is parted. Pure.

Spot is priced as a share of the on-demand price, which the book marks as an assumption.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from tidewatt_coordinator.money import FINEST
from tidewatt_coordinator.prices.book import HOURS_PER_MONTH, PriceBook, PriceError

SERVICE = "Amazon Elastic Compute Cloud - Compute"
#: A capacity type that isn't said is bought on demand.
ON_DEMAND = "on-demand"
SUFFIXES = {
    "m": Decimal("0.001"), "": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9),
    "T": Decimal(10**12), "P": Decimal(10**15), "Ki": Decimal(2**10), "Mi": Decimal(2**20),
    "Gi": Decimal(2**30), "Ti": Decimal(2**40), "Pi": Decimal(2**50),
}  # fmt: skip


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One node."""

    type: str
    capacity: str
    pool: str
    cpu: float
    """vCPU that pods may have."""
    memory: float
    """Bytes that pods may have."""


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """How much is spot: 0 to 1, of each."""

    nodes: float
    vcpu: float
    money: float
    monthly: Decimal
    """What all of it costs in a month."""
    on_demand_monthly: Decimal
    """What all of it would cost on demand."""


def quantity(text: str | float) -> Decimal:
    """A Kubernetes quantity as a number: 250m, 1.5, 2Gi, 1e3."""
    words = str(text).strip()
    number = words.rstrip("KkMGTPim") if "e" not in words.lower() else words
    return Decimal(number) * SUFFIXES[words[len(number) :]]


def node(document: dict[str, Any]) -> Node:
    """A Node object, as far as its price needs it."""
    labels = document["metadata"].get("labels", {})
    room = document["status"].get("allocatable") or document["status"]["capacity"]
    return Node(
        type=labels.get("node.kubernetes.io/instance-type", ""),
        capacity=labels.get("karpenter.sh/capacity-type", ON_DEMAND),
        pool=labels.get("karpenter.sh/nodepool", ""),
        cpu=float(quantity(room["cpu"])),
        memory=float(quantity(room["memory"])),
    )


def requested(template: dict[str, Any]) -> tuple[float, float]:
    """What a pod asks for: vCPU and bytes of all its containers. Where only a limit is set, that is asked."""
    cpu = memory = Decimal(0)
    for one in template["spec"]["containers"]:
        resources = one.get("resources") or {}
        asked = (resources.get("limits") or {}) | (resources.get("requests") or {})
        cpu, memory = cpu + quantity(asked.get("cpu", 0)), memory + quantity(asked.get("memory", 0))
    return float(cpu), float(memory)


def hourly(one: Node, book: PriceBook, region: str, day: date) -> tuple[Decimal, Decimal]:
    """What a node costs in an hour, and would on demand. PriceError for a type without a price."""
    found = book.find("aws-ec2", one.type, region, on=day)
    if found.table.currency != "USD":
        raise PriceError(f"aws-ec2 is in {found.table.currency}, nodes are priced in USD")
    full = found.price.marginal()
    if one.capacity != "spot":
        return full, full
    return full * book.find("aws-ec2-spot", "share-of-on-demand", on=day).price.marginal(), full


def split(nodes: Sequence[Node], book: PriceBook, region: str, day: date) -> Split:
    """The realised split."""
    prices = [hourly(one, book, region, day) for one in nodes]
    spot = [one.capacity == "spot" for one in nodes]
    paid, full = sum((now for now, _ in prices), Decimal(0)), sum((most for _, most in prices), Decimal(0))
    on_spot = sum((now for (now, _), is_spot in zip(prices, spot, strict=True) if is_spot), Decimal(0))
    vcpu = sum(one.cpu for one in nodes)
    return Split(
        nodes=sum(spot) / len(spot) if spot else 0.0,
        vcpu=sum(one.cpu for one in nodes if one.capacity == "spot") / vcpu if vcpu else 0.0,
        money=float(on_spot / paid) if paid else 0.0,
        monthly=(paid * HOURS_PER_MONTH).quantize(FINEST),
        on_demand_monthly=(full * HOURS_PER_MONTH).quantize(FINEST),
    )


def pod_month(
    nodes: Sequence[Node], cpu: float, memory: float, book: PriceBook, region: str, day: date
) -> Decimal:
    """What room for a pod's request costs in a month: the share of the mean node that it fills more."""
    if not nodes:
        return Decimal(0)
    share = max(
        cpu / (sum(one.cpu for one in nodes) / len(nodes)),
        memory / (sum(one.memory for one in nodes) / len(nodes)),
    )
    mean = split(nodes, book, region, day).monthly / len(nodes)
    return (mean * Decimal(share)).quantize(FINEST)


def packed(requests: Iterable[tuple[float, float]], room: tuple[float, float]) -> int:
    """How many nodes of one size hold pods of (vCPU, bytes): first fit, the largest first.

    A pod that no such node holds needs a larger one, and counts as one.
    """
    bins: list[tuple[float, float]] = []
    for cpu, memory in sorted(requests, key=lambda one: -max(one[0] / room[0], one[1] / room[1])):
        for index, (free_cpu, free_memory) in enumerate(bins):
            if cpu <= free_cpu + 1e-9 and memory <= free_memory + 1e-9:
                bins[index] = (free_cpu - cpu, free_memory - memory)
                break
        else:
            bins.append((max(room[0] - cpu, 0.0), max(room[1] - memory, 0.0)))
    return len(bins)
