"""Weights in whole parts, as proxies take them. Pure."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

#: Weights are published as parts of this sum.
PARTS = 10_000
#: Parts per backend at least, so that rounding moves little: a ten-thousandth of an even share.
FINENESS = 10_000
#: Envoy's limit for a sum of weights, the highest that any proxy takes.
MOST_PARTS = 2**32 - 1


def largest_remainder(shares: Mapping[str, float], parts: int = PARTS) -> dict[str, int]:
    """Whole parts that sum to `parts`, each within one of its exact share; ties go by name."""
    total = sum(shares.values())
    exact = {name: share / total * parts for name, share in shares.items()}
    whole = {name: int(share) for name, share in exact.items()}
    missing = parts - sum(whole.values())
    for name in sorted(exact, key=lambda name: (whole[name] - exact[name], name))[:missing]:
        whole[name] += 1
    return whole


def parts_for(backends: int, least: int = PARTS) -> int:
    """In how many parts a class is split over so many backends."""
    return min(max(least, FINENESS * backends), MOST_PARTS)


def whole_parts(shares: NDArray[np.float64], parts: int) -> NDArray[np.int64]:
    """`largest_remainder` of (n,) shares that don't sum to 0; ties go by place."""
    exact = shares / shares.sum() * parts
    whole: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    missing = parts - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    return np.asarray(whole)
