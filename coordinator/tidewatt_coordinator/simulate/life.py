"""Demand lived through: who served what, how late, with how many nodes and joules. Pure.

By the minute. A table is made of the demand of the minute before; proxies hold backends to what they can take
and give what is beyond to the others, as in dispatch. What a backend is given beyond its capacity fails.
Node pools and the function are as quick as declared at any load below capacity; boards as their model says.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.dispatch.overflow import spilled
from tidewatt_coordinator.dispatch.pool import Floats
from tidewatt_coordinator.simulate.board import stood
from tidewatt_coordinator.simulate.demand import Demand
from tidewatt_coordinator.simulate.pool import DAY_MIN, Crew
from tidewatt_coordinator.simulate.tables import Prices, Tables
from tidewatt_coordinator.simulate.world import Waits, World
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.simulate.minutes import MINUTE_S

#: Milliseconds, for the mixture of all waits; the last bucket is beyond.
BOUNDS_MS: Floats = np.unique(np.round(np.geomspace(1.0, 5_000.0, 120), 2))
#: A minute in which more fail than this is a bad one.
BAD_SHARE = 1e-3
TINY = 1e-12


class Lived(msgspec.Struct, frozen=True):
    """By day (first axis). Requests are whole sums, not rates."""

    names: list[str]
    """Backends."""
    asked: Floats
    """(D,)"""
    unserved: Floats
    """(D,) refused by the tables, or failed."""
    failed: Floats
    """(D,) of them: not refused, but given to who could not."""
    slow: Floats
    """(D,) answered later than their class's limit."""
    waits: Floats
    """(D, B) answered requests by BOUNDS_MS."""
    served: Floats
    """(D, n)"""
    node_hours: Floats
    """(D, pools, 2) on demand, spot."""
    energy_kwh: Floats
    """(D,)"""
    bad: Floats
    """(D,) minutes in which a class's promise, or more than BAD_SHARE, broke."""
    switches: int
    weekend: NDArray[np.bool_]


class _Minutes:
    """(T, ...) of the whole run."""

    def __init__(self, count: int, backends: int, classes: int, pools: int) -> None:
        self.load = np.zeros((count, backends, classes))
        self.most = np.zeros((count, backends))
        """What each can really serve; boards are looked at later."""
        self.lost = np.zeros(count)
        """Share of the requests that fell with nodes nobody had warned of."""
        self.paid = np.zeros((count, pools, 2))


def live(world: World, demand: Demand, profile: BoardProfile | None, prices: Prices) -> Lived:
    """The days of `demand` in that world. `profile` is the boards'."""
    tables = Tables(world, profile, prices)
    rps = demand.rps.reshape(-1)
    share = np.array([one.share for one in world.classes])
    minutes = _steered(world, rps, share, tables)
    days, limits = len(demand.rps), np.array([one.limit_ms for one in world.classes])
    looks = _looked(world, minutes, profile, np.concatenate([limits, BOUNDS_MS]))
    quick = looks.within[:, :, : len(limits)]
    offered = minutes.load.sum(axis=2)
    kept = np.minimum(offered, minutes.most) / np.maximum(offered, TINY) * (1.0 - minutes.lost)[:, None]
    answered = minutes.load * kept[:, :, None]
    asked = rps[:, None] * share[None, :]
    in_time = (answered * quick).sum(axis=1)
    in_time += answered[:, 0] * looks.edge[:, : len(limits)]
    by_backend = answered.sum(axis=2)
    bad = np.any(in_time < asked * np.array([one.percentile for one in world.classes]) - TINY, axis=1)
    failed = offered.sum(axis=1) - by_backend.sum(axis=1)
    bad |= rps - by_backend.sum(axis=1) > BAD_SHARE * np.maximum(rps, TINY)
    upto = by_backend @ looks.within[0, :, len(limits) :]
    upto += by_backend[:, :1] * looks.edge[:, len(limits) :]

    def daily(values: Floats) -> Floats:
        return np.asarray(values.reshape(days, DAY_MIN, *values.shape[1:]).sum(axis=1))

    return Lived(
        names=tables.names,
        asked=daily(rps) * MINUTE_S,
        unserved=daily(rps - by_backend.sum(axis=1)) * MINUTE_S,
        failed=daily(failed) * MINUTE_S,
        slow=daily(by_backend.sum(axis=1) - in_time.sum(axis=1)) * MINUTE_S,
        waits=np.diff(daily(upto), axis=1, prepend=0.0) * MINUTE_S,
        served=daily(by_backend) * MINUTE_S,
        node_hours=daily(minutes.paid) / 60.0,
        energy_kwh=daily(looks.energy_j) / 3.6e6,
        bad=daily(bad.astype(np.float64)),
        switches=looks.switches,
        weekend=demand.weekend,
    )


