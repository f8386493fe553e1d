"""How far a device's clock is off, from when its reports were made and when they came. Pure.

A report that travels for a while looks like a clock that is behind, so the least delayed of the
last minutes tells most. What remains in it is the shortest delay: milliseconds, not minutes.
"""

from collections import deque

WINDOW_MS = 300_000
#: Candidates held per device at the most; beyond it the oldest goes.
MOST_HELD = 64


class Skew:
    """The clock of one device against ours."""

    def __init__(self) -> None:
        self._held: deque[tuple[int, int]] = deque(maxlen=MOST_HELD)
        """When they came and their skews, these falling: only what may yet be the greatest is held."""

    def note(self, at_ms: int, now_ms: int) -> None:
        """A message that was made at `at_ms` by the device's clock came at `now_ms` by ours."""
        skew_ms = at_ms - now_ms
        while self._held and self._held[-1][1] <= skew_ms:
            self._held.pop()
        self._held.append((now_ms, skew_ms))
        while self._held[0][0] < now_ms - WINDOW_MS:
            self._held.popleft()

    @property
    def ms(self) -> int | None:
        """Device minus ours, in milliseconds, over the minutes before the last message; None before any."""
        # A copy: the API reads while messages come.
        return next((skew_ms for _, skew_ms in tuple(self._held)), None)


def sentence(skew_ms: int) -> str:
    """The skew for a person, with its direction: 3 h ahead of ours."""
    size_s = abs(skew_ms) / 1000.0
    unit, length_s = next(
        (unit, length_s)
        for unit, length_s in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
        if size_s >= 2 * length_s or unit == "s"
    )
    return f"{size_s / length_s:.0f} {unit} {'ahead of' if skew_ms > 0 else 'behind'} ours"
