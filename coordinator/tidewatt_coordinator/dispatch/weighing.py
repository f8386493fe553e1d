"""From what is known to the table that is published. Pure: decisions only, no signing, no sending."""

from collections.abc import Sequence

import numpy as np

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.certificate import certify
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.motion import moved
from tidewatt_coordinator.dispatch.plan import Plan
from tidewatt_coordinator.dispatch.pool import Flags, Floats, Pool, Whole, survey
from tidewatt_coordinator.dispatch.quantise import parts_for, whole_parts
from tidewatt_coordinator.dispatch.reserve import absorbs
from tidewatt_coordinator.dispatch.solving import optimum, permitted
from tidewatt_coordinator.dispatch.staleness import most_rps
from tidewatt_coordinator.dispatch.table import Certificate, Table
from tidewatt_coordinator.dispatch.terms import Terms


def next_table(
    backends: Sequence[Backend], classes: Sequence[RequestClass], terms: Terms, last: Table | None = None
) -> Table:
    """The table for now; `last` is the one in force. Names must be unique. Raises general.Unsolved."""
    backends = sorted(backends, key=lambda backend: backend.name)
    classes = sorted(classes, key=lambda asked: asked.name)
    pool = survey(backends, classes, terms)
    domain = domains(backends)
    plan = optimum(pool, domain, terms)
    allowed = permitted(pool, mixture=terms.mixture)
    old, had = old_shares(backends, classes, last)
    unsafe = terms.absorb_loss and not absorbs(old * plan.admitted[None, :], pool.capacity, domain)
    step = moved(
        old,
        had,
        plan,
        pool,
        allowed,
        bound=terms.motion,
        hysteresis=-np.inf if unsafe else terms.hysteresis,
        mixture=terms.mixture,
    )
    return made(
        backends, classes, terms, pool, allowed, plan, step.shares, safety=step.safety, held=step.held
    )


def made(
    backends: Sequence[Backend],
    classes: Sequence[RequestClass],
    terms: Terms,
    pool: Pool,
    allowed: Flags,
    plan: Plan,
    shares: Floats,
    *,
    safety: bool,
    held: bool,
) -> Table:
    """The table of (n, K) shares of what the plan admits; backends and classes in order of their names."""
    parts = parts_for(len(backends), terms.parts)
    whole = _whole(shares, plan, parts)
    certificate = certify(backends, classes, pool, allowed, plan, whole / parts)
    return Table(
        parts=parts,
        weights=_named(whole, backends, classes),
        refused=_refused(pool, plan, classes),
        planned_rps={asked.name: float(rate) for asked, rate in zip(classes, pool.demand, strict=True)},
        most_rps={backends[row].name: most_rps(backends[row], terms) for row in _used(whole)},
        absorbs_loss=absorbs(whole / parts * plan.admitted[None, :], pool.capacity, domains(backends)),
        safety=safety,
        held=held,
        solver=plan.solver,
        certificate=certificate,
        reason=_reason(pool, certificate, whole),
    )


def domains(backends: Sequence[Backend]) -> Whole:
    """(n,) the number of each one's failure domain, -1 for none."""
    names = sorted({backend.domain for backend in backends if backend.domain})
    number = {name: place for place, name in enumerate(names)} | {"": -1}
    return np.array([number[backend.domain] for backend in backends], dtype=np.int64)


def old_shares(
    backends: Sequence[Backend], classes: Sequence[RequestClass], last: Table | None
) -> tuple[Floats, Flags]:
    """(n, K) in force, and (K,) whether a class had any; what went to backends that are gone is missing."""
    shares = np.zeros((len(backends), len(classes)))
    row = {backend.name: place for place, backend in enumerate(backends)}
    for k, asked in enumerate(classes):
        for name, parts in (last.weights.get(asked.name, {}) if last else {}).items():
            if last and name in row:
                shares[row[name], k] = parts / last.parts
    had = np.array([bool(last and last.weights.get(asked.name)) for asked in classes], dtype=np.bool_)
    return shares, had


def _whole(shares: Floats, plan: Plan, parts: int) -> Whole:
    whole = np.zeros(shares.shape, dtype=np.int64)
    for k in np.flatnonzero((plan.admitted > 0.0) & (shares.sum(axis=0) > 0.0)):
        whole[:, k] = whole_parts(shares[:, k], parts)
    return whole


def _named(
    whole: Whole, backends: Sequence[Backend], classes: Sequence[RequestClass]
) -> dict[str, dict[str, int]]:
    return {
        asked.name: {backends[row].name: int(whole[row, k]) for row in np.flatnonzero(whole[:, k]).tolist()}
        for k, asked in enumerate(classes)
        if whole[:, k].any()
    }


def _used(whole: Whole) -> list[int]:
    return [int(row) for row in np.flatnonzero(whole.any(axis=1))] if whole.size else []


def _refused(pool: Pool, plan: Plan, classes: Sequence[RequestClass]) -> dict[str, float]:
    missing = pool.demand - plan.admitted
    return {
        asked.name: float(missing[k] / pool.demand[k]) for k, asked in enumerate(classes) if missing[k] > 0.0
    }


def _reason(pool: Pool, certificate: Certificate, whole: Whole) -> str:
    used = len(_used(whole))
    return (
        f"{float(pool.demand.sum()):.0f} rps over {used} of {len(pool.cost)} backends, at most "
        f"{max(0.0, certificate.gap):.2%} above the cheapest: {certificate.binding}"
    )