def _steered(world: World, rps: Floats, share: Floats, tables: Tables) -> _Minutes:
    """Who is given what in each minute."""
    crews = [Crew(pool, world.storm) for pool in world.nodes]
    names = tables.names
    edge = int(names[:1] == ["boards"])
    out = _Minutes(len(rps), len(names), len(share), len(crews))
    out.most[:] = np.inf
    known = float(rps[0])
    for minute, rate in enumerate(rps.tolist()):
        both = [crew.minute(minute) for crew in crews]
        standing = tuple(serving for serving, _ in both)
        split = tables.split(known, standing)
        load = split.shares * (rate * share * (1.0 - split.refused))[None, :]
        if np.any(load.sum(axis=1) > split.most):
            load = spilled(load, split.shares, split.most)
        out.load[minute] = load
        for place, (crew, pool, (serving, paid)) in enumerate(zip(crews, world.nodes, both, strict=True)):
            row = edge + 2 * place
            out.most[minute, row : row + 2] = np.multiply(serving, pool.node_rps)
            out.paid[minute, place] = paid
            crew.served(float(load[row : row + 2].sum()))
            took = crew.took(minute)
            if world.storm and took and minute and rate > 0.0:
                # The table of the minute before still sends them there.
                sent = out.load[minute - 1, row + 1].sum() * took / (serving[1] + took)
                fell = sent * world.storm.unwarned * world.storm.follow_s / MINUTE_S
                out.lost[minute] = min(out.lost[minute] + fell / rate, 1.0)
        known = rate
    return out


class _Looks(msgspec.Struct, frozen=True):
    """How quick who was."""

    within: Floats
    """(1, n, E) share of a backend's answers within each end; the boards' row is 0."""
    edge: Floats
    """(T, E) the boards', who are as quick as their load lets them."""
    energy_j: Floats
    """(T,) of all boards."""
    switches: int


def _looked(world: World, minutes: _Minutes, profile: BoardProfile | None, ends_ms: Floats) -> _Looks:
    """See _Looks; also notes what the boards could really serve."""
    count, backends, _ = minutes.load.shape
    within = np.zeros((1, backends, len(ends_ms)))
    edge, switches, row = np.zeros((count, len(ends_ms))), 0, 0
    energy_j: Floats = np.zeros(count)
    boards = world.boards
    if boards and profile and boards.count:
        life = stood(profile, boards.policy, minutes.load[:, 0].sum(axis=1) / boards.count)
        minutes.most[:, 0] = life.capacity_rps * boards.count
        energy_j, switches, row = life.energy_j * boards.count, life.switches * boards.count, 1
        late_s = (ends_ms[None, :] - boards.network_ms) / 1000.0 - life.floor_s[:, None]
        shares = -np.expm1(-np.maximum(late_s, 0.0) / np.maximum(life.mean_s, TINY)[:, None])
        edge = np.asarray(shares)
    declared = [pool.waits for pool in world.nodes for _ in range(2)]
    declared += [world.function.waits] if world.function else []
    for place, waits in enumerate(declared, start=row):
        within[0, place] = _declared(waits, ends_ms)
    return _Looks(within, edge, energy_j, switches)


def _declared(waits: Waits, ends_ms: Floats) -> Floats:
    """The share within each end: straight lines between what is declared, all within twice the last."""
    ms, quicker = [0.0, *waits.ms, 2.0 * waits.ms[-1]], [0.0, *waits.quicker, 1.0]
    return np.asarray(np.interp(ends_ms, ms, quicker))
