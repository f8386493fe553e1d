"""Keeps one proxy doing what is wanted: applies what changed, looks whether it still stands, tries again.

What fails is logged once, and once more when it works again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from tidewatt_link.ending import within
from tidewatt_router.proxies import Achieved, CannotApply, Proxy
from tidewatt_router.splits import Wanted

log = logging.getLogger(__name__)

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0


class Applier:
    """One proxy's. `want` never blocks; `run` never ends by itself."""

    def __init__(self, proxy: Proxy, monotonic_s: Callable[[], float], verify_s: float) -> None:
        self.proxy = proxy
        self._monotonic_s, self._verify_s = monotonic_s, verify_s
        self._wanted: Wanted | None = None
        self._changed = asyncio.Event()
        self._changed_s = float("-inf")
        self.applied: Wanted | None = None
        """What the proxy was last seen to do."""
        self.in_step = False
        """Whether it does what is wanted."""
        self.why = ""
        """Why it doesn't."""
        self.applies, self.failures, self.restored = 0, 0, 0
        """Changes made; tries that failed; changes made again because the proxy had lost them."""
        self.seconds = 0.0
        """That all changes took."""
        self._failed_in_a_row = 0

    def want(self, wanted: Wanted) -> None:
        """From now on the proxy should do this."""
        changed = self._wanted is None or wanted.asks != self._wanted.asks
        self._wanted = wanted
        if changed:
            self.in_step = False
            self._failed_in_a_row = 0
            self._changed.set()
        elif self.in_step:
            self.applied = wanted

    @property
    def achieved(self) -> dict[str, Achieved]:
        """What each route does after rounding; empty until something was applied."""
        return (
            {split.route: self.proxy.achieved(split) for split in self.applied.splits} if self.applied else {}
        )

    async def run(self) -> None:
        """Keep it in step for ever."""
        while True:
            wait_s = await self.step()
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._changed.wait(), wait_s)

    async def step(self) -> float:
        """Do what is to be done; how many seconds until there may be more to do."""
        self._changed.clear()
        wanted = self._wanted
        if wanted is None:
            return self._verify_s
        if wait_s := self._pause_s(wanted):
            return wait_s
        try:
            if self.applied and self.applied.asks == wanted.asks:
                if await asyncio.to_thread(self.proxy.stands, wanted):
                    return self._well(wanted)
                self.restored += 1
                log.warning("%s has lost its weights; they are set again", self.proxy.name)
            await self._apply(wanted)
        except CannotApply as error:
            return self._failed(str(error))
        return self._well(wanted)

    async def _apply(self, wanted: Wanted) -> None:
        begun_s = self._monotonic_s()
        try:
            await asyncio.to_thread(self.proxy.apply, wanted)
        finally:
            self.seconds += self._monotonic_s() - begun_s
        self.applies += 1
        self._changed_s = self._monotonic_s()

    def _pause_s(self, wanted: Wanted) -> float:
        """How long a change has to wait for the last one; one that takes traffic away doesn't."""
        if self.applied is None or self.applied.asks == wanted.asks or wanted.takes_away(self.applied):
            return 0.0
        return max(0.0, self._changed_s + self.proxy.pause_s - self._monotonic_s())

    def _well(self, wanted: Wanted) -> float:
        if self.why:
            log.info("%s does as it is told again", self.proxy.name)
        self.applied, self.why, self._failed_in_a_row = wanted, "", 0
        self.in_step = self._wanted is not None and self._wanted.asks == wanted.asks
        return self._verify_s

    def _failed(self, why: str) -> float:
        if not self.why:
            log.error("%s; trying again", why)
        self.why, self.in_step = why, False
        self.failures += 1
        self._failed_in_a_row += 1
        return min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** (self._failed_in_a_row - 1))
