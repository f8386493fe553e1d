"""Why a table is as it is, in sentences. Pure."""

from collections.abc import Iterator

from tidewatt_coordinator.dispatch.backends import Backend
from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.latency import slow_share
from tidewatt_coordinator.dispatch.staleness import capacity_floor
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.dispatch.terms import Terms

MILLION = 1_000_000.0
HOUR_S = 3600.0


def explain(
    table: Table,
    backends: list[Backend],
    classes: list[RequestClass],
    terms: Terms,
    currency: str,
    only: str = "",
    most: int = 20,
) -> Iterator[str]:
    """The table, then each class (or `only` one) with its backends; of these, `most` that get something and
    as many that don't.
    """
    proof = table.certificate
    yield (
        f"It costs {proof.cost * HOUR_S:.4f} {currency} an hour, at most {max(0.0, proof.gap):.2%} above the "
        f"cheapest that is possible: {proof.binding}."
    )
    for site in proof.sites[:most]:
        yield f"By the shadow price, {site.sentence} ({currency})."
    yield (
        "Any one site or zone may be lost without overload of the others."
        if table.absorbs_loss
        else "If a site or zone is lost, the others will be over what they can be relied on for."
    )
    if table.safety:
        yield "Weights moved farther than they usually may, for safety or by an order."
    if table.held:
        yield "Nothing moved, since it was not worth it."
    for asked in classes:
        if only in ("", asked.name):
            yield from _class(table, asked, backends, terms, currency, most)


def _class(
    table: Table, asked: RequestClass, backends: list[Backend], terms: Terms, currency: str, most: int
) -> Iterator[str]:
    promise = f", {asked.percentile:.1%} within {asked.limit_s * 1000:g} ms" if asked.limit_s else ""
    forecast = "" if asked.forecast_rps is None else f", forecast {asked.forecast_rps:.1f} rps"
    yield (
        f"Class {asked.name}{promise}: measured {asked.rate_rps:.1f} rps {asked.age_s:.0f} s ago{forecast}, "
        f"planned for {table.planned_rps[asked.name]:.1f} rps."
    )
    if refused := table.refused.get(asked.name):
        yield f"{refused:.2%} of {asked.name} is refused, at {asked.shed_price:g} {currency} each."
    weights = table.weights.get(asked.name, {})
    used = sorted((one for one in backends if one.name in weights), key=lambda one: -weights[one.name])
    for one in used[:most]:
        share = weights[one.name] / table.parts
        yield (
            f"{one.name} gets {share:.2%} of {asked.name} at {_cost(one, asked) * MILLION:.4f} {currency} a "
            f"million; of its {one.usable_rps:.0f} rps, known {one.age_s:.0f} s ago, "
            f"{capacity_floor(one, terms):.0f} are relied on."
        )
    yield from _rest(len(used) - most, "more get something")
    idle = sorted((one for one in backends if one.name not in weights), key=lambda one: _cost(one, asked))
    for one in idle[:most]:
        yield f"{one.name} gets nothing of {asked.name}: {why_not(one, asked, terms, table)}."
    yield from _rest(len(idle) - most, "more get nothing")


def _rest(left: int, what: str) -> Iterator[str]:
    if left > 0:
        yield f"{left} {what}."


def why_not(one: Backend, asked: RequestClass, terms: Terms, table: Table) -> str:
    """Why a backend gets nothing of a class."""
    if not _is_able(one, terms):
        return _inability(one, terms)
    if one.regions and asked.region and asked.region not in one.regions:
        return f"it does not serve region {asked.region}"
    slow = slow_share(one.latency, asked.limit_s, terms.doubt)
    if slow > 1.0 - asked.percentile and not terms.mixture:
        known = f"up to {slow:.2%} of requests are slower" if one.latency else "its latency is not known"
        return f"it can't keep the promise: {known}"
    if _cost(one, asked) > table.certificate.prices.get(asked.name, 0.0):
        return f"it is dearer than what serves ({_cost(one, asked) * MILLION:.4f} a million)"
    return "what serves costs no more, and moving is not worth it"


def _is_able(one: Backend, terms: Terms) -> bool:
    return capacity_floor(one, terms) > 0.0


def _inability(one: Backend, terms: Terms) -> str:
    if one.draining:
        return "it is draining"
    if one.age_s > terms.expire_s:
        return f"nothing was heard of it for {one.age_s:.0f} s"
    return "it has no capacity that can be relied on"


def _cost(one: Backend, asked: RequestClass) -> float:
    return one.marginal_cost + one.egress_cost * asked.egress_bytes
