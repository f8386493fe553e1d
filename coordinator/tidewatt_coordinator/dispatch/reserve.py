"""Room for the loss of one failure domain (guarantee G1). Pure.

When a domain is gone, proxies hand its share of each class to the others in proportion to their weights: what
is left grows by 1 / (1 - the domain's share of the class). The largest share of each class, wherever it is,
bounds that from above; planning on less of every capacity makes shares smaller and room larger at once.
"""

from collections.abc import Callable

import numpy as np

from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Floats, Whole

#: Halvings of the interval of the share that is planned on.
SEARCHES = 6
LEAST = 1.0 / 64.0
SLACK = 1e-9


def absorbs(placed: Floats, capacity: Floats, domain: Whole) -> bool:
    """Whether the others stay within their capacity when any one domain is lost.

    `domain` is (n,) numbers from 0, below 0 for a backend that is in none.
    """
    if not len(placed) or int(np.max(domain)) < 0:
        return True
    inside = domain >= 0
    count = int(np.max(domain)) + 1
    total = placed.sum(axis=0)
    most = np.zeros(len(total))
    for k in np.flatnonzero(total > 0.0):
        sums = np.bincount(domain[inside], weights=placed[inside, k], minlength=count)
        most[k] = min(float(sums.max() / total[k]), 1.0)
    if np.any(most >= 1.0 - SLACK):
        return False
    grown = (placed / (1.0 - most)[None, :]).sum(axis=1)
    return bool(np.all(grown <= capacity * (1.0 + SLACK)))


def planned(solve: Callable[[Floats], Plan], capacity: Floats, domain: Whole) -> Plan:
    """The plan on the largest share of the capacities that lets any domain be lost; on all of them where that
    can't be had, or would refuse requests.
    """
    whole = solve(capacity)
    if absorbs(whole.placed, capacity, domain):
        return whole
    refused = float(whole.admitted.sum()) * (1.0 - SLACK)
    best: Plan | None = None
    low, high = LEAST, 1.0
    share = 0.5
    for _ in range(SEARCHES):
        plan = solve(capacity * share)
        if float(plan.admitted.sum()) < refused:
            low = share  # too little is left to serve all
        elif absorbs(plan.placed, capacity, domain):
            best, low = plan, share
        else:
            high = share
        share = (low + high) / 2.0
    return best or whole
