"""Where samples come from: an ordered tuple of readers, of which the first that can see is used.

A reader that can't see yet is asked again, so a sensor that appears late in boot is picked up,
and the one that served meanwhile is let go.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from tidewatt_agent.threads import in_thread
from tidewatt_governor.sample import Sample
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock

log = logging.getLogger(__name__)

#: Samples that a stalled tick may leave waiting: a quarter of an hour at 1 Hz.
MOST_WAITING = 900
#: Seconds between two questions to readers that couldn't see.
ASK_AGAIN_S = 15.0
LONGEST_PROBE_S = 10.0
#: Seconds after a loss before the board is looked at again.
LOST_PAUSE_S = 1.0


class TimedSample(msgspec.Struct, frozen=True):
    """A sample, the agent's own monotonic clock when it was taken, and who took it."""

    at_s: float
    sample: Sample
    reader: str = ""


class Probe(NamedTuple):
    """Whether a reader can see the board: now, perhaps later, or never here; and why (not)."""

    answer: Literal["ok", "later", "no"]
    why: str


class ReaderLostError(Exception):
    """A reader can't see the board any more; the message says why."""


class ReaderCounts(msgspec.Struct, kw_only=True):
    """What a reader met; each only grows."""

    samples: int = 0
    skipped: int = 0
    unknown_tokens: int = 0
    starts: int = 0


#: Real seconds that a reader may take to end; a child process is waited for.
CANCEL_AGAIN_S = 5.0


class Waiting:
    """Samples between the reader that takes them and the tick that uses them."""

    def __init__(self) -> None:
        self._samples: deque[TimedSample] = deque(maxlen=MOST_WAITING)

    def put(self, sample: TimedSample) -> None:
        """Add one; of too many the oldest is dropped."""
        self._samples.append(sample)

    def take(self) -> list[TimedSample]:
        """The samples since the last take, oldest first; empty when none came."""
        # One by one: another thread may put one meanwhile.
        return [self._samples.popleft() for _ in range(len(self._samples))]


class Reader(Protocol):
    """One way to read the board."""

    name: str
    counts: ReaderCounts

    def probe(self) -> Probe:
        """Whether it can see the board. Blocking and short."""

    async def run(self) -> None:
        """Take samples until cancelled; ReaderLostError when it can't any more."""

    def take(self) -> list[TimedSample]:
        """The samples since the last take, oldest first."""


class Readers:
    """The best reader there is. `run` never ends by itself; `take` empties what came since."""

    def __init__(self, readers: Sequence[Reader], clock: Clock) -> None:
        """`readers`: at least one, the preferred first."""
        self.all = tuple(readers)
        self._clock = clock
        self._current: Reader | None = None
        self._said: tuple[str, ...] = ()

    @property
    def current(self) -> Reader | None:
        """The reader in use, None while none can see."""
        return self._current

    def take(self) -> list[TimedSample]:
        """The samples of every reader since the last take, oldest first."""
        taken = [timed for reader in self.all for timed in reader.take()]
        return sorted(taken, key=lambda timed: timed.at_s)

    async def run(self) -> None:
        """Use the first reader that can see, for ever; ends only by cancellation."""
        while True:
            self._current = await self._choose()
            if self._current is None:
                await self._pause(ASK_AGAIN_S)
                continue
            log.info("reading the board by %s", self._current.name)
            await self._until_lost_or_bettered(self._current)
            self._current = None

    async def _choose(self) -> Reader | None:
        why: list[str] = []
        for reader in self.all:
            probe = await _probe(reader)
            if probe.answer == "ok":
                self._said = ()
                return reader
            why.append(f"{reader.name}: {probe.why}")
        if tuple(why) != self._said:
            # Said once, not every time it is asked in vain.
            log.warning("nothing can read the board: %s", "; ".join(why))
            self._said = tuple(why)
        return None

    async def _until_lost_or_bettered(self, reader: Reader) -> None:
        reading = asyncio.create_task(reader.run())
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=self._clock.real_seconds(ASK_AGAIN_S))
                better = None if reading.done() else await self._better_than(reader)
                if better:
                    log.info("%s can see the board now: leaving %s", better.name, reader.name)
                    return
            try:
                reading.result()
            except ReaderLostError as error:
                log.warning("%s lost the board: %s", reader.name, error)
                await self._pause(LOST_PAUSE_S)
            except Exception:
                # A reading that nobody foresaw must not end the agent; it is tried again.
                log.exception("%s broke", reader.name)
                await self._pause(ASK_AGAIN_S)
        finally:
            await ended(reading, again_s=CANCEL_AGAIN_S)

    async def _better_than(self, reader: Reader) -> Reader | None:
        for one in self.all[: self.all.index(reader)]:
            if (await _probe(one)).answer == "ok":
                return one
        return None

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(self._clock.real_seconds(seconds))


async def _probe(reader: Reader) -> Probe:
    try:
        return await in_thread(LONGEST_PROBE_S, reader.probe)
    except asyncio.TimeoutError:
        return Probe("later", f"didn't answer within {LONGEST_PROBE_S:.0f} s")
