"""What energy is worth by the hour against its usual worth, for devices that may choose when to save. Pure.

Usual is the mean over the days before and the hours ahead that are known. Carbon goes by the marginal
intensities where there are any, as shifting load moves those; by the average else, and never by both.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from tidewatt_coordinator.carbon.intensity import Intensity
from tidewatt_coordinator.electricity.rates import HOUR_MS, Rate, mean_price
from tidewatt_wire.messages import EnergyStep

BEFORE_MS, AHEAD_MS = 144 * HOUR_MS, 48 * HOUR_MS
#: A price near zero would make a normal one worth anything: weights stay within what a decision can use.
MOST = 10.0
#: Digits of a weight: finer ones would only make new messages.
DIGITS = 3

#: A weight from a moment on.
Weights = Sequence[tuple[int, float]]


def steps(rates: Sequence[Rate], intensities: Iterable[Intensity], now_ms: int) -> list[EnergyStep]:
    """The weights, from the step that holds now on; empty where every hour is worth the same.

    `rates` cover [now - BEFORE_MS, now + AHEAD_MS) without gaps; intensities may have any.
    """
    price, carbon = _prices(rates), _carbon(intensities)
    bounds = {start for start, _ in [*price, *carbon]}
    first_ms = max((start for start in bounds if start <= now_ms), default=now_ms)
    starts = sorted({first_ms} | {start for start in bounds if start > now_ms})
    found: list[EnergyStep] = []
    for start_ms in starts:
        step = EnergyStep(start_ms=start_ms, price=_at(price, start_ms), carbon=_at(carbon, start_ms))
        if not found or (found[-1].price, found[-1].carbon) != (step.price, step.carbon):
            found.append(step)
    return [] if [(one.price, one.carbon) for one in found] == [(1.0, 1.0)] else found


def _prices(rates: Sequence[Rate]) -> Weights:
    usual = mean_price(tuple(rates)) if rates else Decimal(0)
    return [(rate.start_ms, _weight(rate.price_per_kwh, usual)) for rate in rates]


def _carbon(intensities: Iterable[Intensity]) -> Weights:
    known = sorted(intensities, key=lambda one: one.start_ms)
    known = [one for one in known if one.kind == "marginal"] or known
    length = sum(one.end_ms - one.start_ms for one in known)
    if not length:
        return []
    usual = sum((one.grams_per_kwh * (one.end_ms - one.start_ms) for one in known), Decimal(0)) / length
    found: dict[int, float] = {}
    for one in known:
        found[one.start_ms] = _weight(one.grams_per_kwh, usual)
        found.setdefault(one.end_ms, 1.0)  # unless another begins there, it isn't known from here on
    return sorted(found.items())


def _weight(now: Decimal, usual: Decimal) -> float:
    if usual <= 0:
        return 1.0
    return round(min(MOST, max(0.0, float(now / usual))), DIGITS)


def _at(weights: Weights, at_ms: int) -> float:
    return next((weight for start_ms, weight in reversed(weights) if start_ms <= at_ms), 1.0)
