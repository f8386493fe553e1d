"""What was paid for and not needed. Pure.

Each cent is counted once: a device that served nothing is unused with all it costs; of the
others the energy of hours without a request is idle, and of the energy of the other hours
what is above that of its like. Kubernetes' idle share is OpenCost's estimate.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Literal

import msgspec

from tidewatt_coordinator.costs.charge import SMALLEST
from tidewatt_coordinator.questions.rows import Cost, kilowatt_hours

Kind = Literal["unused", "idle", "inefficient", "cluster_idle"]

#: A device is called inefficient from so many times the energy per request of its like on.
MUCH_MORE = 1.25
#: Fewer devices of a kind say nothing of what is usual, fewer requests nothing of a device.
LEAST_ALIKE, LEAST_REQUESTS = 4, 1000
#: OpenCost's name of what nobody asked for.
IDLE_ALLOCATION = "__idle__"


class Worked(msgspec.Struct, frozen=True, kw_only=True):
    """What a device did in a window."""

    device: str
    site: str
    model: str
    """What devices are alike by."""
    idle_mj: int
    """Energy in hours without a request."""
    busy_mj: int
    requests: int


@dataclass(frozen=True, kw_only=True)
class Waste:
    """Money that bought nothing."""

    kind: Kind
    what: str
    site: str
    currency: str
    amount: Decimal
    sentence: str


def wasted(
    worked: Sequence[Worked],
    by_device: Iterable[Cost],
    prices: Mapping[tuple[str, str], Decimal],
    cluster: Iterable[Cost],
) -> list[Waste]:
    """All of it, the most first.

    `by_device`: all costs with the key (device,); `prices`: of a kWh by site and currency;
    `cluster`: OpenCost's costs with the key (resource,).
    """
    paid: dict[str, list[Cost]] = {}
    for cost in by_device:
        paid.setdefault(cost.key[0], []).append(cost)
    usual = _usual(worked)
    found: list[Waste] = []
    for one in worked:
        if not one.requests:
            found += [_unused(one, cost) for cost in paid.get(one.device, [])]
            continue
        for (site, currency), price in prices.items():
            if site == one.site:
                found += _energy(one, usual.get(one.model), currency, price)
    found += [_idle_cluster(cost) for cost in cluster if cost.key[0] == IDLE_ALLOCATION]
    kept = (waste for waste in found if waste.amount > 0)
    return sorted(kept, key=lambda waste: (waste.currency, -waste.amount, waste.kind, waste.what))


def summed(found: Iterable[Waste]) -> dict[tuple[str, str], Decimal]:
    """By kind and currency."""
    sums: dict[tuple[str, str], Decimal] = {}
    for one in found:
        key = (one.kind, one.currency)
        sums[key] = sums.get(key, Decimal(0)) + one.amount
    return sums


def kwh_prices(costs: Iterable[Cost]) -> dict[tuple[str, str], Decimal]:
    """What a kWh cost on the mean by site and currency, from electricity's costs with the key (site,)."""
    return {
        (cost.key[0], cost.currency): cost.effective / cost.quantity
        for cost in costs
        if cost.quantity and cost.effective > 0
    }


def _usual(worked: Iterable[Worked]) -> dict[str, float]:
    """The median energy per request of busy hours in mJ, of the models that enough devices are of."""
    by_model: dict[str, list[float]] = {}
    for one in worked:
        if one.requests >= LEAST_REQUESTS:
            by_model.setdefault(one.model, []).append(one.busy_mj / one.requests)
    return {model: median(some) for model, some in by_model.items() if len(some) >= LEAST_ALIKE}


def _unused(one: Worked, cost: Cost) -> Waste:
    return Waste(
        kind="unused",
        what=one.device,
        site=one.site,
        currency=cost.currency,
        amount=cost.effective,
        sentence=f"{one.device} served no request and cost {cost.effective:,.2f} {cost.currency}",
    )


def _energy(one: Worked, usual: float | None, currency: str, price: Decimal) -> Iterable[Waste]:
    kwh = kilowatt_hours(one.idle_mj)
    amount = (kwh * price).quantize(SMALLEST)
    yield Waste(
        kind="idle",
        what=one.device,
        site=one.site,
        currency=currency,
        amount=amount,
        sentence=f"{one.device} used {kwh:,.2f} kWh in hours without a request: {amount:,.2f} {currency}",
    )
    own = one.busy_mj / one.requests
    if usual is None or one.requests < LEAST_REQUESTS or own < MUCH_MORE * usual:
        return
    amount = (kilowatt_hours(one.busy_mj - round(usual * one.requests)) * price).quantize(SMALLEST)
    yield Waste(
        kind="inefficient",
        what=one.device,
        site=one.site,
        currency=currency,
        amount=amount,
        sentence=f"{one.device} takes {own / 1000:.3g} J for a request, its like {usual / 1000:.3g} J: "
        f"{amount:,.2f} {currency}",
    )


def _idle_cluster(cost: Cost) -> Waste:
    return Waste(
        kind="cluster_idle",
        what="Kubernetes",
        site="",
        currency=cost.currency,
        amount=cost.effective,
        sentence=f"Kubernetes' nodes stood idle for {cost.effective:,.2f} {cost.currency}, "
        "by OpenCost's estimate",
    )
