"""Verifies a table without knowing how it was made. Pure, plain arithmetic on purpose.

It imports the types of what is known and nothing that solves, and does the sums again in its own way, so that
one mistake can't be made twice. A table that gives any sentence here must not be published.
"""

import math
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.dispatch.terms import Terms

#: Relative error of sums that are done in another order.
ROUNDING = 1e-6


class _Known:
    """The facts by name, with this file's own margins."""

    def __init__(self, backends: Sequence[Backend], classes: Sequence[RequestClass], terms: Terms) -> None:
        self.terms = terms
        self.backends = {backend.name: backend for backend in backends}
        self.classes = {asked.name: asked for asked in classes}
        self.capacity = {backend.name: self._capacity(backend) for backend in backends}
        self.demand = {asked.name: self._demand(asked) for asked in classes}

    def most(self, backend: Backend) -> float:
        terms = self.terms
        if backend.draining or backend.age_s > terms.expire_s or backend.age_s < 0.0:
            return 0.0
        lost = terms.capacity_loss_per_s * (backend.age_s + terms.interval_s)
        return max(0.0, backend.usable_rps * (1.0 - lost))

    def _capacity(self, backend: Backend) -> float:
        most = self.most(backend)
        return self.terms.fill * (backend.usable_rps if self.terms.held and most > 0.0 else most)

    def _demand(self, asked: RequestClass) -> float:
        unseen_s = 0.0 if self.terms.held else asked.age_s + self.terms.interval_s
        rise = self.terms.demand_growth_per_s * unseen_s
        one = 1.0 / self.terms.interval_s
        return max(asked.rate_rps + asked.rate_rps * rise, asked.forecast_rps or 0.0, one)

    def slow(self, backend: Backend, asked: RequestClass) -> float:
        """The share of the backend's requests that may be slower than the class bears."""
        if asked.limit_s is None:
            return 0.0
        counts = backend.latency.counts if backend.latency else ()
        seen = sum(counts)
        if backend.latency is None or not seen:
            return 1.0
        slow = seen
        for bound, count in zip(backend.latency.bounds_s, counts, strict=False):
            if bound <= asked.limit_s:
                slow -= count
        return min(1.0, slow / seen + math.sqrt(math.log(2.0 / self.terms.doubt) / 2.0 / seen))

    def cost(self, backend: Backend, asked: RequestClass) -> float:
        return backend.marginal_cost + backend.egress_cost * asked.egress_bytes


def faults(
    table: Table,
    backends: Sequence[Backend],
    classes: Sequence[RequestClass],
    terms: Terms,
    last: Table | None = None,
) -> list[str]:
    """One sentence for each limit that the table breaks; empty for a good one. `last` is the one in force."""
    known = _Known(backends, classes, terms)
    shape = list(_shape(table, known))
    if shape:
        return shape
    if not (math.isfinite(table.certificate.cost) and math.isfinite(table.certificate.lower_bound)):
        return ["the certificate has no finite cost"]
    found = [
        *_promises(table, known),
        *_limits(table, known),
        *_overloads(table, known),
        *_proof(table, known),
    ]
    if last is not None and not table.safety:
        found += _motion(table, last, known)
    return found


def _shape(table: Table, known: _Known) -> Iterator[str]:
    for name in known.classes.keys() - table.planned_rps.keys():
        yield f"class {name} is missing"
    for name, planned in table.planned_rps.items():
        if name not in known.classes:
            yield f"class {name} is not known"
            continue
        if not planned >= known.demand[name] * (1.0 - ROUNDING):
            yield f"class {name} may ask for {known.demand[name]:g} rps, the table holds up to {planned:g}"
        yield from _weights(name, table, known)
    for name in table.weights.keys() | table.refused.keys():
        if name not in table.planned_rps:
            yield f"class {name} has weights and no demand"


def _weights(name: str, table: Table, known: _Known) -> Iterator[str]:
    weights, refused = table.weights.get(name, {}), table.refused.get(name, 0.0)
    planned = table.planned_rps[name]
    if not 0.0 <= refused <= 1.0:
        yield f"class {name} is refused by {refused}, which is no share"
    if sum(weights.values()) != table.parts and (weights or (refused < 1.0 and planned > 0.0)):
        yield f"the weights of class {name} sum to {sum(weights.values())}, not {table.parts}"
    for backend, parts in weights.items():
        if backend not in known.backends:
            yield f"class {name} names backend {backend}, which is not known"
        elif parts <= 0:
            yield f"class {name} gives {backend} {parts} parts"


