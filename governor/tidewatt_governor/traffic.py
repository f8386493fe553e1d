"""Traffic traces: how many requests per minute the fleet was asked for, minute by minute."""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from importlib import resources
from itertools import pairwise

import msgspec

SHIPPED_DAY = "mongo-app1-day.csv"

#: The usual choice for scaling a trace to a fleet: this quantile meets the wanted peak rate.
PEAK_QUANTILE = 0.995


class TraceError(ValueError):
    """What is wrong with a trace file, and on which line."""


class Trace(msgspec.Struct, frozen=True):
    """Rates in requests/s, each for one step of `step_ms`, beginning at `start_ms` (Unix, UTC).

    With `repeat` the trace begins anew when it is over.
    """

    start_ms: int
    step_ms: int
    rps: tuple[float, ...]
    repeat: bool = False

    @property
    def end_ms(self) -> int:
        """The end of the last step."""
        return self.start_ms + self.step_ms * len(self.rps)

    def rps_at(self, at_ms: int) -> float:
        """The rate at that time; 0 before the beginning and after the end, unless it repeats."""
        index = (at_ms - self.start_ms) // self.step_ms
        if self.repeat and index >= 0:
            index %= len(self.rps)
        return self.rps[index] if 0 <= index < len(self.rps) else 0.0

    def pieces(self, from_ms: int, to_ms: int) -> Iterator[tuple[float, float]]:
        """The (seconds, requests/s) pieces of an interval, so that no step is blurred into the next."""
        at = from_ms
        while at < to_ms:
            boundary = self.start_ms + ((at - self.start_ms) // self.step_ms + 1) * self.step_ms
            end = min(boundary, to_ms)
            yield (end - at) / 1000.0, self.rps_at(at)
            at = end


def scaled(trace: Trace, peak_rps: float) -> Trace:
    """The trace with its 99.5th percentile at `peak_rps`; TraceError if it is zero there."""
    level = quantile(trace.rps, PEAK_QUANTILE)
    if level <= 0.0:
        raise TraceError("the trace is idle (its 99.5th percentile is zero), so it can't be scaled")
    return msgspec.structs.replace(trace, rps=tuple(rate * peak_rps / level for rate in trace.rps))


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value with at least `share` of the values at or below it."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def parse_trace(text: str, *, name: str) -> Trace:
    """Read `timestamp,requests_per_minute` rows (ISO 8601, UTC, evenly spaced).

    Raises TraceError naming the line that is wrong.
    """
    try:
        rows = [row for row in csv.reader(text.splitlines()) if row]
    except csv.Error as error:
        raise TraceError(f"{name}: not a CSV file: {error}") from error
    if not rows or rows[0] != ["timestamp", "requests_per_minute"]:
        raise TraceError(f"{name}: line 1 must be 'timestamp,requests_per_minute'")
    parsed = [read_row(row, f"{name}: line {number}") for number, row in enumerate(rows[1:], start=2)]
    if len(parsed) < 2:  # noqa: PLR2004 - two rows make a step
        raise TraceError(f"{name}: at least two rows are needed to know the step")
    step_ms = parsed[1][0] - parsed[0][0]
    for number, ((before, _), (after, _)) in enumerate(pairwise(parsed), start=3):
        if after - before != step_ms or step_ms <= 0:
            raise TraceError(
                f"{name}: line {number}: {(after - before) / 1000:.0f} s after the line before, "
                f"but the first step is {step_ms / 1000:.0f} s; the rows must be evenly spaced and in order"
            )
    return Trace(parsed[0][0], step_ms, tuple(per_minute / 60.0 for _, per_minute in parsed))


def read_row(row: Sequence[str], where: str) -> tuple[int, float]:
    """The Unix milliseconds and requests/minute of a row; TraceError, begun with `where`, if it is none."""
    try:
        stamp, value = row
        moment = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        per_minute = float(value)
    except ValueError as error:
        raise TraceError(f"{where}: {','.join(row)!r} is not a timestamp and a number") from error
    if not 0.0 <= per_minute < float("inf"):
        raise TraceError(f"{where}: {value} requests per minute is not a rate")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    if moment.timestamp() < 0:
        raise TraceError(f"{where}: {stamp} is before 1970")
    return round(moment.timestamp() * 1000), per_minute


def shipped_day() -> Trace:
    """The bundled day (1,440 minutes of a production MongoDB cluster; see data/traces/NOTICE)."""
    file = resources.files("tidewatt_governor.data.traces").joinpath(SHIPPED_DAY)
    return parse_trace(file.read_text("utf-8"), name=SHIPPED_DAY)
