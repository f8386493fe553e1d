"""Which reports can be true. Pure: the clock and what was seen before are arguments.

A report is judged by itself, by the coordinator's clock, and by the newest report of the
same run of the agent (its session) that was believed. Within a session the sequence number
tells which came first, so a report that is only late is never taken for one that goes
backwards, whatever order they come in.
"""

import functools
import math
import struct
from operator import attrgetter, le, sub
from typing import Literal

import msgspec

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Values
from tidewatt_wire.messages import Report
from tidewatt_wire.sleeping import ASLEEP

Code = Literal[
    "name",
    "clock_past",
    "clock_future",
    "negative",
    "not_a_number",
    "backwards",
    "beyond_belief",
    "unreadable",
    "unproven",
]

DAY_MS = 86_400_000
#: A clock more than this ahead of ours is wrong: the ledger's buckets would lie in the future.
FUTURE_MS = DAY_MS
#: One more than this behind: boards without a battery wake up in 1970. A spool may well keep weeks.
PAST_MS = 400 * DAY_MS
#: No Jetson draws more: the largest module is sold with 130 W, a carrier may double it.
MOST_WATTS = 1000
#: One board's requests/s stay far below.
MOST_RPS = 1_000_000
#: A counter epoch of this length is older than any Jetson.
LONGEST_EPOCH_MS = 20 * 366 * DAY_MS
#: What clocks that are set, and rounding, may make of the time between two reports.
SLACK_MS = DAY_MS
#: Most that each counter can grow in a millisecond.
MOST_PER_MS = {"energy_mj": MOST_WATTS, "requests": MOST_RPS / 1000}
#: Names longer than the ledger's columns, in characters.
LONGEST = {"device": 63, "epoch": 64, "mode": 63}

_MOST_AT_ONCE = tuple(int(SLACK_MS * MOST_PER_MS.get(name, 1)) for name in COUNTERS)
_MOST_EVER = tuple(round(LONGEST_EPOCH_MS * MOST_PER_MS.get(name, 1)) for name in COUNTERS)
#: What every counter may be, whichever it is: nearly all are less, and are looked at all together.
_LITTLE_AT_ONCE, _LITTLE_EVER = min(_MOST_AT_ONCE), min(_MOST_EVER)

_RUN, _PACKED = struct.Struct("=q"), struct.Struct(f"={3 + len(COUNTERS)}q")
_counted = attrgetter(*COUNTERS)


class Wrong(msgspec.Struct, frozen=True):
    """Why a report isn't believed: what is counted, and the sentence that is read."""

    code: Code
    reason: str


class Believed(msgspec.Struct, frozen=True, gc=False):
    """The newest believed report of a session."""

    seq: int
    at_ms: int
    counters: tuple[int, ...]

    def packed(self, run: int) -> bytes:
        """In a fifth of the memory, with a number of 64 bits for its session."""
        return _PACKED.pack(run, self.seq, self.at_ms, *self.counters)


def run_of(packed: bytes) -> int:
    """The number of the session."""
    return int(_RUN.unpack_from(packed)[0])


def unpacked(kept: bytes | None) -> Believed | None:
    """What was packed."""
    if kept is None:
        return None
    numbers = _PACKED.unpack(kept)
    return Believed(numbers[1], numbers[2], numbers[3:])


def judge(
    report: Report,
    before: Believed | None,
    now_ms: int,
    detail_from_ms: int = 0,
    itself: Believed | None = None,
) -> Wrong | None:
    """What is wrong with a report, if anything. `before`: the newest believed one of its session.

    `itself`: what the next would be judged by, for who has it already.
    """
    values = itself.counters if itself else _counted(report.counters)
    if before and _surely(report, values, before, now_ms, detail_from_ms):
        return None
    return (
        _names(report)
        or _clock(report, now_ms, detail_from_ms)
        or _gauges(report)
        or _alone(report)
        or (_after(report, before) if before and report.seq > before.seq else None)
        or (_earlier(report, before) if before and report.seq < before.seq else None)
    )


