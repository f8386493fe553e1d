"""What proxies do with what is too much for a backend: the others of the class take it. Pure.

Weights are as old as telemetry; a proxy sees the present. A table therefore says, beside the shares, what
each backend can take at the most. A proxy holds it to that (by requests in flight: rate times latency,
Little's law) and gives what is beyond to the others, in proportion to their weights, as nginx does with
`max_conns` and HAProxy with `maxconn`. So weights need not plan for every rise, and a rise overloads nobody
while anybody who keeps the promise has room.
"""

import numpy as np

from tidewatt_coordinator.dispatch.pool import Floats

#: Relative error of sums.
SLACK = 1e-9


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
        kept = np.where(over, most / np.where(over, total, 1.0), 1.0)
        excess = np.where(takes[None, :], loads * (1.0 - kept)[:, None], 0.0)
        loads -= excess
        loads += open_to * (excess.sum(axis=0) / np.where(takes, open_to.sum(axis=0), 1.0))[None, :]
    return loads
