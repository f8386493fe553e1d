"""Operating points that the board did not take, left out for a while: asked again later, not every tick."""

import logging

from tidewatt_agent.hands import Outcome

log = logging.getLogger(__name__)

FIRST_BAR_S = 30.0
LONGEST_BAR_S = 3600.0
#: Only a reboot changes this answer, and then the agent is a new one.
REBOOT_BAR_S = 86_400.0
NOT_TAKEN = frozenset({"needs_reboot", "refused", "rolled_back", "stuck"})


class Bars:
    """Which points are barred, until when, and for how long the last time."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}
        self._bar_s: dict[str, float] = {}

    def barred(self, now_s: float) -> list[str]:
        """The names of the points not to be asked for now."""
        return sorted(point for point, until_s in self._until_s.items() if now_s < until_s)

    def need_reboot(self, now_s: float) -> list[str]:
        """The names of the points that only a reboot can bring."""
        return [point for point in self.barred(now_s) if self._bar_s[point] == REBOOT_BAR_S]

    def note(self, point: str, outcome: Outcome, now_s: float) -> None:
        """Bar a point that failed, twice as long each time; free one that was applied.

        Where the actuator can't be reached nothing is barred: that isn't the point's fault.
        """
        if outcome.kind == "applied":
            self._until_s.pop(point, None)
            self._bar_s.pop(point, None)
        elif outcome.reached and outcome.kind in NOT_TAKEN:
            bar_s = min(LONGEST_BAR_S, 2.0 * self._bar_s.get(point, FIRST_BAR_S / 2.0))
            if outcome.kind == "needs_reboot":
                bar_s = REBOOT_BAR_S
            self._bar_s[point], self._until_s[point] = bar_s, now_s + bar_s
            log.warning("%s %s: %s; not asked again for %.0f s", point, outcome.kind, outcome.detail, bar_s)
