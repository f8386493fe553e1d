"""The planned reboot: announced, told upstream, done in the policy's window, and answered for afterwards.

A mode that needs a reboot is left alone, unless the policy allows no other mode and names a maintenance
window. Then, inside it: the plan is put on file by the actuator and reported; when the fleet has
acknowledged that report and a minute has passed, the actuator reboots the board; and the first reports
after the boot say whether the mode was reached, until they have been acknowledged, too.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidewatt_agent.hands import Hands, Outcome
from tidewatt_governor.decide import Decision
from tidewatt_governor.maintenance import is_open
from tidewatt_wire.messages import MaintenanceWindow, Policy

log = logging.getLogger(__name__)

#: Whoever watches has this long to object: take a lease, or the window away.
ANNOUNCE_S = 60.0
#: One that was refused, or did not come, is asked for again after this.
AGAIN_S = 3600.0
#: The actuator gives up waiting for it at the same time.
COMES_WITHIN_S = 600.0
RULE = "maintenance"

Answer = tuple[Decision, Outcome]


class Maintenance:
    """What is planned, under way, or has just been done."""

    def __init__(self, told: Callable[[int], bool]) -> None:
        """`told(at_ms)`: whether a report not older than that has been acknowledged, if anybody listens."""
        self._told = told
        self._news_ms: int | None = None
        self._planned: tuple[str, float, int] | None = None
        self._not_before_s = self._under_way_until_s = 0.0

    def under_way(self, now_s: float) -> bool:
        """Whether the board is about to reboot: nothing may be set any more."""
        return now_s < self._under_way_until_s

    async def after_boot(self, hands: Hands, at_ms: int) -> Answer | None:
        """How the last reboot ended, as long as that has not been told."""
        ended = hands.reboot_ended()
        if ended is None or ended.point is None:
            self._news_ms = None
            return None
        if self._news_ms is None:
            self._news_ms = at_ms
        elif self._told(self._news_ms):
            await hands.reboot_seen()
        became = "brought" if ended.kind == "reboot_reached" else "did not bring"
        reason = f"the planned reboot {became} {ended.point}"
        return Decision(point=ended.point, rule=RULE, reason=reason), ended

    async def step(
        self,
        hands: Hands,
        target: str | None,
        policy: Policy,
        at_ms: int,
        now_s: float,
        leases: Sequence[object],
    ) -> Answer | None:
        """What is to be said instead of the tick's own decision; None where nothing is to be rebooted for."""
        why_not = _why_not(target, policy, at_ms, leases)
        if why_not and self._planned:
            log.warning("the reboot into %s is not done: %s", self._planned[0], why_not)
            self._planned = None
        if target is None or why_not or now_s < self._not_before_s:
            return None
        if self._planned is None or self._planned[0] != target:
            return await self._plan(hands, target, at_ms, now_s)
        _, since_s, since_ms = self._planned
        if now_s - since_s < ANNOUNCE_S or not self._told(since_ms):
            return _said(target, Outcome("reboot_planned", target), "is planned")
        return await self._reboot(hands, target, now_s)

    async def _reboot(self, hands: Hands, target: str, now_s: float) -> Answer:
        outcome = await hands.reboot(target)
        self._planned, self._not_before_s = None, now_s + AGAIN_S
        if outcome.kind != "rebooting":
            return _said(target, outcome, f"is refused: {outcome.detail}")
        self._under_way_until_s = now_s + COMES_WITHIN_S
        return _said(target, outcome, "begins")

    async def _plan(self, hands: Hands, target: str, at_ms: int, now_s: float) -> Answer:
        outcome = await hands.plan_reboot(target)
        if outcome.kind != "reboot_planned":
            self._not_before_s = now_s + AGAIN_S
            log.warning("no reboot into %s: %s", target, outcome.detail)
            return _said(target, outcome, f"can't be planned: {outcome.detail}")
        self._planned = (target, now_s, at_ms)
        log.warning("a reboot into %s is planned: %s", target, outcome.detail)
        return _said(target, outcome, "is planned")


def _why_not(target: str | None, policy: Policy, at_ms: int, leases: Sequence[object]) -> str:
    """Why there is no reboot now; empty when there may be."""
    if target is None or policy.maintenance is None:
        return "the policy demands none"
    if leases:
        return "an application holds a floor"
    return "" if open_now(policy.maintenance, at_ms) else "the window is closed"


def _said(target: str, outcome: Outcome, what: str) -> Answer:
    reason = f"the policy allows nothing but modes that need a reboot: one into {target} {what}"
    return Decision(point=target, rule=RULE, reason=reason), outcome


def open_now(window: MaintenanceWindow, at_ms: int) -> bool:
    """Whether the window is open; never in a zone that isn't known here."""
    zone = _zone(window.zone)
    if zone is None:
        return False
    return is_open(window, datetime.fromtimestamp(at_ms / 1000, timezone.utc).astimezone(zone))


def is_known_zone(name: str) -> bool:
    """Whether this board's time zone database has a zone of that name."""
    return _zone(name) is not None


@lru_cache(maxsize=64)  # quiet hours are asked about every tick, and an unknown zone is said once
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        log.warning("no time zone %r is known here, so windows in it stay shut", name)
        return None
