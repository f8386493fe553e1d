"""Somebody else set the mode: notice it within a tick, say so, and leave the board alone or set it again.

jetson_clocks, a user, or nvpmodel.service run again by `systemctl isolate`: two programs that both set
clocks fight for ever, so the default is to stand down for a while.
"""

import logging

from tidewatt_agent.hands import Stance
from tidewatt_wire.messages import Policy

log = logging.getLogger(__name__)


class Drift:
    """What we want the board to stand at, and whether we may act on it now."""

    def __init__(self) -> None:
        self._wanted: str | None = None
        self._set_by_us = False
        self._pinned: frozenset[str] | None = None
        self._not_before_s = 0.0
        self._reasserted_s: float | None = None
        self.reasserting = False
        """Whether the board is to be set again to where we had it, once the rate limit allows."""

    def notice(self, stance: Stance, policy: Policy, now_s: float) -> bool:
        """Whether somebody has just changed the board; then `may_act` says what to do.

        What can't be looked at tells nothing; what the actuator has put back is its own doing.
        """
        if not stance.seen:
            return False
        held = frozenset(stance.pinned)
        newly, self._pinned = held - (held if self._pinned is None else self._pinned), held
        if self._set_by_us and not stance.changed:
            log.warning("the actuator has put the board back: it stands at %s", stance.point)
            self._wanted, self._set_by_us = None, False
            return False
        moved = self._wanted is not None and stance.point != self._wanted
        if (not moved and not newly) or self.reasserting:
            return False
        now = f"set {stance.point or 'no mode of its own'}" if moved else f"pinned {', '.join(sorted(newly))}"
        log.warning("somebody %s where we had set %s: %s", now, self._wanted, policy.on_drift)
        if policy.on_drift == "stand_down":
            self._wanted, self._set_by_us = stance.point, False  # news once
            self._not_before_s = now_s + policy.stand_down_s
        else:
            self.reasserting = True
            last_s = self._reasserted_s
            self._not_before_s = now_s if last_s is None else max(now_s, last_s + policy.reassert_after_s)
        return True

    def may_act(self, now_s: float) -> bool:
        """Whether the board may be moved now."""
        return now_s >= self._not_before_s

    def acted(self, applied: str | None, now_s: float) -> None:
        """Remember that the board was moved by us: where it stands now, None if that failed."""
        if self.reasserting:
            self._reasserted_s, self.reasserting = now_s, False
        self._wanted, self._set_by_us = applied, applied is not None

    def consents(self, point: str) -> None:
        """Remember that where it stands is where it should."""
        self._set_by_us = self._set_by_us and self._wanted == point
        self._wanted = point
