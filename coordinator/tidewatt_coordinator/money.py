"""Exact money: Decimal all the way, rounded only where somebody looks. Pure."""

from collections.abc import Iterable, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_FLOOR, Clamped, Context, Decimal, Inexact, InvalidOperation

#: Sums and products of prices and quantities are exact in this context or an error, never rounded.
EXACT = Context(prec=400, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation, Clamped])

#: The same where a division does not end, and where an amount is cut to what is shown.
ROUNDING = Context(prec=400, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])

#: What is kept where a division does not end: a millionth of a millionth of a currency unit.
FINEST = Decimal("1e-12")


def total(parts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    result = Decimal(0)
    for part in parts:
        result = EXACT.add(result, part)
    return result


def for_display(parts: Sequence[Decimal], places: int = 2) -> list[Decimal]:
    """The parts rounded to `places` so that they add up to their rounded total.

    By largest remainder: every part is rounded down, and the units that are missing from the total go
    to those that lost most (of equals, the first). No part is a whole unit away from what it was.
    """
    unit = Decimal(1).scaleb(-places)
    floors = [part.quantize(unit, rounding=ROUND_FLOOR, context=ROUNDING) for part in parts]
    whole = total(parts).quantize(unit, context=ROUNDING)
    missing = int((whole - total(floors)) / unit)
    by_loss = sorted(range(len(parts)), key=lambda index: floors[index] - parts[index])
    raised = set(by_loss[:missing])
    return [floor + unit if index in raised else floor for index, floor in enumerate(floors)]


def share(amount: Decimal, part: int, whole: int) -> Decimal:
    """`part`/`whole` of an amount, to the finest unit kept.

    Differences of shares telescope: pieces made from one division's points add up to the amount exactly.
    """
    return (EXACT.multiply(amount, Decimal(part)) / whole).quantize(FINEST, context=ROUNDING)
