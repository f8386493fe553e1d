"""The verdict on a service now: its promise from the configuration, its evidence from Prometheus."""

from collections.abc import Callable, Mapping, Sequence

from tidewatt_coordinator.levers.driver import Effect
from tidewatt_coordinator.sla.objectives import Metric, Service
from tidewatt_coordinator.sla.verdict import Series, Verdict, judge, unpromised

Measure = Callable[[Service, int], Mapping[Metric, Series]]


class Judge:
    """All services'. An answer is used again for a moment: a tick asks for the same service many times."""

    def __init__(
        self, services: Sequence[Service], measure: Measure, now_ms: Callable[[], int], kept_ms: int = 5_000
    ) -> None:
        self.services = {one.service: one for one in services}
        self._measure, self._now_ms, self._kept_ms = measure, now_ms, kept_ms
        self._kept: dict[str, tuple[int, Mapping[Metric, Series]]] = {}

    def verdict(
        self, name: str, effects: Mapping[str, Effect] | None = None, from_ms: int | None = None
    ) -> Verdict:
        """On a service under these effects (None: unknown ones), by what was measured since `from_ms`."""
        service = self.services.get(name)
        if service is None:
            return unpromised(name)
        at_ms, measured = self.measured(service)
        return judge(service, measured, at_ms, effects, from_ms)

    def measured(self, service: Service) -> tuple[int, Mapping[Metric, Series]]:
        """What was measured over the service's window, and when that ended."""
        now_ms = self._now_ms()
        kept = self._kept.get(service.service)
        if kept is None or not 0 <= now_ms - kept[0] < self._kept_ms:
            kept = now_ms, self._measure(service, now_ms)
            self._kept[service.service] = kept
        return kept
