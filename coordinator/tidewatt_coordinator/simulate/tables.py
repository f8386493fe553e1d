"""Who gets what, for a demand and the nodes that are there: the product's own tables. Pure.

A table depends on nothing but those two, so each is made once: demand is rounded up to the next of a grid of
`GRID`, as a forecast would be. What the product adds in time (how fast weights may move, what is not worth
moving for) is left out: it makes no difference over minutes.
"""

import math
from itertools import pairwise

import msgspec
import numpy as np

from tidewatt_coordinator.dispatch.backends import Backend, Histogram
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.pool import Floats, survey
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.dispatch.weighing import next_table
from tidewatt_coordinator.simulate.world import Waits, World
from tidewatt_coordinator.steering.edge import Known, devices
from tidewatt_governor.boards import BoardProfile
from tidewatt_wire.messages import Birth

GRID = 1.02
LEAST_RPS = 0.1
#: Requests that a declared distribution stands for.
DECLARED = 1_000_000
HOUR_S = 3600.0
#: Nodes of a pool: on demand, spot.
Standing = tuple[tuple[int, int], ...]


class Prices(msgspec.Struct, frozen=True):
    """What dispatch decides by, in the world's currency."""

    node_hour: tuple[tuple[float, float], ...]
    """By pool: on demand, spot."""
    request: float
    """Of the function."""


class Split(msgspec.Struct, frozen=True):
    """(n, K) shares of each class, (n,) what each may be given at the most, (K,) shares that are refused."""

    shares: Floats
    most: Floats
    refused: Floats


class Tables:
    """Splits for one world, each made once. Backends: boards, each pool's two halves, the function."""

    def __init__(self, world: World, profile: BoardProfile | None, prices: Prices) -> None:
        self._world, self._prices = world, prices
        self._edge = _edge(world, profile)
        self._terms = Terms(fill=world.fill, held=True)
        self._made: dict[tuple[int, Standing], Split] = {}
        self.names = [
            *(["boards"] if self._edge else []),
            *(f"{pool.name}{half}" for pool in world.nodes for half in ("", "-spot")),
            *([world.function.name] if world.function else []),
        ]

    def split(self, rps: float, standing: Standing) -> Split:
        """For a demand as it was known and the nodes that serve."""
        step = math.ceil(math.log(max(rps, LEAST_RPS)) / math.log(GRID) - 1e-9)
        key = (step, standing)
        if key not in self._made:
            self._made[key] = self._make(GRID**step, standing)
        return self._made[key]

    def _make(self, rps: float, standing: Standing) -> Split:
        backends = self._backends(standing)
        classes = [
            RequestClass(one.name, rps * one.share, one.limit_ms / 1000.0, one.percentile)
            for one in self._world.classes
        ]
        if self._world.routing == "even":
            return self._even(backends, classes)
        table = next_table(backends, classes, self._terms)
        shares = np.array([[table.share(one.name, back.name) for one in classes] for back in backends])
        most = np.array([table.most_rps.get(back.name, np.inf) for back in backends])
        return Split(shares, most, np.array([table.refused.get(one.name, 0.0) for one in classes]))

    def _even(self, backends: list[Backend], classes: list[RequestClass]) -> Split:
        able = survey(backends, classes, self._terms).keeps.astype(np.float64)
        # The two halves of a pool are one to whoever spreads evenly.
        whole: dict[str, float] = {}
        for one in backends:
            whole[_pool_of(one)] = whole.get(_pool_of(one), 0.0) + one.usable_rps
        able *= np.array([one.usable_rps / max(whole[_pool_of(one)], 1e-9) for one in backends])[:, None]
        count = able.sum(axis=0)
        shares = able / np.where(count > 0.0, count, 1.0)[None, :]
        return Split(shares, np.full(len(backends), np.inf), np.where(count > 0.0, 0.0, 1.0))

    def _backends(self, standing: Standing) -> list[Backend]:
        found = [self._edge] if self._edge else []
        for pool, counts, hours in zip(self._world.nodes, standing, self._prices.node_hour, strict=True):
            waits = histogram(pool.waits)
            for half, count, hour in zip(("", "-spot"), counts, hours, strict=True):
                found.append(
                    Backend(
                        pool.name + half,
                        count * pool.node_rps,
                        hour / (pool.node_rps * HOUR_S),
                        kind="spot" if half else "on_demand",
                        latency=waits,
                        domain=pool.name,
                    )
                )
        if function := self._world.function:
            waits = histogram(function.waits)
            found.append(Backend(function.name, 1e9, self._prices.request, kind="lambda", latency=waits))
        return found


def _pool_of(one: Backend) -> str:
    return one.domain or one.name


def histogram(waits: Waits) -> Histogram:
    """As dispatch takes it."""
    upto = [0, *(round(share * DECLARED) for share in waits.quicker), DECLARED]
    counts = tuple(high - low for low, high in pairwise(upto))
    return Histogram(tuple(ms / 1000.0 for ms in waits.ms), counts)


def _edge(world: World, profile: BoardProfile | None) -> Backend | None:
    """All boards as one: what they can do together at their strongest allowed point, as dispatch has it."""
    boards = world.boards
    if boards is None or profile is None or not boards.count:
        return None
    birth = Birth(
        device="boards",
        session="",
        epoch="",
        at_ms=0,
        version="",
        board="",
        control="enforce",
        points=profile.points,
        labels={"site": "boards"},
    )
    one = devices([Known("boards", birth, boards.policy, 0.0)], float(boards.price_per_kwh), world.fill)[0]
    shift = boards.network_ms / 1000.0
    latency = one.latency and Histogram(
        tuple(bound + shift for bound in one.latency.bounds_s), one.latency.counts
    )
    return msgspec.structs.replace(one, usable_rps=one.usable_rps * boards.count, latency=latency)
