"""Every call of every driver counted and timed, by decorator: no driver knows of it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, Metric

from tidewatt_coordinator.levers.driver import Context, Driver, Order, Probe, Recommendation, Setting
from tidewatt_coordinator.observing.tracing import span

T = TypeVar("T")


class Measured:
    """A driver as it is, and what its calls came to."""

    def __init__(self, driver: Driver, now_s: Callable[[], float] = time.monotonic) -> None:
        self._driver, self._now_s = driver, now_s
        self.calls: Counter[tuple[str, str]] = Counter()
        """By call and result: "ok", or the name of the error."""
        self.seconds: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The driver's."""
        return self._driver.name

    def probe(self) -> Probe:
        """Whether it can work here."""
        return self._count("probe", self._driver.probe)

    def observe(self) -> Sequence[Setting]:
        """Every target."""
        return self._count("observe", self._driver.observe)

    def propose(self, settings: Sequence[Setting], context: Context) -> Sequence[Recommendation]:
        """What would be cheaper."""
        return self._count("propose", lambda: self._driver.propose(settings, context))

    def read(self, target: str) -> Setting:
        """One target."""
        return self._count("read", lambda: self._driver.read(target))

    def send(self, order: Order) -> None:
        """Carry the order out."""
        self._count("send", lambda: self._driver.send(order))

    def _count(self, call: str, what: Callable[[], T]) -> T:
        begun_s, result = self._now_s(), "ok"
        try:
            with span(f"{self.name}.{call}", driver=self.name):
                return what()
        except BaseException as error:
            result = type(error).__name__
            raise
        finally:
            self.calls[call, result] += 1
            # Counters of floats: what `Counter` says of its values is for readers of types alone.
            self.seconds[call] += self._now_s() - begun_s  # type: ignore[assignment]


def families(drivers: Sequence[Measured]) -> Iterator[Metric]:
    """The metrics of all drivers."""
    calls = CounterMetricFamily(
        "tidewatt_driver_calls", "Calls of a driver", labels=["driver", "call", "result"]
    )
    seconds = CounterMetricFamily(
        "tidewatt_driver_seconds", "Time spent in calls of a driver", labels=["driver", "call"]
    )
    for driver in drivers:
        for (call, result), count in sorted(driver.calls.items()):
            calls.add_metric([driver.name, call, result], count)
        for call, spent in sorted(driver.seconds.items()):
            seconds.add_metric([driver.name, call], spent)
    yield from (calls, seconds)
