"""Reports on their way: fresh ones in memory, those that wait longer than a moment in the spool.

Fresh ones leave first; the spool's follow behind at a limited rate, so that a fleet that comes back
doesn't drown the broker, and what is shown is the present. A report is forgotten when the broker has
acknowledged it; one that was sent and not forgotten in time is sent twice, which harms nobody.
Where the spool fails, or there is none, reports wait in memory, thinned in the same way.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from tidewatt_agent.config import REPLAY_PER_S
from tidewatt_agent.spool import Entry, Kept, Settled, Spool
from tidewatt_agent.thinning import surplus
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Report

log = logging.getLogger(__name__)

#: An hour of reports at the default 10 s.
MOST_IN_MEMORY = 360
#: Real seconds after which a report that could not leave is worth a write.
MOMENT_S = 5.0
#: Real seconds between two writes: one flush of the card for all that came in between.
KEEP_EVERY_S = 30.0
#: Reports read from the spool at a time.
READ_AT_ONCE = 64


class Fresh(NamedTuple):
    """A report in memory, and when it came (monotonic real seconds)."""

    report: Report
    since_s: float
    past: bool = False
    """Whether it tells of a time before the report that was made last."""


class Parcel(NamedTuple):
    """What is to be sent next."""

    payload: bytes
    at_ms: int
    origin: Fresh | Kept

    @property
    def replayed(self) -> bool:
        """Whether it is of the past: kept in the spool till now, or told again."""
        return isinstance(self.origin, Kept) or self.origin.past


class Outbox:
    """`put` never blocks; `keep` never ends by itself and is what moves reports to and from the disk."""

    def __init__(
        self,
        spool: Spool | None = None,
        replay_per_s: float = REPLAY_PER_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool, self._pause_s, self._now_s = spool, 1.0 / replay_per_s, now_s
        self._fresh: deque[Fresh] = deque()
        self._replays: deque[Kept] = deque()
        self._acknowledged: list[int] = []
        """Ids that the spool need not keep any longer."""
        self._file = self._read_to = self._stored = 0
        self._more = False
        """Whether the spool may hold reports beyond `_read_to`."""
        self._replayed_s = now_s()
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._settling = asyncio.Lock()
        self.thinned = 0
        """Reports given up for room, since the start."""
        self.replayed = 0
        """Reports of the spool that were acknowledged, since the start."""
        self.size = 0
        """Bytes of the spool's file in use."""
        self.trouble: str | None = None
        """Why the spool can't be used now."""

    @property
    def fresh(self) -> int:
        """Reports in memory."""
        return len(self._fresh)

    @property
    def stored(self) -> int:
        """Reports in the spool that are not acknowledged."""
        return self._stored - len(self._acknowledged)

    @property
    def spools(self) -> bool:
        """Whether there is a spool."""
        return self._spool is not None

    def put(self, report: Report, *, past: bool = False) -> Report:
        """Queue a report, and give it as it will be told: with how many wait before it.

        `past`: nobody is to take it for the present, though it leaves with those that are.
        """
        gauges = msgspec.structs.replace(
            report.gauges, waiting=self.fresh + self.stored, thinned=self.thinned
        )
        told = msgspec.structs.replace(report, gauges=gauges)
        if len(self._fresh) >= MOST_IN_MEMORY:
            self._thin()
        self._fresh.append(Fresh(told, self._now_s(), past))
        self._empty.clear()
        self._news.set()
        return told

    async def flushed(self) -> None:
        """Return when no report waits in memory: all are acknowledged, or in the spool."""
        await self._empty.wait()

    async def next(self) -> Parcel:
        """What to send next, as soon as there is something: fresh reports, then the spool's at their pace."""
        while True:
            self._news.clear()
            if self._fresh:
                fresh = self._fresh[0]
                return Parcel(encode(fresh.report), fresh.report.at_ms, fresh)
            pause_s = self._replayed_s + self._pause_s - self._now_s()
            if pause_s <= 0 and not self._replays and self._more:
                await self._read()
                continue  # a fresh one may have come meanwhile
            if pause_s <= 0 and self._replays:
                kept = self._replays[0]
                self._replayed_s = self._now_s()
                return Parcel(kept.payload, kept.at_ms, kept)
            await self._wait(pause_s if self._replays or self._more else None)

    def sent(self, parcel: Parcel) -> None:
        """The broker has acknowledged it."""
        # By identity: it may have been moved to the spool or thinned while it was on its way, and
        # the spool may have begun another file, where its id is somebody else's.
        if self._fresh and self._fresh[0] is parcel.origin:
            self._fresh.popleft()
        elif self._replays and self._replays[0] is parcel.origin:
            self._acknowledged.append(self._replays.popleft().id)
            self.replayed += 1
        if not self._fresh:
            self._empty.set()

    async def keep(self) -> None:
        """Move what waits longer than a moment to the spool, for ever."""
        while True:
            await self.settle()
            await asyncio.sleep(KEEP_EVERY_S)

    async def close(self) -> None:
        """Put all that waits into the spool, and let go of it."""
        if self._spool:
            await self.settle(at_once=True)
            await asyncio.to_thread(self._spool.close)

    async def settle(self, *, at_once: bool = False) -> None:
        """Bring the spool up to date, in one transaction; a failure is logged once and tried again."""
        if self._spool is None:
            return
        async with self._settling:
            now_s = self._now_s()
            due = [one for one in self._fresh if at_once or now_s - one.since_s >= MOMENT_S]
            if self._file and not (due or self._acknowledged or self.trouble):
                return
            gone = tuple(self._acknowledged)
            entries = [Entry(one.report.epoch, one.report.at_ms, encode(one.report)) for one in due]
            try:
                settled = await asyncio.to_thread(self._spool.settle, entries, gone)
            except OSError as error:
                self._failed(error)
            else:
                self._well()
                self._take_over(settled, due, len(gone))

    def _take_over(self, settled: Settled, due: list[Fresh], gone: int) -> None:
        if settled.file != self._file:
            # Opened, or begun anew: what was read of it before has no meaning in it. After a mere
            # failure to reach it this sends some reports twice.
            self._replays.clear()
            self._acknowledged.clear()
            self._file, self._read_to = settled.file, 0
        else:
            del self._acknowledged[:gone]
        for one, key in zip(due, settled.ids, strict=True):
            place = next((index for index, other in enumerate(self._fresh) if other is one), None)
            if place is None:  # it left while it was written
                self._acknowledged.append(key)
            else:
                del self._fresh[place]
        self._stored, self.size = settled.waiting, settled.size
        self.thinned += settled.thinned
        self._more = self.stored > len(self._replays)
        if not self._fresh:
            self._empty.set()
        self._news.set()

    async def _read(self) -> None:
        assert self._spool is not None  # noqa: S101 - there is more only where there is a spool
        file = self._file
        try:
            found = await asyncio.to_thread(self._spool.after, self._read_to, READ_AT_ONCE)
        except OSError as error:
            self._failed(error)
            self._more = False
            return
        if file != self._file:
            return
        self._replays.extend(found)
        self._more = len(found) == READ_AT_ONCE
        if found:
            self._read_to = found[-1].id

    async def _wait(self, longest_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        timer = None if longest_s is None else loop.call_later(max(0.0, longest_s), self._news.set)
        try:
            await self._news.wait()
        finally:
            if timer:
                timer.cancel()

    def _thin(self) -> None:
        gone = surplus([one.report.epoch for one in self._fresh])
        for position in reversed(gone):
            del self._fresh[position]
        self.thinned += len(gone)

    def _failed(self, error: OSError) -> None:
        if self.trouble is None:
            log.error("spool: %s; reports wait in memory", error)
        self.trouble = str(error)

    def _well(self) -> None:
        if self.trouble is not None:
            log.warning("spool: recovered")
        self.trouble = None
