"""What the link has to say of sleep, and its own rest: no connection, and no will that calls that a death."""

import asyncio
from collections.abc import Callable

from tidewatt_link.ending import within
from tidewatt_wire.sleeping import SleepState

State = Callable[[str], SleepState]


class Bed:
    """The device's word as it stands, and whether the link is to rest after it."""

    def __init__(self) -> None:
        self._state: State | None = None
        self._news = asyncio.Event()
        self._resting = False
        self._gone, self._up = asyncio.Event(), asyncio.Event()

    def say(self, state: State) -> None:
        """Have this said, now and at every connection."""
        self._state = state
        self._news.set()

    def reconnected(self) -> None:
        """Have it said again."""
        if self._state:
            self._news.set()

    async def next(self) -> tuple[State, bool]:
        """What is to be said, as soon as there is something, and whether it is the last word."""
        await self._news.wait()
        self._news.clear()
        assert self._state  # noqa: S101 - there is no news without
        return self._state, self._resting

    def said(self) -> None:
        """The last word was said: the connection ends."""
        self._gone.set()

    async def rest(self, state: State, within_s: float) -> bool:
        """Have the last word said; whether the link was gone after it in time."""
        self._resting = True
        self._gone.clear()
        self._up.clear()
        self.say(state)
        try:
            await within(self._gone.wait(), within_s)
        except asyncio.TimeoutError:
            return False
        return True

    def wake(self, state: State) -> None:
        """Rest no longer, and say this."""
        self._resting = False
        self._gone.clear()
        self.say(state)
        self._up.set()

    async def slept(self) -> bool:
        """Stay in bed if the last word was said; whether that was so."""
        if not self._gone.is_set():
            return False
        await self._up.wait()
        return True
