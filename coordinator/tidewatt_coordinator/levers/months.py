"""What days' savings come to in a month, with an interval. Pure."""

from collections.abc import Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from statistics import fmean, stdev

from tidewatt_coordinator.levers.driver import Saving
from tidewatt_coordinator.money import FINEST

#: A twelfth of 365.
DAYS_PER_MONTH = Decimal(365) / 12
#: 80 of 100 lie within so many standard errors.
ERRORS = 1.2816


def exact(amount: float) -> Decimal:
    """The number as money."""
    return Decimal(repr(float(amount))).quantize(FINEST)


def a_month(days: Sequence[float], currency: str = "USD") -> Saving:
    """The mean day's saving in a month; how far days differ tells how sure that is."""
    middle = fmean(days) if days else 0.0
    error = ERRORS * stdev(days) / len(days) ** 0.5 if len(days) > 1 else abs(middle)
    return between(middle - error, middle, middle + error, days=1, currency=currency)


def between(low: float, middle: float, high: float, *, days: float, currency: str = "USD") -> Saving:
    """A saving within so many days, in a month."""
    scale = DAYS_PER_MONTH / exact(days)
    low, middle, high = sorted((low, middle, high))
    told = [(exact(one) * scale).quantize(FINEST) for one in (low, middle, high)]
    return Saving(low=told[0], middle=told[1], high=told[2], currency=currency)


def shares(cost: Decimal, saves: tuple[float, float], currency: str = "USD") -> Saving:
    """A month's cost of which a share between two is saved."""
    low, high = exact(saves[0]), exact(saves[1])
    told = [(cost * share).quantize(FINEST) for share in (low, (low + high) / 2, high)]
    return Saving(low=told[0], middle=told[1], high=told[2], currency=currency)


def day_of(now_ms: int) -> date:
    """The day, UTC, whose prices hold."""
    return datetime.fromtimestamp(now_ms / 1000, timezone.utc).date()
