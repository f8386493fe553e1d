"""What proxies do with what is too much for a backend: the others of the class take it. Pure.

Weights are as old as telemetry; a proxy sees the present. A table therefore says, beside the shares, what
each backend can take at the most. A proxy holds it to that (by requests in flight: rate times latency,
Little's law) and gives what is beyond to the others, in proportion to their weights, as nginx does with
`max_conns` and HAProxy with `maxconn`. So weights need not plan for every rise, and a rise overloads nobody
while anybody who keeps the promise has room.
"""

import math
from collections.abc import Sequence

import numpy as np

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.latency import mean_s
from tidewatt_coordinator.dispatch.pool import Floats
from tidewatt_coordinator.dispatch.table import Table

#: Relative error of sums.
SLACK = 1e-9
#: These take what comes and are billed for it: nothing is held back from them.
ELASTIC = ("lambda", "cloudfront", "http")
#: Arrivals that are random vary by the root of what is in flight: so many of those are no rise.
DEVIATIONS = 3.0


def in_flight(table: Table, backends: Sequence[Backend]) -> dict[str, dict[str, int]]:
    """By class and backend, the requests that it may have in flight; those that take any number are left out.

    What a backend can take is split by what the table plans of each class, because each class has an upstream
    of its own in the proxy, which knows nothing of the others.
    """
    found: dict[str, dict[str, int]] = {name: {} for name in table.weights}
    for backend in backends:
        waits_s = mean_s(backend.latency)
        most = table.most_rps.get(backend.name)
        if most is None or waits_s is None or backend.kind in ELASTIC:
            continue
        planned = {name: _planned(table, name, backend.name) for name in table.weights}
        total = sum(planned.values())
        for name, rate in planned.items():
            if rate > 0.0:
                usual = most * waits_s * rate / total
                found[name][backend.name] = max(1, math.ceil(usual + DEVIATIONS * math.sqrt(usual)))
    return found


def _planned(table: Table, name: str, backend: str) -> float:
    served = table.planned_rps[name] * (1.0 - table.refused.get(name, 0.0))
    return served * table.share(name, backend)


def spilled(offered: Floats, shares: Floats, most: Floats) -> Floats:
    """(n, K) requests/s that each backend gets of (n, K) that weights alone would give it.

    `shares` (n, K) are the weights, `most` (n,) what each can take. What nobody has room for stays with those
    that it was meant for.
    """
    loads: Floats = offered.copy()
    for _ in range(len(most) + 1):
        total = loads.sum(axis=1)
        over = total > most * (1.0 + SLACK)
        room = np.where(over, 0.0, np.maximum(most - total, 0.0))
        open_to = shares * (room > SLACK * np.maximum(most, 1.0))[:, None]
        takes = open_to.sum(axis=0) > 0.0
        if not np.any(over) or not np.any(takes & (loads[over].sum(axis=0) > 0.0)):
            return loads
        # Classes that have nowhere else to go stay; the others make room for them.
        movable = np.where(takes[None, :], loads, 0.0)
        free = movable.sum(axis=1)
        # Divided only where it is less than one: by next to nothing there is no quotient.
        excess_rps = np.where(over, total - most, 0.0)
        leaves = np.where(over, 1.0, 0.0)
        np.divide(excess_rps, free, out=leaves, where=over & (free > excess_rps))
        excess = movable * leaves[:, None]
        loads -= excess
        # Each one's part first: what is shared over weights next to nothing would have no number.
        parts = open_to / np.where(takes, open_to.sum(axis=0), 1.0)[None, :]
        loads += parts * excess.sum(axis=0)[None, :]
    return loads
