"""What a request costs, and how much energy it takes. Pure.

What isn't measured is None: the cloud's charges tell no requests, and a request's cost there
is unknown, not zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tidewatt_coordinator.questions.rows import Cost, Key, Use, added
from tidewatt_wire.units import MILLIJOULES_PER_JOULE

#: A request's cost is kept to this: routed at the edge it is some nanodollars.
FINEST = Decimal("1E-18")


@dataclass(frozen=True, kw_only=True)
class UnitCost:
    """One group's cost and use, in one currency. `effective` decides, `billed` is paid, `marginal` routes."""

    key: Key
    currency: str | None
    """None where nothing of it costs anything that is known."""
    billed: Decimal | None
    effective: Decimal | None
    marginal: Decimal | None
    requests: int | None
    energy_mj: int | None
    billed_per_request: Decimal | None
    effective_per_request: Decimal | None
    marginal_per_request: Decimal | None
    joules_per_request: Decimal | None


def per_request(costs: Iterable[Cost], uses: Iterable[Use]) -> list[UnitCost]:
    """Both sides by their keys; the costs sum to those given. The dearest first, unknown costs last.

    A group that pays in two currencies stands there twice, each time with all its requests.
    """
    used = {use.key: use for use in uses}
    paid = list(costs)
    found = [_of(cost.key, cost, used.get(cost.key)) for cost in paid]
    unpaid = used.keys() - {cost.key for cost in paid}
    found += [_of(key, None, used[key]) for key in unpaid]
    return sorted(found, key=lambda one: (one.currency or "~", -(one.effective or Decimal(0)), one.key))


def whole(rows: Sequence[UnitCost], uses: Iterable[Use]) -> list[UnitCost]:
    """The totals by currency, each with all requests."""
    use: Use | None = None
    for one in uses:
        before = use or Use(key=("total",), energy_mj=0, requests=0)
        use = Use(
            key=("total",),
            energy_mj=before.energy_mj + one.energy_mj,
            requests=before.requests + one.requests,
        )
    sums: dict[str, Cost] = {}
    for row in rows:
        if row.currency is None or row.billed is None or row.effective is None:
            continue
        before_sum = sums.get(row.currency)
        sums[row.currency] = Cost(
            key=("total",),
            currency=row.currency,
            billed=row.billed + (before_sum.billed if before_sum else 0),
            effective=row.effective + (before_sum.effective if before_sum else 0),
            marginal=added(row.marginal, before_sum.marginal if before_sum else None),
        )
    return [_of(("total",), sums[currency], use) for currency in sorted(sums)]


def _of(key: Key, cost: Cost | None, use: Use | None) -> UnitCost:
    requests = use.requests if use else None
    return UnitCost(
        key=key,
        currency=cost.currency if cost else None,
        billed=cost.billed if cost else None,
        effective=cost.effective if cost else None,
        marginal=cost.marginal if cost else None,
        requests=requests,
        energy_mj=use.energy_mj if use else None,
        billed_per_request=_per(cost.billed if cost else None, requests),
        effective_per_request=_per(cost.effective if cost else None, requests),
        marginal_per_request=_per(cost.marginal if cost else None, requests),
        joules_per_request=_per(Decimal(use.energy_mj) / MILLIJOULES_PER_JOULE if use else None, requests),
    )


def _per(amount: Decimal | None, requests: int | None) -> Decimal | None:
    # Some precision is lost here and nowhere else: the sums themselves stay exact.
    return (amount / requests).quantize(FINEST) if amount is not None and requests else None
