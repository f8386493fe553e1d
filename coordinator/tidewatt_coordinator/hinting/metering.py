"""How much a device served since it was looked at last, by its own counters. Pure.

A gauge tells of one moment; the difference of a counter tells of all of them, whatever was lost on the way.
"""

import msgspec

from tidewatt_wire.messages import Report
from tidewatt_wire.units import MILLISECONDS_PER_SECOND


class _Read(msgspec.Struct, frozen=True):
    epoch: str
    requests: int
    at_ms: int
    rps: float


class Meter:
    """The last reading of every device."""

    def __init__(self) -> None:
        self._last: dict[str, _Read] = {}

    def rps(self, report: Report) -> float | None:
        """Requests/s since the reading before; None of a device that doesn't measure them."""
        now = report.gauges.requests_rps
        if now is None:
            self._last.pop(report.device, None)
            return None
        was, requests = self._last.get(report.device), report.counters.requests
        rps = max(0.0, now)
        if was and was.epoch == report.epoch and requests >= was.requests:
            if report.at_ms <= was.at_ms:
                return was.rps
            rps = (requests - was.requests) * MILLISECONDS_PER_SECOND / (report.at_ms - was.at_ms)
        self._last[report.device] = _Read(report.epoch, requests, report.at_ms, rps)
        return rps
