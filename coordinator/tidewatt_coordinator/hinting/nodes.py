"""How many cloud nodes to hold for the coming hour: what the planner asks of unit commitment. Pure.

A proposal: nothing starts or stops a node here.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.planning.nodes import NodePool
from tidewatt_coordinator.steering.pools import HOUR_S, Fetched, PoolPrice
from tidewatt_coordinator.steering.settings import Pool
from tidewatt_governor.forecast.layout import AHEAD
from tidewatt_governor.forecast.value import P99, Forecast

STEP_MIN = 5
STEPS = 12


class Beyond(msgspec.Struct, frozen=True):
    """A group's demand to be ready for now, its forecast, and what its devices are given at the most."""

    need_rps: float
    forecast: Forecast | None
    edge_rps: float


def needs(groups: Iterable[Beyond], minute: int) -> list[float]:
    """Requests/s beyond the edge by steps of the coming hour; beyond the forecast's reach it stays."""
    total = [0.0] * STEPS
    for group in groups:
        need = group.need_rps
        for step in range(STEPS):
            need = max(group.need_rps, _foreseen(group.forecast, minute, step, need))
            total[step] += max(0.0, need - group.edge_rps)
    return total


def _foreseen(forecast: Forecast | None, minute: int, step: int, before: float) -> float:
    """The highest p99 of a step; `before` where the forecast doesn't reach."""
    if forecast is None or not forecast.trusted:
        return before
    first = minute + step * STEP_MIN - forecast.minute - 1
    rows = [forecast.rps[ahead][P99] for ahead in range(max(0, first), min(AHEAD, first + STEP_MIN))]
    return max(rows) if rows else before


def node_pools(
    pools: Sequence[Pool],
    prices: Callable[[str], PoolPrice | None],
    number: Callable[[str], Fetched],
    settings: Planning,
    fill: float,
) -> list[NodePool]:
    """The pools that are made of nodes, as far as it is known how many there are."""
    found = []
    for pool in pools:
        price = prices(pool.name)
        capacity = (pool.capacity_rps or 0.0, 0.0) if not pool.capacity_query else number(pool.capacity_query)
        if pool.node_rps is None or price is None or capacity is None:
            continue
        found.append(
            NodePool(
                name=pool.name,
                node_rps=pool.node_rps * fill,
                per_hour=price.request * pool.node_rps * HOUR_S,
                held=round(capacity[0] / pool.node_rps),
                start_min=settings.node_start_min,
                up_min=settings.node_up_min,
                down_min=settings.node_down_min,
                most=settings.most_nodes.get(pool.name),
            )
        )
    return found
