"""The acks on their way: each leaves once and in order, the newest again whenever the link comes back."""

import asyncio
from collections import deque

from tidewatt_wire.messages import Ack

#: A policy set is answered with two or three; more than these wait only while the broker is away.
MOST_WAITING = 16


class Answers:
    """Acks that wait for the link. `put` never blocks; a full queue gives up the oldest."""

    def __init__(self) -> None:
        self._waiting: deque[Ack] = deque(maxlen=MOST_WAITING)
        self._news = asyncio.Event()
        self.latest: Ack | None = None
        """The device's answer as it stands: what is retained at the broker."""

    def put(self, ack: Ack) -> None:
        """Queue an ack; it leaves as soon as there is a connection."""
        self.latest = ack
        self._waiting.append(ack)
        self._news.set()

    def reconnected(self) -> None:
        """Have the newest told again: a broker may have lost what it retained."""
        if self.latest is not None and not self._waiting:
            self.put(self.latest)

    async def next(self) -> Ack:
        """The oldest that waits, as soon as there is one; it goes on waiting until `sent`."""
        while not self._waiting:
            self._news.clear()
            await self._news.wait()
        return self._waiting[0]

    def sent(self, ack: Ack) -> None:
        """Let go of an ack that the broker has; a full queue may have given it up itself."""
        if self._waiting and self._waiting[0] is ack:
            self._waiting.popleft()
