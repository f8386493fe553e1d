"""The devices of a site as sleep sees them, and whether those that stay awake are the cheaper way. Pure."""

import math
from collections.abc import Collection, Sequence

import msgspec

from tidewatt_coordinator.planning.envelopes import Choosing, Envelope, Option, base_of
from tidewatt_coordinator.planning.restful import Restful

#: Seconds in a minute.
MINUTE_S = 60.0


class Sleeper(msgspec.Struct, frozen=True):
    """A device of the site as sleep sees it."""

    name: str
    envelopes: tuple[Envelope, ...]
    """Awake; at least one."""
    asleep: Envelope | None = None
    """None: it may not sleep, by its policy, its qualification, a lease."""
    callable: bool = False
    """Whether somebody who is awake can wake it before its alarm."""
    up: bool = True
    """Whether it is known to be awake: its birth was heard since its last nap began."""
    at: str | None = None

    @property
    def most_rps(self) -> float:
        """What it can serve at its strongest."""
        return max(one.usable_rps for one in self.envelopes)

    @property
    def back_min(self) -> int:
        """Minutes from a call until it serves; 0 where nobody can call it."""
        return math.ceil(self.asleep.wake_s / MINUTE_S) if self.asleep and self.callable else 0

    @property
    def sure_min(self) -> int:
        """Minutes of a nap for which all that may be needed must be carried without it, so that a call that
        isn't heard can be made again to another; 0: all of them, as nobody can call it.
        """
        return self.back_min + 2 if self.back_min else 0


class Others:
    """Those that could carry what is asked for while one sleeps: who isn't let sleep itself."""

    def __init__(self, sleepers: Sequence[Sleeper], gone: Collection[str]) -> None:
        self._place = {one.name: index for index, one in enumerate(sleepers)}
        self._restful = Restful([Choosing(_options(one), "", 0.0) for one in sleepers])
        for one in sleepers:
            if one.name in gone:
                self.without(one)

    def without(self, one: Sleeper) -> None:
        """It sleeps."""
        self._restful.without(self._place[one.name])

    def spare_it(self, one: Sleeper, most_rps: float) -> bool:
        """Whether the cheapest way to meet the most that may be asked for meanwhile leaves it asleep.

        It stands last: of like boards the others are raised before it.
        """
        options = _options(one)
        asleep = base_of(Choosing(options, "", 0.0)).envelope == one.asleep
        return asleep and self._restful.rests(self._place[one.name], most_rps)


def _options(one: Sleeper) -> tuple[Option, ...]:
    there = (*one.envelopes, one.asleep) if one.asleep else one.envelopes
    return tuple(Option(envelope, envelope.usable_rps) for envelope in there)
