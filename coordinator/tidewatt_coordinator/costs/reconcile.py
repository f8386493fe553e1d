"""How far each source is from the invoice.

The bill's source is compared with the invoices that were typed in, for the whole month. Every other
source is compared with the bill's source: over the services that it covers, and over the days that
both have.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec

from tidewatt_coordinator.costs.attribution import within
from tidewatt_coordinator.costs.charge import Charge, amount, currency_code, total
from tidewatt_coordinator.costs.days import DAY_MS, HOUR_MS, Window, month
from tidewatt_coordinator.costs.settings import Invoice

#: A longer charge says nothing about which days its source has: a support fee has them all.
DAY_LONG_MS = DAY_MS + HOUR_MS
HUNDREDTH = Decimal("0.01")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One source's error in one currency; amounts are billed ones."""

    source: str
    against: str
    """"invoice", or the bill's source; empty if there is nothing to compare with."""
    currency: str
    days: int
    """Days of UTC over which both were summed."""
    missing_days: int
    """Days that only the other side has: they are in neither sum."""
    amount: Decimal
    invoice: Decimal | None
    difference: Decimal | None
    percent: Decimal | None
    """Of the invoice; None where that is zero."""


def reconcile(
    window: Window,
    charges: Iterable[Charge],
    *,
    bill: str,
    invoices: Sequence[Invoice],
    covers: Mapping[str, Sequence[str]],
) -> list[Line]:
    """A line for each source (but the edge's own) and currency, over a month.

    `covers` has the bill's services by estimating source; a source without an entry covers all.
    CostError for an invoice that can't be read.
    """
    held: dict[tuple[str, str], list[Charge]] = {}
    for charge in charges:
        if (part := within(charge, window)) is not None and charge.source != "edge":
            held.setdefault((charge.source, charge.currency), []).append(part)
    papers = invoiced(window, invoices)
    lines = []
    for (source, currency), mine in sorted(held.items()):
        paid = held.get((bill, currency), [])
        services = covers.get(source, ())
        if source != bill and paid:
            lines.append(_against_bill(source, currency, mine, bill, _of(paid, services)))
        else:
            lines.append(_against_paper(source, currency, mine, None if services else papers.get(currency)))
    return lines


def invoiced(window: Window, invoices: Iterable[Invoice]) -> dict[str, Decimal]:
    """The month's invoices, summed by currency."""
    sums: dict[str, Decimal] = {}
    for number, one in enumerate(invoices):
        where = f"costs.invoices[{number}]"
        if month(one.month, f"{where}.month") == window:
            currency = currency_code(one.currency, f"{where}.currency")
            sums[currency] = sums.get(currency, Decimal(0)) + amount(one.amount, f"{where}.amount")
    return sums


def days(charges: Iterable[Charge]) -> set[int]:
    """The days of UTC, as numbers, of which charges of a day or less speak."""
    return {
        day
        for charge in charges
        if charge.end_ms - charge.start_ms <= DAY_LONG_MS
        for day in range(charge.start_ms // DAY_MS, (charge.end_ms - 1) // DAY_MS + 1)
    }


def _of(charges: Sequence[Charge], services: Sequence[str]) -> list[Charge]:
    return [charge for charge in charges if not services or charge.service in services]


def _against_bill(
    source: str, currency: str, mine: Sequence[Charge], bill: str, paid: Sequence[Charge]
) -> Line:
    both = days(mine) & days(paid)
    compared, truth = _sum(mine, both), _sum(paid, both)
    return Line(
        source=source,
        against=bill,
        currency=currency,
        days=len(both),
        missing_days=len(days(mine) ^ days(paid)),
        amount=compared,
        **_error(compared, truth if both else None),
    )


def _against_paper(source: str, currency: str, mine: Sequence[Charge], paper: Decimal | None) -> Line:
    compared = total(charge.billed for charge in mine)
    return Line(
        source=source,
        against="" if paper is None else "invoice",
        currency=currency,
        days=len(days(mine)),
        missing_days=0,
        amount=compared,
        **_error(compared, paper),
    )


def _error(compared: Decimal, truth: Decimal | None) -> dict[str, Decimal | None]:
    if truth is None:
        return {"invoice": None, "difference": None, "percent": None}
    difference = compared - truth
    percent = (difference / abs(truth) * 100).quantize(HUNDREDTH) if truth else None
    return {"invoice": truth, "difference": difference, "percent": percent}


def _sum(charges: Iterable[Charge], of_days: set[int]) -> Decimal:
    """What charges of these days cost; of a charge over many days the part that lies in them."""
    found = Decimal(0)
    for charge in charges:
        for day in range(charge.start_ms // DAY_MS, (charge.end_ms - 1) // DAY_MS + 1):
            if day in of_days and (part := within(charge, Window(day * DAY_MS, (day + 1) * DAY_MS))):
                found += part.billed
    return found
