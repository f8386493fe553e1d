"""A device's buckets as requests and time per mode: what a baseline is reckoned from. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, Values, bucket_of, slices
from tidewatt_coordinator.ledger.baselines import Stretch
from tidewatt_coordinator.ledger.store import Life

REQUESTS = COUNTERS.index("requests")
UNMEASURED = COUNTERS.index("unmeasured_ms")


class Knot(msgspec.Struct, frozen=True):
    """A life's counters at a moment: all before it is reckoned with already."""

    at_ms: int
    values: Values
    modes: Mapping[str, int]

    def before(self, life: Life) -> Life:
        """The life with this moment put before its spans."""
        return Life(
            life.device,
            life.epoch,
            [Span(self.at_ms, self.at_ms, self.values, self.values), *life.spans],
            {
                mode: [*self._of(mode), *life.modes.get(mode, [])]
                for mode in dict.fromkeys([*self.modes, *life.modes])
            },
        )

    def _of(self, mode: str) -> list[Span]:
        ms = self.modes.get(mode)
        return [] if ms is None else [Span(self.at_ms, self.at_ms, (ms,), (ms,))]


def knot_after(life: Life, knot: Knot | None) -> Knot:
    """The counters when a life's spans end, that began after `knot`; it has some spans."""
    values = knot.values if knot else life.spans[0].least
    for span in life.spans:
        values = tuple(map(max, values, span.greatest))
    modes = dict(knot.modes) if knot else {}
    for mode, spans in life.modes.items():
        modes[mode] = max(modes.get(mode, 0), *(span.greatest[0] for span in spans))
    return Knot(life.spans[-1].last_ms, values, modes)


def stretches(life: Life, bucket_ms: int, knot: Knot | None = None) -> Iterator[Stretch]:
    """A device's buckets as requests and time per mode, as far as its power was measured.

    Time without a power reading, and the requests in it, are left out: on the other side of
    every comparison they are missing too. `knot`: only what was counted after it.
    """
    since = None
    if knot:
        life, since = knot.before(life), bucket_of(knot.at_ms, bucket_ms)
    modes: dict[int, dict[str, int]] = {}
    for mode in life.modes:
        resume = None if knot is None or since is None else (since, (knot.modes.get(mode, 0),))
        for piece in slices(_mode_spans(life, mode, bucket_ms), bucket_ms, resume):
            if piece.values[0]:
                modes.setdefault(piece.start_ms, {})[mode] = piece.values[0]
    whole = None if knot is None or since is None else (since, knot.values)
    for piece in slices(life.spans, bucket_ms, whole):
        mode_ms = modes.get(piece.start_ms, {})
        requests, unmeasured_ms = piece.values[REQUESTS], piece.values[UNMEASURED]
        if unmeasured_ms:
            share = max(0.0, 1.0 - unmeasured_ms / max(1, sum(mode_ms.values())))
            mode_ms = {mode: round(ms * share) for mode, ms in mode_ms.items()}
            requests = round(requests * share)
        yield Stretch(requests, mode_ms)


def _mode_spans(life: Life, mode: str, bucket_ms: int) -> Iterator[Span]:
    """The spans of one mode's time, with the zeros that reports leave out until a mode is first used."""
    known = {bucket_of(span.first_ms, bucket_ms): span for span in life.modes[mode]}
    before: tuple[int, ...] = (0,)
    for whole in life.spans:
        span = known.get(bucket_of(whole.first_ms, bucket_ms))
        if span is None:
            yield Span(whole.first_ms, whole.last_ms, before, before)
            continue
        if span.first_ms > whole.first_ms:  # the mode was first used inside this bucket
            span = Span(whole.first_ms, span.last_ms, before, span.greatest)
        yield span
        before = span.greatest
