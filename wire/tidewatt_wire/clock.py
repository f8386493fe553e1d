"""Time as an argument: one timebase that several processes of a machine can share.

CLOCK_MONOTONIC is common to all processes of a Linux machine, so a timebase of three
numbers gives every process of a demo the same virtual time without a message.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec

from tidewatt_wire.units import MILLISECONDS_PER_SECOND


class Timebase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Virtual time that began at `origin_unix_ms` when the monotonic clock read `origin_monotonic_s`."""

    origin_unix_ms: int
    """The virtual time at the origin, in milliseconds since 1970."""
    origin_monotonic_s: float
    """The machine's monotonic time at the origin."""
    speed: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    """Virtual seconds per real second."""


class Clock:
    """The time of day and of the day's passing, in virtual seconds.

    With no timebase it is the machine's own time, the time of day read afresh so that a
    clock set later (boards boot in 1970 without a battery) is believed.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        time_of_day: Callable[[], float],
        timebase: Timebase | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._time_of_day = time_of_day
        self._timebase = timebase
        self.speed = timebase.speed if timebase else 1.0
        self.virtual = timebase is not None

    def monotonic_s(self) -> float:
        """Virtual seconds since an arbitrary origin; never steps back."""
        if self._timebase is None:
            return self._monotonic()
        return (self._monotonic() - self._timebase.origin_monotonic_s) * self._timebase.speed

    def now_ms(self) -> int:
        """Milliseconds since 1970 UTC, virtual."""
        if self._timebase is None:
            return int(self._time_of_day() * MILLISECONDS_PER_SECOND)
        return self._timebase.origin_unix_ms + int(self.monotonic_s() * MILLISECONDS_PER_SECOND)

    def real_seconds(self, virtual_s: float) -> float:
        """How long to sleep, really, for `virtual_s` to pass."""
        return virtual_s / self.speed
