"""Clock caps within the mode: asked for when they are decided, taken away again in every other case.

What is refused isn't asked for every tick; taking away is, as caps that nobody follows break the promise.
"""

import logging

import msgspec

from tidewatt_agent.bars import Bars
from tidewatt_agent.hands import Hands, Outcome, Stance
from tidewatt_wire.messages import OperatingPoint, Trim

log = logging.getLogger(__name__)


class Capping:
    """Which caps of ours the board is under, and which trims it didn't take."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._bars = Bars()
        self._failing = ""
        self.trim: str | None = None
        """The trim that the board is under; None: uncapped, or not known."""

    @property
    def holding(self) -> bool:
        """Whether some clock is, or may be, capped by us."""
        return bool(self._held)

    def barred(self, now_s: float) -> list[str]:
        """The trims not to be asked for now, as POINT/TRIM."""
        return self._bars.barred(now_s)

    def seen(self, stance: Stance) -> Stance:
        """Take note of a look; what comes back is without the clocks that only our caps hold."""
        if stance.seen and not stance.changed:
            self.gone()  # the actuator has put everything back
        mine = tuple(name for name in stance.pinned if _stands_for(name, self._held) is None)
        return msgspec.structs.replace(stance, pinned=mine)

    def gone(self) -> None:
        """A switch of the mode takes the caps with it."""
        self._held, self.trim = {}, None

    async def follow(
        self, hands: Hands, point: OperatingPoint | None, name: str | None, stance: Stance, now_s: float
    ) -> Outcome | None:
        """Have the board under the trim of `point` called `name`, or uncapped; None: nothing was asked."""
        trim = next((one for one in point.trims if one.name == name), None) if point else None
        wanted = trim.caps if trim else {}
        if not stance.seen or not (wanted or self._held):
            return None
        if wanted == self._held and not stance.above(wanted):
            return None
        asked = {**dict.fromkeys(self._held), **wanted}
        outcome = await hands.trim(asked)
        self._note(point, trim, outcome, now_s)
        return outcome

    def _note(self, point: OperatingPoint | None, trim: Trim | None, outcome: Outcome, now_s: float) -> None:
        wanted = trim.caps if trim else {}
        if outcome.kind in ("applied", "unchanged"):
            self._held, self.trim, self._failing = dict(wanted), trim.name if trim else None, ""
        else:
            # Nobody knows what of it is done: all of it is to be taken away.
            self._held, self.trim = {**self._held, **wanted}, None
            if not trim and outcome.detail != self._failing:
                log.warning("caps can't be taken away: %s %s", outcome.kind, outcome.detail)
                self._failing = outcome.detail
        if point and trim:
            self._bars.note(f"{point.name}/{trim.name}", outcome, now_s)


def _stands_for(clock: str, caps: dict[str, int]) -> int | None:
    """The cap on a clock as the board names it: every CPU policy goes by `cpu`."""
    return caps.get("cpu" if clock.startswith("policy") else clock)
