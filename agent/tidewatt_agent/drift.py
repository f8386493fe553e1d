"""Somebody else set the mode: notice it within a tick, say so, and leave the board alone or set it again.

jetson_clocks, a user, or nvpmodel.service run again by `systemctl isolate`: two programs that both set
clocks fight for ever, so the default is to stand down for a while.
"""

import logging

from tidewatt_wire.messages import Policy

log = logging.getLogger(__name__)


class Drift:
    """What we want the board to stand at, and whether we may act on it now."""

    def __init__(self) -> None:
        self._wanted: str | None = None
        self._away_until_s = 0.0
        self._reasserted_s: float | None = None

    def notice(self, stands: str | None, policy: Policy, now_s: float) -> bool:
        """Whether the board stands elsewhere than we left it; then `may_act` says what to do."""
        if stands is None or self._wanted in (None, stands):
            return False
        log.warning("somebody set %s where we had set %s: %s", stands, self._wanted, policy.on_drift)
        self._wanted = stands  # news once
        if policy.on_drift == "stand_down":
            self._away_until_s = now_s + policy.stand_down_s
        else:
            last_s = self._reasserted_s
            self._reasserted_s = now_s
            if last_s is not None and now_s - last_s < policy.reassert_after_s:
                self._away_until_s = last_s + policy.reassert_after_s
        return True

    def may_act(self, now_s: float) -> bool:
        """Whether the board may be moved now."""
        return now_s >= self._away_until_s

    def left_at(self, stands: str | None) -> None:
        """Remember where the board stands by our doing, or with our consent; None: not known."""
        self._wanted = stands
