"""How far a device's clock is off, from when its reports were made and when they came. Pure.

A report that travels for a while looks like a clock that is behind, so the least delayed of the
last minutes tells most. What remains in it is the shortest delay: milliseconds, not minutes.
"""

import struct

WINDOW_MS = 300_000
#: Candidates held per device at the most; beyond it the oldest goes.
MOST_HELD = 64

_PAIR = struct.Struct("=qq")
_ONE = struct.Struct("=q")
_HALF, _WHOLE = _ONE.size, _PAIR.size


def noted(pairs: bytes, at_ms: int, now_ms: int) -> bytes:
    """The candidates, with a message that was made at `at_ms` by its clock and came at `now_ms` by ours.

    Each is when it came and its skew, packed; the skews fall: only what may yet be the greatest is held. Of
    a million devices, an array each would be a hundred megabytes, tuples in a deque a gigabyte.
    """
    skew_ms, start, end = at_ms - now_ms, 0, len(pairs)
    while end and _ONE.unpack_from(pairs, end - _HALF)[0] <= skew_ms:
        end -= _WHOLE
    oldest_ms = now_ms - WINDOW_MS
    while start < end and (
        end - start >= MOST_HELD * _WHOLE or _ONE.unpack_from(pairs, start)[0] < oldest_ms
    ):
        start += _WHOLE
    return pairs[start:end] + _PAIR.pack(now_ms, skew_ms)


class Skew:
    """The clock of one device against ours."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: bytes = b"") -> None:
        """`pairs`: what was noted; nothing is known without."""
        self._pairs = pairs

    def note(self, at_ms: int, now_ms: int) -> None:
        """A message that was made at `at_ms` by the device's clock came at `now_ms` by ours."""
        self._pairs = noted(self._pairs, at_ms, now_ms)

    @property
    def ms(self) -> int | None:
        """Device minus ours, in milliseconds, over the minutes before the last message; None before any."""
        return int(_ONE.unpack_from(self._pairs, _HALF)[0]) if self._pairs else None


def sentence(skew_ms: int) -> str:
    """The skew for a person, with its direction: 3 h ahead of ours."""
    size_s = abs(skew_ms) / 1000.0
    unit, length_s = next(
        (unit, length_s)
        for unit, length_s in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
        if size_s >= 2 * length_s or unit == "s"
    )
    return f"{size_s / length_s:.0f} {unit} {'ahead of' if skew_ms > 0 else 'behind'} ours"
