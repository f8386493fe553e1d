"""From a table's parts to the whole numbers that a proxy takes: largest remainder, in exact arithmetic. Pure.

What a proxy then does is its *achieved* share. It differs from the wanted one by less than one part of
the sum: |achieved - wanted| < 1 / sum for every backend. A backend that is wanted with less than that may
get nothing; one that is wanted with nothing never gets anything.
"""

from collections.abc import Mapping
from math import gcd


def of_total(parts: Mapping[str, int], total: int) -> dict[str, int]:
    """Whole numbers in the proportions of `parts`, with a sum of at most `total` (which is at least 1).

    As they are, without their common divisor, where that fits; else they sum to `total`
    exactly. Nothing but zeros where the parts are nothing else. Ties go by name.
    """
    whole = sum(parts.values())
    if whole == 0:
        return dict.fromkeys(parts, 0)
    divisor = gcd(*parts.values())
    if whole // divisor <= total:
        return {name: part // divisor for name, part in parts.items()}
    return _remainders(parts, whole, total)


def to_total(parts: Mapping[str, int], total: int) -> dict[str, int]:
    """The same with a sum of exactly `total`, for proxies that take percentages."""
    whole = sum(parts.values())
    return _remainders(parts, whole, total) if whole else dict.fromkeys(parts, 0)


def of_largest(parts: Mapping[str, int], largest: int) -> dict[str, int]:
    """The same where no single number may be above `largest`: the sum is as large as that allows."""
    most, whole = max(parts.values(), default=0), sum(parts.values())
    if most == 0:
        return dict.fromkeys(parts, 0)
    divisor = gcd(*parts.values())
    if most // divisor <= largest:
        return {name: part // divisor for name, part in parts.items()}
    # most * total / whole <= largest, so the largest one needs no rounding up beyond it.
    return _remainders(parts, whole, largest * whole // most)


def shares(weights: Mapping[str, int]) -> dict[str, float]:
    """What part of the requests each weight stands for, 0 to 1; zeros where all weights are."""
    whole = sum(weights.values())
    return {name: weight / whole if whole else 0.0 for name, weight in weights.items()}


def _remainders(parts: Mapping[str, int], whole: int, total: int) -> dict[str, int]:
    rounded = {name: part * total // whole for name, part in parts.items()}
    missing = total - sum(rounded.values())
    by_remainder = sorted(parts, key=lambda name: (-(parts[name] * total % whole), name))
    for name in by_remainder[:missing]:
        rounded[name] += 1
    return rounded
