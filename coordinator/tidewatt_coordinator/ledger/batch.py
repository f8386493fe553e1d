"""Many reports at once into the spans that they make. Pure.

What a report does to a span is min and max. Of one that follows the last in time and has counted no less,
as nearly all do, that is the span's end anew: nothing needs to be compared with its beginning.
"""

from collections.abc import Hashable, Iterable
from operator import attrgetter, ge
from typing import Any, TypeVar

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, Values, merge, span_of
from tidewatt_wire.messages import Report

K = TypeVar("K", bound=Hashable)
#: A span that is still being made: its first and last time, its least and greatest counters.
Open = list[Any]

_counted = attrgetter(*COUNTERS)


def spans_of(
    reports: Iterable[Report], bucket_ms: int
) -> tuple[dict[tuple[int, str, str], Span], dict[tuple[int, str, str, str], Span]]:
    """The spans by bucket, device and epoch, and those of modes with the mode behind these."""
    devices: dict[tuple[int, str, str], Open] = {}
    modes: dict[tuple[int, str, str, str], Open] = {}
    for report in reports:
        at_ms, counters = report.at_ms, report.counters
        key = (at_ms - at_ms % bucket_ms, report.device, report.epoch)
        _add(devices, key, at_ms, _counted(counters))
        for mode, ms in counters.mode_ms.items():
            _add(modes, (*key, mode), at_ms, (ms,))
    return _closed(devices), _closed(modes)


def _add(spans: dict[K, Open], key: K, at_ms: int, values: Values) -> None:
    span = spans.get(key)
    if span is None:
        spans[key] = [at_ms, at_ms, values, values]
    elif at_ms >= span[1] and all(map(ge, values, span[3])):
        span[1], span[3] = at_ms, values
    else:
        both = merge(Span(*span), span_of(at_ms, values))
        spans[key] = [both.first_ms, both.last_ms, both.least, both.greatest]


def _closed(spans: dict[K, Open]) -> dict[K, Span]:
    return {key: Span(*span) for key, span in spans.items()}
