"""What may be relied on when data are old (guarantee G1). Pure.

A backend last seen with capacity C, `age` ago, has at least C (1 - loss (age + interval)) until the next
table is in force; a class measured at rate r has at most r (1 + growth (age + interval)). Shares that fit the
most demand into the least capacity fit every truth between. Where proxies hold backends to the least capacity
themselves, shares fit what was measured.
"""

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.terms import Terms


def capacity_floor(backend: Backend, terms: Terms) -> float:
    """Requests/s that the backend can be given until the next table; 0 for one that was not heard of."""
    most = most_rps(backend, terms)
    return terms.fill * (backend.usable_rps if terms.held and most > 0.0 else most)


def most_rps(backend: Backend, terms: Terms) -> float:
    """Requests/s that the backend can take until the next table, with nothing kept for bursts."""
    if backend.draining or not 0.0 <= backend.age_s <= terms.expire_s:
        return 0.0
    kept = 1.0 - terms.capacity_loss_per_s * (backend.age_s + terms.interval_s)
    return max(backend.usable_rps, 0.0) * max(kept, 0.0)


def demand_ceiling(asked: RequestClass, terms: Terms) -> float:
    """Requests/s that the class can ask for until the next table; the forecast can only raise it.

    One request at least: a class of which none is seen now must have weights too.
    """
    growth = 0.0 if terms.held else terms.demand_growth_per_s * (asked.age_s + terms.interval_s)
    grown = max(asked.rate_rps, 0.0) * (1.0 + growth)
    return max(grown, asked.forecast_rps or 0.0, 1.0 / terms.interval_s)
