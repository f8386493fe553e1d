"""Steering for tests: prices, and the facts that it is told."""

from collections.abc import Callable, Mapping

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.pools import PoolPrice
from tidewatt_coordinator.steering.readings import Reading
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.steering.wheel import Power, Steering
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import PolicySet, Rule

POLICIES = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=[Rule()])


def steering_of(
    fleet: Fleet,
    clock: Clock,
    settings: Dispatch,
    current: Callable[[], PolicySet] = lambda: POLICIES,
    book: Book | None = None,
    readings: Mapping[str, Reading] | None = None,
    prices: Mapping[str, PoolPrice] | None = None,
) -> Steering:
    """At 0.15 a kWh."""
    power = Power(0.15, "USD", prices or {})
    return Steering(settings, current, fleet, power, clock, book, readings)
