"""What containers used and what they ask for: the questions to Prometheus, and the answers priced. Pure."""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from tidewatt_coordinator.levers.driver import Saving
from tidewatt_coordinator.levers.kubernetes.nodes import Node, packed, pod_month, quantity, split
from tidewatt_coordinator.levers.kubernetes.percentiles import Series, Size, bumped, replay, target
from tidewatt_coordinator.levers.kubernetes.settings import RightSizing
from tidewatt_coordinator.prices.book import PriceBook

MIB, GIB_MIB = 2**20, 1024


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One container of a workload with its history: of all its pods, the one that used most at each time."""

    name: str
    resources: dict[str, Any]
    """As the pod template says."""
    cpu: Series
    """vCPU."""
    memory: Series
    """Bytes."""
    killed: bool = False
    """Whether a pod of it was killed for its memory."""

    def asks(self) -> Size:
        """What it asks for now; 0 where it doesn't say."""
        found = (self.resources.get("limits") or {}) | (self.resources.get("requests") or {})
        return Size(cpu=float(quantity(found.get("cpu", 0))), memory=float(quantity(found.get("memory", 0))))

    def limit(self, name: str, asks: float, now: float) -> float | None:
        """The limit beside another request: its ratio to the request is kept. None: there is none."""
        held = (self.resources.get("limits") or {}).get(name)
        if held is None:
            return None
        return float(quantity(held)) * (asks / now if now else 1.0)


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """What a container should ask for, and why."""

    name: str
    now: Size
    size: Size
    why: str


def questions(namespace: str, deployment: str, container: str) -> dict[str, str]:
    """PromQL by what it asks. The most of all pods: no less than the autoscaler's sum of them says."""
    pods = f"{re.escape(deployment)}-[a-z0-9]+-[a-z0-9]{{5}}".replace("\\", "\\\\")
    where = f'namespace="{namespace}",pod=~"{pods}",container="{container}"'
    killed = "kube_pod_container_status_last_terminated_reason"
    return {
        "cpu": f"max(rate(container_cpu_usage_seconds_total{{{where}}}[5m]))",
        "memory": f"max(container_memory_working_set_bytes{{{where}}})",
        "killed": f'max({killed}{{{where},reason="OOMKilled"}})',
    }


def sized(one: Container, containers: int, settings: RightSizing, fixed: Sequence[str]) -> Sized | None:
    """The size that history bears; None without history, or where it is near enough.

    `fixed` are resources that an HPA scales by: other requests would move what it aims at.
    """
    now, found = one.asks(), target(one.cpu, one.memory, containers, settings.margin)
    if found is None:
        return None
    if one.killed:
        found = msgspec.structs.replace(found, memory=max(found.memory, bumped(one.memory)))
    cpu = now.cpu if "cpu" in fixed else whole_cpu(found.cpu)
    memory = now.memory if "memory" in fixed else whole_memory(found.memory)
    limits = one.limit("cpu", cpu, now.cpu), one.limit("memory", memory, now.memory)
    borne = replay(one.cpu, one.memory, Size(cpu=cpu, memory=memory), *limits)
    why = [f"{one.name}: {len(one.cpu)} samples of CPU, {len(one.memory)} of memory replayed"]
    if borne.throttled > settings.most_throttled:
        cpu = max(cpu, now.cpu)
        why.append(f"{borne.throttled:.1%} of them would be throttled, so its CPU isn't lowered")
    if borne.killed > 0:
        memory = max(memory, now.memory)
        why.append(f"{borne.killed:.1%} of them would not fit its memory, so that isn't lowered")
    near = [_near(cpu, now.cpu, settings.step), _near(memory, now.memory, settings.step)]
    near[1] = near[1] and not (one.killed and memory > now.memory)
    cpu, memory = (now.cpu if near[0] else cpu), (now.memory if near[1] else memory)
    if all(near):
        return None
    why.append(f"{_text(now)} asked, {_text(Size(cpu=cpu, memory=memory))} needed")
    return Sized(name=one.name, now=now, size=Size(cpu=cpu, memory=memory), why=", ".join(why))


def saved(
    changes: Iterable[Sized],
    replicas: int,
    pods: Sequence[tuple[float, float]],
    nodes: Sequence[Node],
    book: PriceBook,
    region: str,
    day: date,
) -> tuple[Saving, str]:
    """What fewer requests save in a month: from the nodes that become empty to the room that is freed."""
    before, after = [0.0, 0.0], [0.0, 0.0]
    for one in changes:
        before = [before[0] + one.now.cpu, before[1] + one.now.memory]
        after = [after[0] + one.size.cpu, after[1] + one.size.memory]
    if not nodes:
        zero = Decimal(0)
        return Saving(low=zero, middle=zero, high=zero), "no node is known, so nothing is priced"
    room = sum(one.cpu for one in nodes) / len(nodes), sum(one.memory for one in nodes) / len(nodes)
    freed = pod_month(nodes, before[0], before[1], book, region, day)
    freed = (freed - pod_month(nodes, after[0], after[1], book, region, day)) * replicas
    moved = [(cpu - before[0] + after[0], memory - before[1] + after[1]) for cpu, memory in pods[:replicas]]
    held = packed(pods, room), packed([*moved, *pods[replicas:]], room)
    mean = split(nodes, book, region, day).monthly / len(nodes)
    low, high = sorted(((held[0] - held[1]) * mean, freed))
    said = f"all pods' requests fill {held[0]} nodes of the mean size now, {held[1]} then"
    return Saving(low=low, middle=(low + high) / 2, high=high), said


def whole_cpu(vcpu: float) -> float:
    """Rounded up to a thousandth."""
    return -(-vcpu * 1000 // 1) / 1000


def whole_memory(size: float) -> float:
    """Rounded up to a MiB."""
    return float(-(-size // MIB) * MIB)


def cpu_text(vcpu: float) -> str:
    """A quantity as Kubernetes itself writes it."""
    milli = round(vcpu * 1000)
    return f"{milli}m" if milli % 1000 else str(milli // 1000)


def memory_text(size: float) -> str:
    """A quantity as Kubernetes itself writes it."""
    mib = round(size / MIB)
    return f"{mib}Mi" if mib % GIB_MIB else f"{mib // GIB_MIB}Gi"


def _near(wanted: float, now: float, step: float) -> bool:
    return abs(wanted - now) <= step * now


def _text(size: Size) -> str:
    return f"{cpu_text(size.cpu)} and {memory_text(size.memory)}"
