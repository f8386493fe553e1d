"""Open-loop load at a rate: requests come by chance, whether or not those before were answered.

Bounded: so many in flight as the rate and four times the promise make, and not one more; when they are
there, or when too many are refused, it ends before its time. Latency counts from when a request was due.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import msgspec

from tidewatt_wire.clock import Clock

Ask = Callable[[], Awaitable[bool]]

#: More than this many promises late on the mean, and it isn't kept up with.
PROMISES_LATE = 4.0
LEAST_IN_FLIGHT, MOST_IN_FLIGHT = 16, 512
#: So many answers are looked at for failures, and this share of them ends the load.
LOOKED_AT, MOST_FAILED = 20, 0.5
#: Real seconds that answers are waited for at the end.
LAST_ANSWERS_S = 5.0
#: A load that can't be sent in time isn't the one that was asked for.
LATEST_S = 0.5
P95 = 0.95


class TooSlowToAskError(ValueError):
    """This machine can't send so many requests; the sentence says how many."""


class Driven(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a load. Rates in requests/s; the time to settle isn't counted."""

    from_s: float
    """When counting began, by the clock's monotonic seconds."""
    seconds: float
    sent_rps: float
    answered_rps: float
    failed: float
    """Share of the requests sent."""
    p95_ms: float | None
    cut: bool
    asked: int = 0
    """Requests sent in all, also while it settled."""


class _Answer(msgspec.Struct, frozen=True):
    due_s: float
    done_s: float
    good: bool


async def drive(
    ask: Ask,
    rps: float,
    seconds: float,
    settle_s: float,
    slo_p95_ms: float,
    clock: Clock,
    chance: random.Random,
) -> Driven:
    """Ask `rps` times a second (0: not at all) for `settle_s` and then `seconds`.

    Raises TooSlowToAskError. Cancelled, it leaves nothing in flight.
    """
    start_s = clock.monotonic_s()
    if rps <= 0.0:
        await asyncio.sleep(clock.real_seconds(settle_s + seconds))
        counted_s = clock.monotonic_s() - start_s - settle_s
        return Driven(
            from_s=start_s + settle_s, seconds=counted_s, sent_rps=0, answered_rps=0, failed=0, p95_ms=None,
            cut=False,
        )  # fmt: skip
    flight = _Flight(ask, clock, round(PROMISES_LATE * rps * slo_p95_ms / 1000.0))
    try:
        cut = await flight.send(rps, start_s + settle_s + seconds, chance)
        end_s = clock.monotonic_s()
        await flight.land()
    finally:
        flight.abandon()
    from_s = start_s if cut else start_s + settle_s
    return flight.between(from_s, end_s, cut=cut)


class _Flight:
    """The requests that are under way, and the answers so far."""

    def __init__(self, ask: Ask, clock: Clock, most: int) -> None:
        self._ask, self._clock = ask, clock
        self._most = max(LEAST_IN_FLIGHT, min(MOST_IN_FLIGHT, most))
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: list[float] = []
        self._answers: list[_Answer] = []

    async def send(self, rps: float, until_s: float, chance: random.Random) -> bool:
        """Send at the rate; whether it was cut short because the application doesn't keep up."""
        due_s = self._clock.monotonic_s() + chance.expovariate(rps)
        while due_s < until_s:
            ahead_s = due_s - self._clock.monotonic_s()
            # Also when late: the answers have to get their turn.
            await asyncio.sleep(max(0.0, self._clock.real_seconds(ahead_s)))
            if -self._clock.real_seconds(ahead_s) > LATEST_S:
                raise TooSlowToAskError(
                    f"this machine can't send {rps:.0f} requests/s in time; give --max-rps a lower rate"
                )
            if self._overwhelmed():
                return True
            self._due.append(due_s)
            task = asyncio.create_task(self._one(due_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due_s += chance.expovariate(rps)
        await asyncio.sleep(max(0.0, self._clock.real_seconds(until_s - self._clock.monotonic_s())))
        return self._overwhelmed()

    def _overwhelmed(self) -> bool:
        last = self._answers[-LOOKED_AT:]
        failing = len(last) == LOOKED_AT and sum(not one.good for one in last) >= MOST_FAILED * LOOKED_AT
        return failing or len(self._tasks) >= self._most

    async def _one(self, due_s: float) -> None:
        good = await self._ask()
        self._answers.append(_Answer(due_s, self._clock.monotonic_s(), good))

    async def land(self) -> None:
        """Wait a while for what is still to be answered."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=LAST_ANSWERS_S)

    def abandon(self) -> None:
        """Give up on what is left."""
        for task in self._tasks:
            task.cancel()

    def between(self, from_s: float, end_s: float, *, cut: bool) -> Driven:
        """What came of the requests that were due in that time."""
        seconds = max(end_s - from_s, 1e-3)
        sent = sum(1 for due_s in self._due if due_s >= from_s)
        good = [one for one in self._answers if one.good]
        mine = sorted(one.done_s - one.due_s for one in good if one.due_s >= from_s)
        done = sum(1 for one in good if from_s <= one.done_s < end_s)
        return Driven(
            from_s=from_s,
            seconds=seconds,
            sent_rps=sent / seconds,
            answered_rps=done / seconds,
            failed=1.0 - len(mine) / sent if sent else 0.0,
            p95_ms=mine[min(len(mine) - 1, int(P95 * len(mine)))] * 1000.0 if mine else None,
            cut=cut,
            asked=len(self._due),
        )
