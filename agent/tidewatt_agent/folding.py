"""Hands that act until the fleet's policy says observe."""

import logging
from collections.abc import Callable, Mapping

from tidewatt_agent.hands import FoldedHands, Hands, Outcome, Stance
from tidewatt_wire.messages import Control

log = logging.getLogger(__name__)


class FoldingHands:
    """Hands that may act, and fold while the fleet's policy says observe: what they did is put back.

    Hands that were configured to observe are FoldedHands, which nothing from afar unfolds.
    """

    def __init__(self, inner: Hands, control: Callable[[], Control | None]) -> None:
        """`control`: what the policy in force says, asked at every look."""
        self._inner, self._folded, self._control = inner, FoldedHands(inner), control
        self._now: Hands = inner

    @property
    def acts(self) -> bool:
        """Whether they act now."""
        return self._now.acts

    async def look(self) -> Stance:
        """See Hands.look. The policy's word counts from here to the next look."""
        folded = self._control() == "observe"
        if folded != (self._now is self._folded):
            self._now = self._folded if folded else self._inner
            log.warning("the policy says %s", "observe: the board is put back" if folded else "enforce again")
        stance = await self._now.look()
        if folded and stance.seen and stance.changed:
            await self._inner.restore()
            stance = await self._now.look()
        return stance

    async def go_to(self, point: str) -> Outcome:
        """See Hands.go_to."""
        return await self._now.go_to(point)

    async def trim(self, caps: Mapping[str, int | None]) -> Outcome:
        """See Hands.trim."""
        return await self._now.trim(caps)

    async def plan_reboot(self, point: str) -> Outcome:
        """See Hands.plan_reboot."""
        return await self._now.plan_reboot(point)

    async def reboot(self, point: str) -> Outcome:
        """See Hands.reboot."""
        return await self._now.reboot(point)

    def reboot_ended(self) -> Outcome | None:
        """See Hands.reboot_ended."""
        return self._now.reboot_ended()

    async def reboot_seen(self) -> None:
        """See Hands.reboot_seen."""
        await self._now.reboot_seen()

    async def restore(self) -> None:
        """See Hands.restore; what was done before they were folded is remembered."""
        await self._inner.restore()

    async def close(self) -> None:
        """See Hands.close."""
        await self._inner.close()
