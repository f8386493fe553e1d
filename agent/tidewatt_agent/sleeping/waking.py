"""Awake again: the hook, then every check, until the board is as good as before or one of them is not."""

from collections.abc import Awaitable, Callable

import msgspec

from tidewatt_agent.config import Load, Sleep
from tidewatt_agent.sleeping.checks import STEP_S, Check, health, readable, within
from tidewatt_agent.sleeping.commands import run
from tidewatt_wire.clock import Clock


class Woken(msgspec.Struct, frozen=True):
    """How it went: what is wrong, in a sentence, empty if nothing; and how long it took, in seconds."""

    why_not: str
    resume_s: float


class Waking:
    """The checks, in their order: clock, hook, network, health, application."""

    def __init__(
        self, config: Sleep, loads: list[Load], clock: Clock, network: Callable[[], Awaitable[str]]
    ) -> None:
        """`network`: what is wrong with the network and the broker's link, empty if nothing."""
        self._config, self._loads, self._clock, self._network = config, loads, clock, network

    async def __call__(self, step_s: float) -> Woken:
        """Look at all of it; `step_s`: by how much the time of day has moved while it slept."""
        began_s = self._clock.monotonic_s()
        why = await self._first_wrong(step_s)
        return Woken(why, self._clock.monotonic_s() - began_s)

    async def _first_wrong(self, step_s: float) -> str:
        # An answer takes its time to arrive, and in fast virtual time that is more of it.
        if abs(step_s) > STEP_S * self._clock.speed:
            return f"the time of day moved by {step_s:+.0f} s while it slept"
        if why := (await run(self._config.after, self._config.hook_s)).why_not:
            return f"the hook after sleep failed: {why}"
        checks: list[Check] = [
            self._network,
            health(self._config.health, self._config.health_s),
            readable(self._loads),
        ]
        for check in checks:
            if why := await within(self._config.ready_s, check):
                return why
        return ""
