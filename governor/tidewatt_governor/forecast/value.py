"""A forecast as a value: what the decision is given. Plain Python."""

import msgspec

from tidewatt_governor.forecast.layout import PEAK_3, PEAK_15

P50, P90, P99 = 0, 1, 2


class Forecast(msgspec.Struct, frozen=True):
    """Requests/s to come, by what was known at the end of `minute` (counted as the governor counts)."""

    minute: int
    rps: tuple[tuple[float, float, float], ...]
    """[17][p50, p90, p99]: minutes 1 to 15 ahead, the peak of the next 3, the peak of the next 15."""
    trusted: bool
    """Whether it has earned being followed; an untrusted one is shown and scored, no more."""
    reason: str

    def soon_at(self, quantile: str) -> float:
        """The highest rate of the next 3 minutes at "p50", "p90" or "p99", in requests/s."""
        return self.rps[PEAK_3][{"p50": P50, "p90": P90, "p99": P99}[quantile]]

    @property
    def soon(self) -> tuple[float, float, float]:
        """p50, p90, p99 of the highest of the next 3 minutes: what a mode is chosen by."""
        return self.rps[PEAK_3]

    @property
    def later(self) -> tuple[float, float, float]:
        """The same of the next 15: what replicas and planned switches go by."""
        return self.rps[PEAK_15]