def _surely(report: Report, values: Values, before: Believed, now_ms: int, detail_from_ms: int) -> bool:
    """Whether it is one of the many of which nothing can be wrong: the next of its session, and modest.

    Each rule is at least as strict as the one that gives a reason; who fails here is looked at by those.
    The names of device and epoch are those of the report before.
    """
    gauges, counters, at_ms, old = report.gauges, report.counters, report.at_ms, before.counters
    summed = sum(values)
    return (
        report.seq > before.seq
        and -PAST_MS <= at_ms - now_ms <= FUTURE_MS
        and at_ms >= detail_from_ms
        and all(map(le, old, values))
        # Whatever its clock says: what may grow in the slack alone. Where all together grew no more than
        # any may, each did.
        and (summed - sum(old) <= _LITTLE_AT_ONCE or all(map(le, map(sub, values, old), _MOST_AT_ONCE)))
        and (summed <= _LITTLE_EVER or all(map(le, values, _MOST_EVER)))
        # What is no number is in no range.
        and (gauges.watts is None or 0.0 <= gauges.watts < math.inf)
        and (gauges.requests_rps is None or 0.0 <= gauges.requests_rps < math.inf)
        and (gauges.p95_ms is None or 0.0 <= gauges.p95_ms < math.inf)
        and counters.asleep_mj == 0
        and all(map(_plain, counters.mode_ms))
    )


@functools.lru_cache(maxsize=1024)
def _plain(mode: str) -> bool:
    return mode != ASLEEP and 0 < len(mode) <= LONGEST["mode"] and mode.isprintable()


def believed(report: Report) -> Believed:
    """What the next report of the session is judged by."""
    return Believed(report.seq, report.at_ms, _counted(report.counters))


def _names(report: Report) -> Wrong | None:
    named = [("device", report.device), ("epoch", report.epoch)]
    named += [("mode", mode) for mode in report.counters.mode_ms]
    for what, name in named:
        if not name or len(name) > LONGEST[what] or not name.isprintable():
            return Wrong(
                "name", f"its {what} {name[:80]!r} is no name of 1 to {LONGEST[what]} printable characters"
            )
    return None


def _clock(report: Report, now_ms: int, detail_from_ms: int) -> Wrong | None:
    ahead_ms = report.at_ms - now_ms
    if ahead_ms > FUTURE_MS:
        return Wrong("clock_future", f"its clock is {ahead_ms / DAY_MS:,.1f} days ahead of ours")
    if -ahead_ms > PAST_MS:
        return Wrong("clock_past", f"its clock is {-ahead_ms / DAY_MS:,.1f} days behind ours")
    if report.at_ms < detail_from_ms:
        return Wrong(
            "clock_past",
            f"it is {-ahead_ms / DAY_MS:,.1f} days old, and detail is no longer kept for so long",
        )
    return None


def _gauges(report: Report) -> Wrong | None:
    gauges = report.gauges
    for what, value in (("watts", gauges.watts), ("requests/s", gauges.requests_rps), ("p95", gauges.p95_ms)):
        if value is not None and not math.isfinite(value):
            return Wrong("not_a_number", f"its {what} is {value}")
        if value is not None and value < 0:
            return Wrong("negative", f"its {what} is {value:g}, less than nothing")
    return None


def _alone(report: Report) -> Wrong | None:
    for name, value in zip(COUNTERS, _counted(report.counters), strict=True):
        most = round(LONGEST_EPOCH_MS * MOST_PER_MS.get(name, 1))
        if value > most:
            return Wrong("beyond_belief", f"its {name} of {value:,} is more than a board counts in 20 years")
    asleep_ms, asleep_mj = report.counters.mode_ms.get(ASLEEP, 0), report.counters.asleep_mj
    if asleep_ms > LONGEST_EPOCH_MS or asleep_mj > asleep_ms * MOST_WATTS:
        return Wrong("beyond_belief", f"it slept {asleep_ms:,} ms with {asleep_mj:,} mJ, which no board does")
    return None


def _earlier(report: Report, later: Believed) -> Wrong | None:
    for name, most, value in zip(COUNTERS, later.counters, _counted(report.counters), strict=True):
        if value > most:
            return Wrong("beyond_belief", f"its {name} of {value:,} is more than a later report's {most:,}")
    return None


def _after(report: Report, before: Believed) -> Wrong | None:
    passed_ms = max(0, report.at_ms - before.at_ms) + SLACK_MS
    for name, old, new in zip(COUNTERS, before.counters, _counted(report.counters), strict=True):
        if new < old:
            return Wrong(
                "backwards", f"its {name} went from {old:,} back to {new:,} without a new counter epoch"
            )
        if new - old > passed_ms * MOST_PER_MS.get(name, 1):
            return Wrong(
                "beyond_belief", f"its {name} grew by {new - old:,} in {(passed_ms - SLACK_MS) / 1000:,.0f} s"
            )
    return None
