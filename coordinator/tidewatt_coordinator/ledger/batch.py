"""Many reports at once into the rows that they make. Pure.

What a report does to a span is min and max. Of one that follows the last in time and has counted no less,
as nearly all do, that is the span's end anew: nothing needs to be compared with its beginning.
"""

from collections.abc import Iterable, Mapping
from operator import attrgetter, ge, itemgetter
from typing import Any, NamedTuple

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, Values, merge, span_of
from tidewatt_coordinator.ledger.merging import Row
from tidewatt_wire.messages import Report
from tidewatt_wire.sleeping import ASLEEP

#: A span that is still being made: its first and last time, its least and greatest counters, its modes.
Open = list[Any]
#: Of each mode in it the same, whose only counter is its time.
OpenModes = dict[str, list[int]]
#: Bucket, device and epoch.
Key = tuple[int, str, str]

_counted = attrgetter(*COUNTERS)
_device = itemgetter(1)


class Rows(NamedTuple):
    """What a batch says, each by device: of lives, of their buckets, of the modes in these."""

    lives: list[Row]
    spans: list[Row]
    times: list[Row]
    slept: list[Report]
    """The reports that tell of sleep."""


def rows_of(reports: Iterable[Report], bucket_ms: int) -> Rows:
    """The rows that they make, none of a key twice. Each report is looked at once, and then not again.

    Most of a large fleet's are alone in their bucket: such a one is kept as it came until its row is made.
    """
    slept: list[Report] = []
    spans: dict[Key, Report | Open] = {}
    for report in reports:
        at_ms, counters = report.at_ms, report.counters
        key = (at_ms - at_ms % bucket_ms, report.device, report.epoch)
        before = spans.setdefault(key, report)
        if before is not report:
            if not isinstance(before, list):
                before = spans[key] = _opened(before)
            _add(before, at_ms, _counted(counters))
            _add_times(before[4], at_ms, counters.mode_ms)
        if counters.asleep_mj or ASLEEP in counters.mode_ms:
            slept.append(report)
    return _rows(spans, slept)


def _opened(report: Report) -> Open:
    at_ms, values = report.at_ms, _counted(report.counters)
    times: OpenModes = {mode: [at_ms, at_ms, ms, ms] for mode, ms in report.counters.mode_ms.items()}
    return [at_ms, at_ms, values, values, times]


def _add(span: Open, at_ms: int, values: Values) -> None:
    if at_ms >= span[1] and all(map(ge, values, span[3])):
        span[1], span[3] = at_ms, values
    else:
        both = merge(Span(*span[:4]), span_of(at_ms, values))
        span[:4] = both.first_ms, both.last_ms, both.least, both.greatest


def _add_times(modes: OpenModes, at_ms: int, said: Mapping[str, int]) -> None:
    for mode, ms in said.items():
        time = modes.get(mode)
        if time is None:
            modes[mode] = [at_ms, at_ms, ms, ms]
        elif at_ms >= time[1] and ms >= time[3]:
            time[1], time[3] = at_ms, ms
        else:
            first_ms, last_ms, least, greatest = time
            time[:] = min(first_ms, at_ms), max(last_ms, at_ms), min(least, ms), max(greatest, ms)


def _rows(held: dict[Key, Report | Open], slept: list[Report]) -> Rows:
    spans: list[Row] = []
    times: list[Row] = []
    lives: dict[tuple[str, str], tuple[int, int, Values]] = {}
    # By device, which is how they lie together in the tables; by the whole key takes three times as long.
    for key in sorted(held, key=_device):
        one = held[key]
        if isinstance(one, list):
            first_ms, last_ms, least, greatest, modes = one
            for mode, (first, last, low, high) in modes.items():
                times.append((*key, mode, first, low, last, high))
        else:
            first_ms = last_ms = one.at_ms
            least = greatest = _counted(one.counters)
            for mode, ms in one.counters.mode_ms.items():
                times.append((*key, mode, first_ms, ms, first_ms, ms))
        spans.append((*key, first_ms, *least, last_ms, *greatest))
        life, named = (first_ms, last_ms, greatest), key[1:]
        known = lives.setdefault(named, life)
        if known is not life:
            lives[named] = _both(known, life)
    return Rows(
        [(*key, first, last, *most) for key, (first, last, most) in lives.items()], spans, times, slept
    )


def _both(one: tuple[int, int, Values], other: tuple[int, int, Values]) -> tuple[int, int, Values]:
    return min(one[0], other[0]), max(one[1], other[1]), tuple(map(max, one[2], other[2]))
