"""A world drawn up from the configuration of dispatch, to be completed by whoever knows the rest. Pure."""

import math
from collections.abc import Sequence
from itertools import accumulate

from tidewatt_coordinator.simulate.world import Boards, Class, Function, Nodes, Waits, World
from tidewatt_coordinator.steering.settings import Class as Asked
from tidewatt_coordinator.steering.settings import Dispatch, Latency, Pool


def drawn_up(name: str, dispatch: Dispatch, boards: int) -> tuple[World, list[str]]:
    """The world, and a sentence for each thing that isn't said or can't be taken over.

    Raises ValueError if nothing is left that serves.
    """
    nodes, functions, missing = list[Nodes](), list[Function](), list[str]()
    for pool in dispatch.pools:
        made = _pool(pool)
        if isinstance(made, str):
            missing.append(f"pool {pool.name} is left out: {made}")
        elif isinstance(made, Nodes):
            nodes.append(made)
        elif functions:
            missing.append(f"pool {pool.name} is left out: a world has one function")
        else:
            functions.append(made)
    if boards:
        missing.append(
            f"boards: {boards} alike of the shipped profile, with its policy by default: put in yours"
        )
    missing.append("delivery is not drawn up: add [delivery] if CloudFront stands before it all")
    classes = _classes(dispatch.classes, missing)
    world = World(
        name=name,
        boards=Boards(count=boards) if boards else None,
        nodes=nodes,
        function=functions[0] if functions else None,
        classes=classes,
        fill=dispatch.fill,
    )
    return world, missing


def _pool(pool: Pool) -> Nodes | Function | str:
    """What it is in a world, or why nothing."""
    if pool.latency is None or not sum(pool.latency.counts):
        return "its latency is asked of Prometheus, or of nobody; a world needs `latency`"
    waits = _waits(pool.latency)
    if pool.kind == "lambda":
        if pool.billed_ms is None:
            return "what a request is billed is not said (billed_ms)"
        return Function(
            name=pool.name,
            runtime="arm" if pool.arm else "x86",
            memory_mb=pool.memory_mb,
            billed_ms=pool.billed_ms,
            waits=waits,
        )
    if pool.kind not in ("spot", "on_demand"):
        return f"a world has no backend of kind {pool.kind}"
    if not pool.instance or not pool.node_rps or not pool.capacity_rps:
        return "it needs instance, node_rps and capacity_rps"
    return Nodes(
        name=pool.name,
        instance=pool.instance,
        region=pool.aws_region,
        most=math.ceil(pool.capacity_rps / pool.node_rps),
        node_rps=pool.node_rps,
        waits=waits,
        spot_share=1.0 if pool.kind == "spot" else 0.0,
    )


def _waits(latency: Latency) -> Waits:
    whole = sum(latency.counts)
    quicker = [upto / whole for upto in accumulate(latency.counts)]
    return Waits(ms=latency.bounds_ms, quicker=quicker[: len(latency.bounds_ms)])


def _classes(asked: Sequence[Asked], missing: list[str]) -> list[Class]:
    """Those with a limit, sharing what is asked as far as it is known; else a mild one."""
    limited = [one for one in asked if one.limit_ms is not None]
    if not limited:
        missing.append("no class has a limit: one of 1,000 ms stands for all")
        return [Class(name="all", share=1.0, limit_ms=1000.0)]
    if len(limited) < len(asked):
        missing.append("classes without a limit are left out: what is asked is shared among the others")
    left = max(1.0 - sum(one.share or 0.0 for one in limited), 0.0)
    open_ended = sum(one.share is None for one in limited)
    parts = [left / open_ended if one.share is None else one.share for one in limited]
    whole = sum(parts)
    if whole <= 0.0:
        parts, whole = [1.0] * len(limited), float(len(limited))
    return [
        Class(name=one.name, share=part / whole, limit_ms=one.limit_ms or 0.0, percentile=one.percentile)
        for one, part in zip(limited, parts, strict=True)
        if part > 0.0
    ]
