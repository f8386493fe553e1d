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

#: A span that is still being made: its first and last time, its least and greatest counters.
Open = list[Any]
#: The same of the modes in it, whose only counter is their time.
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
    """The rows that they make, none of a key twice. Each report is looked at once, and then not again."""
    slept: list[Report] = []
    spans: dict[Key, Open] = {}
    modes: dict[Key, OpenModes] = {}
    for report in reports:
        at_ms, counters = report.at_ms, report.counters
        values = _counted(counters)
        key = (at_ms - at_ms % bucket_ms, report.device, report.epoch)
        span = spans.get(key)
        if span is None:
            spans[key] = [at_ms, at_ms, values, values]
            modes[key] = {mode: [at_ms, at_ms, ms, ms] for mode, ms in counters.mode_ms.items()}
        else:
            _add(span, at_ms, values)
            _add_times(modes[key], at_ms, counters.mode_ms)
        if counters.asleep_mj or ASLEEP in counters.mode_ms:
            slept.append(report)
    return _rows(spans, modes, slept)


def _add(span: Open, at_ms: int, values: Values) -> None:
    if at_ms >= span[1] and all(map(ge, values, span[3])):
        span[1], span[3] = at_ms, values
    else:
        both = merge(Span(*span), span_of(at_ms, values))
        span[:] = both.first_ms, both.last_ms, both.least, both.greatest


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


def _rows(spans: dict[Key, Open], modes: dict[Key, OpenModes], slept: list[Report]) -> Rows:
    rows = Rows([], [], [], slept)
    lives: dict[tuple[str, str], tuple[int, int, Values]] = {}
    # By device, which is how they lie together in the tables; by the whole key takes three times as long.
    for key in sorted(spans, key=_device):
        first_ms, last_ms, least, greatest = spans[key]
        rows.spans.append((*key, first_ms, *least, last_ms, *greatest))
        for mode, (first, last, low, high) in modes[key].items():
            rows.times.append((*key, mode, first, low, last, high))
        life, known = (first_ms, last_ms, greatest), lives.get(key[1:])
        lives[key[1:]] = _both(known, life) if known else life
    rows.lives.extend((*key, first, last, *greatest) for key, (first, last, greatest) in lives.items())
    return rows


def _both(one: tuple[int, int, Values], other: tuple[int, int, Values]) -> tuple[int, int, Values]:
    return min(one[0], other[0]), max(one[1], other[1]), tuple(map(max, one[2], other[2]))
