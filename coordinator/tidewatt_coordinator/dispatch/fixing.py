"""A table in which the weights of some classes are given: by an operator's word, or for want of knowledge.

The other classes get the cheapest of what capacity is left. The certificate is over all of them, so its gap
shows what the given weights cost. Pure; whether such a table may be published is the checker's to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.motion import shares_of
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool, survey
from tidewatt_coordinator.dispatch.solving import optimum, permitted
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.dispatch.terms import Terms
from tidewatt_coordinator.dispatch.weighing import domains, made, old_shares

#: Weights by backend; None: in proportion to the capacity of all that keep the class's promise alone.
Given = Mapping[str, float] | None


def fixed_table(
    backends: Sequence[Backend],
    classes: Sequence[RequestClass],
    terms: Terms,
    given: Mapping[str, Given],
    last: Table | None = None,
) -> Table:
    """The table with the `given` weights by class; what is draining or not known gets none of them, and the
    others of the class get its part. Raises general.Unsolved.
    """
    backends = sorted(backends, key=lambda backend: backend.name)
    classes = sorted(classes, key=lambda asked: asked.name)
    pool = survey(backends, classes, terms)
    domain, allowed = domains(backends), permitted(pool, mixture=terms.mixture)
    best = optimum(pool, domain, terms)
    fixed = np.array([asked.name in given for asked in classes], dtype=np.bool_)
    shares = _given(backends, classes, pool, given)
    # A class of which no given backend is left is served as if nothing had been given.
    fixed &= shares.sum(axis=0) > 0.0
    admitted = np.where(fixed, pool.demand, 0.0)
    if not fixed.all():
        rest = _rest(pool, ~fixed, (shares * admitted[None, :]).sum(axis=1))
        plan = optimum(rest, domain, terms)
        shares[:, ~fixed] = shares_of(plan)
        admitted[~fixed] = plan.admitted
    plan = Plan(shares * admitted[None, :], admitted, best.price, best.promise_price, best.solver)
    old, had = old_shares(backends, classes, last)
    moved = np.abs(shares - old)[:, had].sum(axis=0).max(initial=0.0)
    return made(
        backends, classes, terms, pool, allowed, plan, shares, safety=bool(moved > terms.motion), held=False
    )


def _given(
    backends: Sequence[Backend],
    classes: Sequence[RequestClass],
    pool: Pool,
    given: Mapping[str, Given],
) -> Floats:
    """(n, K) shares of the classes that are given; a column sums to 1 or, where none is left, to 0."""
    shares = np.zeros((len(backends), len(classes)))
    draining = np.array([backend.draining for backend in backends], dtype=np.bool_)
    for k, asked in enumerate(classes):
        if asked.name not in given:
            continue
        weights = given[asked.name]
        shares[:, k] = (
            np.where(pool.keeps[:, k], pool.capacity, 0.0)
            if weights is None
            else [float(weights.get(backend.name, 0.0)) for backend in backends]
        )
        shares[draining, k] = 0.0
    total = shares.sum(axis=0)
    return np.asarray(shares / np.where(total > 0.0, total, 1.0)[None, :])


def _rest(pool: Pool, some: Flags, load: Floats) -> Pool:
    """These classes, with the capacity that the others' load leaves."""
    left = np.maximum(pool.capacity - load, 0.0)
    return replace(
        pool,
        capacity=left,
        bytes=pool.bytes[some],
        demand=pool.demand[some],
        slow=pool.slow[:, some],
        bearable=pool.bearable[some],
        served=pool.served[:, some] & (left > 0.0)[:, None],
        shed_price=pool.shed_price[some],
    )
