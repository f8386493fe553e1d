"""What a solver found. Pure data."""

from dataclasses import dataclass

from tidewatt_coordinator.dispatch.pool import Floats


@dataclass(frozen=True)
class Plan:
    """Who serves what, and the prices that prove how good it is."""

    placed: Floats
    """(n, K) requests/s."""
    admitted: Floats
    """(K,) requests/s that are served; what is missing to the demand is shed."""
    price: Floats
    """(K,) of one more request of the class."""
    promise_price: Floats
    """(K,) of the class's promise, per unit of slow share; 0 where the promise costs nothing."""
    solver: str
