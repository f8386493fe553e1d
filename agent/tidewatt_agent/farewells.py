"""Last reports of counter epochs that ended: told more than once, as no later one says it again.

Any other report may be lost on its way, because the next of its epoch says all that it said. What a broker
acknowledged is not yet in the ledger: a broker that was killed forgets it, and one whose coordinators are
just connecting again has nobody to give it to. Telling it twice adds nothing: counters only grow.
"""

from collections.abc import Sequence

import msgspec

from tidewatt_wire.messages import Report

#: Seconds from one telling to the next. After the last of them it is forgotten.
AGAIN_S = (60.0, 600.0, 3_600.0, 21_600.0, 86_400.0)
#: Epochs remembered; a disk that fails by the minute ends one each time, and the oldest are forgotten.
MOST = 64
#: Times that one is heard in all, over several runs: a board that is started anew each day ends as well.
MOST_HEARD = 20


class Farewell(msgspec.Struct, frozen=True):
    """What is kept of one."""

    report: Report
    heard: int = 0
    """How often it was told while there was a broker, in all runs."""


class _Telling(msgspec.Struct):
    farewell: Farewell
    due_s: float | None = None
    """When it is to be told next, in monotonic seconds; None: at once."""
    times: int = 0
    """In this run."""


class Farewells:
    """Those of one agent. Not thread-safe."""

    def __init__(self, kept: Sequence[Farewell] = ()) -> None:
        """`kept`: those that an earlier run left; they are told anew from the beginning."""
        self._all = [_Telling(one) for one in kept]

    @property
    def kept(self) -> tuple[Farewell, ...]:
        """Those that are to be told again, the oldest first."""
        return tuple(one.farewell for one in self._all)

    def add(self, report: Report) -> None:
        """An epoch ended with this."""
        self._all = [*self._all, _Telling(Farewell(report))][-MOST:]

    def due(self, now_s: float, *, heard: bool = True) -> list[Report]:
        """What is to be told now, which counts as told. Infinite seconds: all, as there is no later.

        Unless somebody hears it nothing is told again: all of it would wait together, and leave together
        for a broker that has just come back.
        """
        found = [one for one in self._all if one.due_s is None or (heard and one.due_s <= now_s)]
        for one in found:
            one.due_s = now_s + AGAIN_S[one.times] if one.times < len(AGAIN_S) else None
            one.times += 1
            if heard:
                one.farewell = Farewell(one.farewell.report, one.farewell.heard + 1)
        self._all = [
            one for one in self._all if one.times <= len(AGAIN_S) and one.farewell.heard < MOST_HEARD
        ]
        return [one.farewell.report for one in found]