def _promises(table: Table, known: _Known) -> Iterator[str]:
    for name, weights in table.weights.items():
        asked = known.classes[name]
        mixed = 0.0
        for label, parts in weights.items():
            backend = known.backends[label]
            if backend.regions and asked.region and asked.region not in backend.regions:
                yield f"{label} does not serve region {asked.region} of class {name}"
            slow = known.slow(backend, asked)
            mixed += slow * parts / table.parts
            if not known.terms.mixture and slow > 1.0 - asked.percentile + 1e-12:
                yield f"{label} is too slow for class {name} in up to {slow:.2%} of requests"
        if mixed > 1.0 - asked.percentile + 1e-12:
            yield f"class {name} is too slow in up to {mixed:.2%} of requests"


def _loads(table: Table, gone: AbstractSet[str] = frozenset()) -> dict[str, float] | None:
    """What each backend gets when some are gone; None if a class has none left."""
    loads: dict[str, float] = {}
    for name, weights in table.weights.items():
        left = sum(parts for label, parts in weights.items() if label not in gone)
        if left == 0:
            return None
        rate = table.planned_rps[name] * (1.0 - table.refused.get(name, 0.0))
        for label, parts in weights.items():
            if label not in gone:
                loads[label] = loads.get(label, 0.0) + rate * parts / left
    return loads


def _limits(table: Table, known: _Known) -> Iterator[str]:
    for label in {label for weights in table.weights.values() for label in weights}:
        most, able = table.most_rps.get(label, math.inf), known.most(known.backends[label])
        if not most <= able * (1.0 + ROUNDING):
            yield f"{label} is held to {most:g} rps and can take {able:g}"


def _overloads(table: Table, known: _Known) -> Iterator[str]:
    for label, load in (_loads(table) or {}).items():
        if load > known.capacity[label] * (1.0 + ROUNDING):
            yield f"{label} would get {load:g} rps and can be relied on for {known.capacity[label]:g}"
    if not table.absorbs_loss:
        return
    members: dict[str, set[str]] = {}
    for label in {label for weights in table.weights.values() for label in weights}:
        if known.backends[label].domain:
            members.setdefault(known.backends[label].domain, set()).add(label)
    for domain, labels in sorted(members.items()):
        loads = _loads(table, labels)
        if loads is None:
            yield f"with {domain} lost a class has no backend, though the table says that it may be lost"
            continue
        over = [label for label, load in loads.items() if load > known.capacity[label] * (1.0 + ROUNDING)]
        if over:
            yield f"with {domain} lost {min(over)} is over its capacity, though the table says otherwise"


def _proof(table: Table, known: _Known) -> Iterator[str]:
    """The cost and the lower bound, from the table's own prices."""
    proof, cost = table.certificate, 0.0
    for name, asked in known.classes.items():
        rate, refused = table.planned_rps[name], table.refused.get(name, 0.0)
        cost += rate * refused * asked.shed_price
        for label, parts in table.weights.get(name, {}).items():
            cost += rate * (1.0 - refused) * parts / table.parts * known.cost(known.backends[label], asked)
    if not math.isclose(cost, proof.cost, rel_tol=ROUNDING, abs_tol=1e-15):
        yield f"the table costs {cost:g} per second, its certificate says {proof.cost:g}"
    bound = _bound(table, known)
    if proof.lower_bound > bound + ROUNDING * max(abs(bound), cost):
        yield f"the certificate's lower bound is {proof.lower_bound:g}, its prices prove {bound:g}"


def _bound(table: Table, known: _Known) -> float:
    proof = table.certificate
    part = sum(table.planned_rps.values()) / table.parts
    rounding = len(known.backends) / table.parts if known.terms.mixture else 0.0
    bound = sum(
        min(proof.prices[name], asked.shed_price) * table.planned_rps[name]
        for name, asked in known.classes.items()
    )
    places: list[tuple[float, float]] = []
    for label, backend in known.backends.items():
        most, capacity = 0.0, max(known.capacity[label] - part, 0.0)
        for name, asked in known.classes.items():
            bears, slow = 1.0 - asked.percentile, known.slow(backend, asked)
            elsewhere = backend.regions and asked.region and asked.region not in backend.regions
            if elsewhere or slow >= 1.0 or (not known.terms.mixture and slow > bears):
                continue
            promise = proof.promise_prices[name] * (slow - bears + rounding)
            earned = min(proof.prices[name], asked.shed_price) - known.cost(backend, asked) - promise
            most = max(most, earned)
        places.append((most, capacity))
    left = sum(table.planned_rps.values())
    for most, capacity in sorted(places, reverse=True):
        bound -= most * min(capacity, left)
        left -= min(capacity, left)
    return bound


def _motion(table: Table, last: Table, known: _Known) -> Iterator[str]:
    for name in table.weights.keys() & last.weights.keys():
        now, then = table.weights[name], last.weights[name]
        moved = sum(
            abs(now.get(label, 0) / table.parts - then.get(label, 0) / last.parts)
            for label in now.keys() | then.keys()
        )
        rounding = len(known.backends) / table.parts
        if moved > known.terms.motion + rounding + ROUNDING:
            yield f"class {name} moves by {moved:.3f}, more than {known.terms.motion:g}"
