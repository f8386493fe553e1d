"""A table as the wire has it. Pure.

Inside, costs are per second and what is refused is a share of the demand; on the wire they are per hour and
in parts of the class's sum.
"""

import math

from tidewatt_coordinator.dispatch.classes import RequestClass
from tidewatt_coordinator.dispatch.overflow import in_flight
from tidewatt_coordinator.dispatch.quantise import largest_remainder
from tidewatt_coordinator.dispatch.table import Table
from tidewatt_coordinator.steering.choosing import Chosen
from tidewatt_coordinator.steering.settings import EVERYTHING
from tidewatt_wire.messages import Certificate, ClassWeights, DispatchTable

HOUR_S = 3600.0
#: A gap beyond this is no gap but a bound of nothing.
MOST_GAP = 1e9


def message(
    chosen: Chosen,
    classes: list[RequestClass],
    *,
    fleet: str,
    epoch: int,
    now_ms: int,
    valid_ms: int,
    currency: str,
) -> DispatchTable:
    """The message, not yet sealed."""
    table = chosen.table
    most = in_flight(table, chosen.shown)
    together = [one.name for one in classes] == [EVERYTHING] and not table.refused
    return DispatchTable(
        fleet=fleet,
        epoch=epoch,
        issued_at_ms=now_ms,
        expires_at_ms=now_ms + valid_ms,
        weights=of_all(table),
        most_in_flight=_of_all_classes(most),
        reason="; ".join([table.reason, *chosen.notes]),
        classes=[] if together else [of_class(table, one.name, most.get(one.name, {})) for one in classes],
        safe=_safe(chosen.safe, classes),
        certificate=_certificate(table, currency),
    )


def of_class(table: Table, name: str, most: dict[str, int]) -> ClassWeights:
    """One class: what is served keeps its parts, and what is refused comes on top of them. `most`: requests
    in flight by backend.
    """
    weights = table.weights.get(name, {})
    refused = min(max(table.refused.get(name, 0.0), 0.0), 1.0)
    if refused >= 1.0 or not weights:
        return ClassWeights(name=name, weights={}, shed=table.parts if refused > 0.0 else 0)
    # parts / (parts + shed) is served; rounded up, so that it is never more than planned.
    shed = math.ceil(table.parts * refused / (1.0 - refused) - 1e-9)
    if shed > 2**52:
        return ClassWeights(name=name, weights={}, shed=table.parts)
    return ClassWeights(name=name, weights=weights, shed=shed, most_in_flight=most)


def of_all(table: Table) -> dict[str, int]:
    """The weights of all requests together: of what is served of each class, by its demand."""
    shares: dict[str, float] = {}
    for name, weights in table.weights.items():
        rate = table.planned_rps[name] * (1.0 - table.refused.get(name, 0.0))
        for backend, parts in weights.items():
            shares[backend] = shares.get(backend, 0.0) + rate * parts / table.parts
    if not sum(shares.values()) > 0.0:
        return {}
    return {name: parts for name, parts in largest_remainder(shares, table.parts).items() if parts}


def _of_all_classes(most: dict[str, dict[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for found in most.values():
        for name, count in found.items():
            sums[name] = sums.get(name, 0) + count
    return sums


def _safe(safe: Table | None, classes: list[RequestClass]) -> list[ClassWeights]:
    if safe is None:
        return []
    found = [ClassWeights(name=EVERYTHING, weights=of_all(safe))]
    found += [
        ClassWeights(name=one.name, weights=safe.weights.get(one.name, {}))
        for one in classes
        if one.name != EVERYTHING
    ]
    return [one for one in found if one.weights]


def _certificate(table: Table, currency: str) -> Certificate:
    proof = table.certificate
    return Certificate(
        cost_per_hour=proof.cost * HOUR_S,
        bound_per_hour=proof.lower_bound * HOUR_S,
        gap=min(max(proof.gap, 0.0), MOST_GAP),
        currency=currency,
        binding=proof.binding,
        shadow_per_day={one.domain or "edge": one.saves_per_day for one in proof.sites},
    )
