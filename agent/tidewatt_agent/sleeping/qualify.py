"""The qualification: this board, as it is now, is put to sleep and looked at, again and again.

The first thing that is not as it should be ends it, with the reason in the verdict.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from tidewatt_agent.config import Config
from tidewatt_agent.sleeping.checks import clock_step, health, readable, within
from tidewatt_agent.sleeping.commands import run
from tidewatt_agent.sleeping.door import SleepDoor, StayedAwakeError
from tidewatt_agent.sleeping.judge import clocks_differ
from tidewatt_agent.sleeping.kernellog import KernelLog
from tidewatt_agent.sleeping.machine import identity_of
from tidewatt_agent.sleeping.verdict import Identity, Verdict
from tidewatt_agent.sleeping.waking import Waking
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_wire.clock import Clock

#: Woken this long before its alarm, it was not by it.
EARLY_S = 10.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How it is to be tried."""

    cycles: int
    nap_s: float
    asleep_watts: float | None = None


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """One nap: what was wrong, empty if nothing, and its times in seconds."""

    why: str = ""
    suspend_s: float = 0.0
    resume_s: float = 0.0


class Bench:
    """What a qualification looks at."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        door: SleepDoor,
        network: Callable[[], Awaitable[str]],
        watts: Callable[[], Awaitable[float | None]],
        say: Callable[[str], None],
    ) -> None:
        """`network`: what is wrong with it; `watts`: the board's mean power now; `say`: for the person."""
        self._config, self._clock, self._door = config, clock, door
        self._network, self._watts, self._say = network, watts, say
        self._waking = Waking(config.sleep, config.load, clock, network)

    async def qualify(self, plan: Plan) -> Verdict:
        """The verdict. OSError if the kernel's log can't be read: without it there is none."""
        log = KernelLog(self._config.reader.root)
        try:
            return await self._qualify(plan, log)
        finally:
            log.close()

    async def _qualify(self, plan: Plan, log: KernelLog) -> Verdict:
        identity, why = await identity_of(Tree(self._config.reader.root), self._config.sleep.application)
        why = why or await self._unfit()
        before = None if why else await self._watts()
        cycles: list[Cycle] = []
        while not why and len(cycles) < plan.cycles:
            cycle = await self._cycle(plan, log)
            if why := cycle.why:
                break
            cycles.append(cycle)
            self._say(
                f"{len(cycles)} of {plan.cycles}: asleep and back in {cycle.suspend_s:.1f} s, "
                f"serving {cycle.resume_s:.1f} s after waking"
            )
        after = await self._watts() if cycles else None
        return self._verdict(plan, identity, why, cycles, (before, after))

    def _verdict(
        self,
        plan: Plan,
        identity: Identity,
        why: str,
        cycles: list[Cycle],
        watts: tuple[float | None, float | None],
    ) -> Verdict:
        return Verdict(
            identity=identity,
            at_ms=self._clock.now_ms(),
            passed=not why,
            why=why,
            cycles=len(cycles),
            asleep_watts=plan.asleep_watts,
            watts_before=watts[0],
            watts_after=watts[1],
            suspend_s=max((cycle.suspend_s for cycle in cycles), default=None),
            resume_s=max((cycle.resume_s for cycle in cycles), default=None),
        )

    async def _unfit(self) -> str:
        """Why there is nothing to try: what isn't well awake says nothing of sleep."""
        if not self._config.sleep.health:
            return "no sleep.health is configured: a command that is good when GPU and application work"
        ready = await self._door.ready()
        if why := ready.why_not or clocks_differ(ready.rtc_s, self._clock.now_ms()):
            return why
        for check in (
            self._network,
            health(self._config.sleep.health, self._config.sleep.health_s),
            readable(self._config.load),
        ):
            if why := await within(0.0, check):
                return f"before any sleep: {why}"
        return ""

    async def _cycle(self, plan: Plan, log: KernelLog) -> Cycle:
        if why := (await run(self._config.sleep.before, self._config.sleep.hook_s)).why_not:
            return Cycle(why=f"the hook before sleep failed: {why}")
        log.errors()
        began_ms = self._clock.now_ms()
        try:
            slept = await self._door.sleep(plan.nap_s)
        except StayedAwakeError as error:
            return Cycle(why=f"it did not sleep: {error}")
        step_s = clock_step(began_ms, self._clock.now_ms(), slept.slept_s + slept.awake_s)
        woken = await self._waking(step_s)
        errors = await asyncio.to_thread(log.errors)
        why = woken.why_not
        if not why and slept.late_s > self._config.sleep.late_s:
            why = f"it woke {slept.late_s:.0f} s after its alarm"
        if not why and slept.early_s > EARLY_S:
            why = f"something woke it {slept.early_s:.0f} s before its alarm"
        if not why and errors:
            why = f"the kernel logged {len(errors)} errors: {errors[0]}"
        return Cycle(why=why, suspend_s=slept.awake_s, resume_s=woken.resume_s + slept.late_s)
