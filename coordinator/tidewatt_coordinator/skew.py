"""How far a device's clock is off, from when its reports were made and when they came. Pure.

A report that travels for a while looks like a clock that is behind, so the least delayed of the
last minutes tells most. What remains in it is the shortest delay: milliseconds, not minutes.
"""

from array import array

WINDOW_MS = 300_000
#: Candidates held per device at the most; beyond it the oldest goes.
MOST_HELD = 64


class Skew(array):  # type: ignore[type-arg] # not subscriptable in Python 3.10 at run time
    """The clock of one device against ours.

    An array of when they came and their skews, in turn; these fall: only what may yet be the greatest is
    held. Of a million devices, tuples in a deque would be a gigabyte.
    """

    __slots__ = ()

    def __new__(cls) -> "Skew":  # noqa: PYI034 - Self came with Python 3.11
        """Nothing is known yet."""
        return super().__new__(cls, "q")  # type: ignore[return-value]

    def note(self, at_ms: int, now_ms: int) -> None:
        """A message that was made at `at_ms` by the device's clock came at `now_ms` by ours."""
        skew_ms = at_ms - now_ms
        while self and self[-1] <= skew_ms:
            del self[-2:]
        self.append(now_ms)
        self.append(skew_ms)
        while self[0] < now_ms - WINDOW_MS or len(self) > 2 * MOST_HELD:
            del self[:2]

    @property
    def ms(self) -> int | None:
        """Device minus ours, in milliseconds, over the minutes before the last message; None before any."""
        # A copy: the API reads while messages come.
        return next(iter(self[1:2]), None)


def sentence(skew_ms: int) -> str:
    """The skew for a person, with its direction: 3 h ahead of ours."""
    size_s = abs(skew_ms) / 1000.0
    unit, length_s = next(
        (unit, length_s)
        for unit, length_s in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
        if size_s >= 2 * length_s or unit == "s"
    )
    return f"{size_s / length_s:.0f} {unit} {'ahead of' if skew_ms > 0 else 'behind'} ours"
