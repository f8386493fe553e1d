"""The sweep on a board: switch, load, measure, and again, until the planner has enough.

The board is watched meanwhile: the actuator takes silence for death, and a mode that somebody else
sets makes a measurement worthless.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from tidewatt_agent.calibrate.drive import Ask, Driven, drive
from tidewatt_agent.hands import Hands
from tidewatt_agent.power import PowerRule
from tidewatt_agent.readers import TimedSample
from tidewatt_agent.situation import hottest
from tidewatt_governor.calibrate import Plan, Step, fits, next_step
from tidewatt_governor.fitting import BadMeasurementError, Fit, Measurement
from tidewatt_governor.sample import Load
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock

#: After a switch or another rate, clocks, queues and the sensor's mean follow within so many seconds.
SETTLE_S, SETTLE_SHARE = 3.0, 0.25
#: Real seconds between two looks at the board while it is measured; the actuator waits 30.
WATCH_S = 5.0
#: Junction temperature in degrees C from which hardware may throttle: what is measured then isn't the mode.
TOO_HOT_C = 95.0
#: Requests that others send: more than this share of ours, or than this many a second, spoil it.
FOREIGN_SHARE, FOREIGN_RPS = 0.1, 1.0


class DisturbedError(OSError):
    """Somebody else set the board's mode, or it can't be looked at any more."""


class Source(Protocol):
    """Where samples come from."""

    def take(self) -> list[TimedSample]:
        """The samples since the last take, oldest first."""


class LoadReader(Protocol):
    """What the application says that it was asked for."""

    async def read(self, now_s: float) -> Load | None:
        """The load since the last good read, None when it isn't known."""


class Sweep:
    """A board, its sensors and its application, being measured."""

    def __init__(
        self,
        hands: Hands,
        source: Source,
        ask: Ask,
        clock: Clock,
        power: PowerRule,
        say: Callable[[str], None],
        load: LoadReader | None = None,
        here: str | None = None,
    ) -> None:
        """`say` gets a line per measurement. `here`: the mode it stands in, where that isn't to change."""
        self._hands, self._source, self._ask, self._clock = hands, source, ask, clock
        self._power, self._say, self._load, self._here = power, say, load, here
        self._read_s = clock.monotonic_s()
        self._chance = random.Random(1)  # noqa: S311 - the same arrivals each time, no secret

    async def run(self, plan: Plan) -> list[Fit]:
        """Measure what the plan asks for; the fits of the modes that could be.

        Raises BadMeasurementError, TooSlowToAskError, DisturbedError. The caller has the board put back.
        """
        made: list[Measurement] = []
        while step := await asyncio.to_thread(next_step, plan, tuple(made)):
            if why := await self._go_to(step.point):
                self._say(f"{step.point:12} left out: {why}")
                left = [point for point in plan.points if point.name != step.point]
                made = [one for one in made if one.point != step.point]
                plan = msgspec.structs.replace(plan, points=left)
                if not left:
                    raise BadMeasurementError("no mode could be measured")
                continue
            made.append(await self._measure(step, plan))
            self._say(line(made[-1], step.why))
        return await asyncio.to_thread(fits, plan, made)

    async def _go_to(self, point: str) -> str:
        """Be at the point; why it can't be, empty when it is."""
        if self._here is not None:
            return ""  # the plan holds no other
        if (await self._hands.look()).point == point:
            return ""
        outcome = await self._hands.go_to(point)
        if not outcome.reached:
            raise DisturbedError(f"the actuator doesn't answer: {outcome.detail}")
        return "" if outcome.point == point else f"{outcome.kind} {outcome.detail}".strip()

    async def _measure(self, step: Step, plan: Plan) -> Measurement:
        settle_s = min(SETTLE_S, SETTLE_SHARE * step.seconds)
        self._source.take()
        await self._foreign(0)
        load = drive(self._ask, step.rps, step.seconds, settle_s, plan.slo_p95_ms, self._clock, self._chance)
        driven = await self._watched(step.point, asyncio.create_task(load))
        foreign = await self._foreign(driven.asked)
        if foreign > max(FOREIGN_RPS, FOREIGN_SHARE * driven.sent_rps):
            raise BadMeasurementError(
                f"{step.point} at {step.rps:.0f} requests/s: the application serves {foreign:.0f} requests/s "
                "that aren't ours; take its traffic away first"
            )
        return self._measurement(step, driven)

    async def _foreign(self, ours: int) -> float:
        """The requests/s since the last call that others sent, beside so many of ours; 0 where unknown.

        All of ours count: what came while the load settled came by chance, more often or less than later.
        """
        now_s = self._clock.monotonic_s()
        since_s, self._read_s = now_s - self._read_s, now_s
        load = await self._load.read(now_s) if self._load else None
        return max(0.0, load.rps - ours / since_s) if load and since_s > 0.0 else 0.0

    async def _watched(self, point: str, driving: "asyncio.Task[Driven]") -> Driven:
        """What the load came to, the board looked at meanwhile."""
        try:
            while not driving.done():
                # No look is given up in the middle: the actuator would take that for our going away.
                await asyncio.wait({driving}, timeout=WATCH_S)
                await self._still_at(point)
            return driving.result()
        finally:
            await ended(driving)

    async def _still_at(self, point: str) -> None:
        stance = await self._hands.look()
        if not stance.seen:
            raise DisturbedError("the board's mode can't be read any more")
        if stance.point != point:
            raise DisturbedError(
                f"somebody set {stance.point or 'no mode of its own'} while {point} was measured"
            )

    def _measurement(self, step: Step, driven: Driven) -> Measurement:
        end_s = driven.from_s + driven.seconds
        mine = [one for one in self._source.take() if driven.from_s <= one.at_s <= end_s + 1e-6]
        read = [self._power(one.reader, one.sample.rails).watts for one in mine]
        watts = [value for value in read if value is not None]
        heat = max((found for one in mine if (found := hottest(one.sample)) is not None), default=0.0)
        if heat >= TOO_HOT_C:
            raise BadMeasurementError(f"{step.point}: {heat:.0f} °C; let the board cool, then try again")
        return Measurement(
            point=step.point,
            offered_rps=driven.sent_rps,
            seconds=driven.seconds,
            answered_rps=driven.answered_rps,
            failed=driven.failed,
            p95_ms=driven.p95_ms,
            watts=sum(watts) / len(watts) if watts else None,
            cut=driven.cut,
        )


def line(one: Measurement, why: str) -> str:
    """A measurement as one line for a person."""
    p95 = "" if one.p95_ms is None else f"p95 {one.p95_ms:.0f} ms"
    watts = "no power" if one.watts is None else f"{one.watts:.2f} W"
    over = " - it doesn't keep up" if one.over else ""
    return f"{one.point:12} {one.offered_rps:8.1f} requests/s  {p95:12} {watts:>9}  {why}{over}"


def table(found: Sequence[Fit], usable: Callable[[Fit], float]) -> list[str]:
    """What was found, a line a mode. `usable`: the rate within the promise."""
    head = "mode           idle W  J/request  p95 light  within the promise       power model"
    return [
        head,
        *(
            f"{one.point.name:12} {one.point.idle_watts:8.2f} {one.point.joules_per_request:10.5f} "
            f"{one.point.light_p95_ms:7.0f} ms {usable(one):8.1f} requests/s ±{one.rate_error:4.0%}"
            f"       ±{one.power_error:.1%}"
            for one in found
        ),
    ]
