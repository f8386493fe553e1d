"""The nap, from the hint to the last check after it. It runs beside the ticks, which go on all the while
but for the sleep itself.

    able? needed? quiet -> hook -> nothing in flight -> on file -> told -> asleep -> awake -> checks -> told

Whoever dies on the way leaves a board that is awake, or one that wakes by the alarm that its actuator set.
A resume that fails disqualifies the board, and is told of; a sleep that was refused only waits.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from tidewatt_agent.actuator.nap import Slept
from tidewatt_agent.config import Config
from tidewatt_agent.sleeping import judge, verdict
from tidewatt_agent.sleeping.checks import clock_step, in_flight
from tidewatt_agent.sleeping.commands import run
from tidewatt_agent.sleeping.door import SleepDoor, StayedAwakeError
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.judge import Facts
from tidewatt_agent.sleeping.machine import identity_of, mac_of
from tidewatt_agent.sleeping.napfile import FILE_NAME as NAP_FILE
from tidewatt_agent.sleeping.napfile import Begun, NapFile
from tidewatt_agent.sleeping.verdict import Identity, Verdict
from tidewatt_agent.sleeping.waking import Waking
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Policy, Report
from tidewatt_wire.sleeping import Nap, NapOutcome, SleepHint, SleepState

log = logging.getLogger(__name__)

#: After a nap that did not come about nothing is tried for so long, in seconds.
AGAIN_S = 600.0
#: And after the application could not be told.
UNNAMED_S = 60.0
#: Real seconds for the last reports and the last word to reach the broker.
TOLD_WITHIN_S = 20.0
#: What it last said is said again after so long, in seconds: a word would outlive the certificate that it was
#: signed with, which is renewed in time, and may be good for no more than a day.
SAID_AGAIN_S = 6 * 3600.0
#: It came back this much before its alarm: something else woke it.
EARLY_S = 10.0
BOOT_ID = "proc/sys/kernel/random/boot_id"

NOBODY = Identity(kernel="", jetpack="", application="")

State = Callable[[str], SleepState]


class Bedroom(Protocol):
    """What the sleeper needs of the link."""

    connected: bool
    refused: bool

    def say(self, state: State) -> None:
        """See Link.say."""

    async def rest(self, state: State, within_s: float) -> bool:
        """See Link.rest."""

    def wake(self, state: State) -> None:
        """See Link.wake."""


class Sleeper:
    """`note` what each tick saw; `run` for ever. `board` is held while the board is touched or asleep."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        door: SleepDoor,
        link: Bedroom,
        hints: Hints,
        slept: Callable[[float, float | None], None],
        acts: Callable[[], bool],
    ) -> None:
        """`slept(seconds, watts)` counts a nap, watts None: unmeasured; `acts`: whether the agent may act."""
        self._config, self._clock, self._door, self._link = config.sleep, clock, door, link
        self._device, self._loads, self.hints, self._slept = config.device, config.load, hints, slept
        self._tree, self._acts, folder = Tree(config.reader.root), acts, Path(config.state.folder)
        self._verdict_file, self._file = folder / verdict.FILE_NAME, NapFile(folder / NAP_FILE)
        self._waking = Waking(config.sleep, config.load, clock, self._network_back)
        self.verdict: Verdict | None = None
        """The qualification's, as it stands."""
        self._identity: Identity | None = None
        self._facts: Facts | None = None
        self._news = asyncio.Event()
        self._unnamed = (0.0, "")
        self._quiet_since_s: float | None = None
        self._not_before_s = 0.0
        self._told: tuple[bool, str] | None = None
        self._told_s, self._told_ms = 0.0, -1
        self._began_ms = self._woke_ms = 0
        self.board = asyncio.Lock()
        self.why = "nothing is known yet"
        """Why the board doesn't sleep now, in a sentence."""
        self.last: Nap | None = None
        self.naps: dict[NapOutcome, int] = {}

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        return [self.hints.topic]

    def note(self, report: Report, policy: Policy) -> None:
        """Take what a tick has seen. Where nobody ever let the board sleep there is nothing to find out."""
        if policy.sleep is None and not self._ever:
            self.why = judge.NOT_ALLOWED
            return
        self._facts = Facts(
            at_ms=self._clock.now_ms(), now_s=self._clock.monotonic_s(), acts=self._acts(), policy=policy,
            report=report,
        )  # fmt: skip
        self._news.set()

    @property
    def _ever(self) -> bool:
        """Whether the board may once have said something, which the broker may still hold."""
        return self._told is not None or self.last is not None or self.verdict is not None

    async def run(self) -> None:
        """Let the board sleep when it may; never ends by itself."""
        await self._recover()
        while True:
            await self._news.wait()
            self._news.clear()
            if self._facts:
                await self.step(self._facts)

    async def step(self, facts: Facts) -> None:
        """Decide by one tick's facts; returns when the board is awake again, if it slept."""
        if facts.policy.sleep:
            self.verdict = verdict.load(self._verdict_file)
        unable = judge.unable(facts, await self._obstacle() if facts.policy.sleep else "")
        self._tell(unable, facts)
        hint = self.hints.at(facts.at_ms)
        self.why = unable or (self._needed(facts, hint) if hint else "no hint to sleep")
        if hint and not self.why:
            await self._nap(facts, hint)

    async def _obstacle(self) -> str:
        now_s = self._clock.monotonic_s()
        if self.verdict and self._identity is None:
            if now_s < self._unnamed[0]:
                return self._unnamed[1]
            self._identity, why = await identity_of(self._tree, self._config.application)
            if why:  # a command that fails isn't run at every tick
                self._identity = None
                self._unnamed = now_s + UNNAMED_S, f"the application can't be told: {why}"
                return self._unnamed[1]
        return verdict.obstacle(
            self.verdict, self._identity or Identity(kernel="", jetpack="", application="")
        )

    def _needed(self, facts: Facts, hint: SleepHint) -> str:
        if why := judge.needed(facts, hint, self._lead_s):
            self._quiet_since_s = None
            return why
        self._quiet_since_s = facts.now_s if self._quiet_since_s is None else self._quiet_since_s
        if facts.now_s - self._quiet_since_s < self._config.quiet_s:
            return f"no request for less than {self._config.quiet_s:.0f} s"
        return "the last try failed" if facts.now_s < self._not_before_s else ""

    @property
    def _lead_s(self) -> float:
        return judge.lead_s(self.verdict.resume_s if self.verdict else None)

    async def _nap(self, facts: Facts, hint: SleepHint) -> None:
        self._quiet_since_s, self._identity = None, None  # whatever comes of it, both are to be seen anew
        ready = await self._door.ready()
        why = (
            await self._obstacle() or ready.why_not or judge.clocks_differ(ready.rtc_s, self._clock.now_ms())
        )
        why = why or await self._network() or await self._drained()
        began_ms = self._clock.now_ms()
        for_s = judge.nap_s(facts.policy, hint, began_ms, self._lead_s)
        if why:
            await self._stayed(began_ms, for_s, why)
            return
        slept = await self._sleep(ready.boot, for_s, hint)
        if isinstance(slept, str):
            await self._stayed(began_ms, for_s, slept)
        else:
            await self._woke(for_s, slept)

    async def _sleep(self, boot: str, for_s: float, hint: SleepHint) -> "Slept | str":
        """From the file to the awakening, with the board in hand; why it did not sleep, if so."""
        self._began_ms = self._clock.now_ms()
        try:
            self._file.keep(Begun(boot, self._began_ms, for_s))
        except OSError as error:
            return f"the nap can't be kept on file: {error}"
        async with self.board:
            if not await self._link.rest(self._asleep(self._began_ms, for_s), TOLD_WITHIN_S):
                return "the broker did not take its word"
            log.info("asleep for %.0f s: %s", for_s, hint.reason)
            self._began_ms = self._clock.now_ms()
            try:
                slept = await self._door.sleep(for_s)
            except StayedAwakeError as error:
                return str(error)
            self._slept(slept.slept_s + slept.awake_s, self.verdict.asleep_watts if self.verdict else None)
            self._woke_ms = self._clock.now_ms()
        return slept

    async def _drained(self) -> str:
        if why := (await run(self._config.before, self._config.hook_s)).why_not:
            return f"the hook before sleep failed: {why}"
        return await in_flight(self._loads, self._config.in_flight)

    async def _stayed(self, began_ms: int, for_s: float, why: str) -> None:
        """It did not sleep: undo what the hook did, and wait before the next try."""
        log.warning("the board stays awake: %s", why)
        self._not_before_s = self._clock.monotonic_s() + AGAIN_S
        self._file.forget()
        after = (await run(self._config.after, self._config.hook_s)).why_not
        detail = f"{why}; the hook after sleep failed: {after}" if after else why
        self._end(Nap(began_ms=began_ms, planned_s=for_s, outcome="stayed_awake", slept_s=0.0, detail=detail))

    async def _woke(self, for_s: float, slept: Slept) -> None:
        began_ms = self._began_ms
        step_s = clock_step(began_ms, self._woke_ms, slept.slept_s + slept.awake_s)
        self.hints.forget()
        self._link.wake(self._state())
        woken = await self._waking(step_s)
        outcome: NapOutcome = "woke_early" if slept.early_s > EARLY_S else "woke"
        why = woken.why_not
        if why:
            outcome = "unwell"
        elif slept.late_s > self._config.late_s:
            outcome, why = "late", f"it woke {slept.late_s:.0f} s after its alarm"
        if why:
            self._disqualify(why)
        self._file.forget()
        self._end(
            Nap(
                began_ms=began_ms,
                planned_s=for_s,
                outcome=outcome,
                slept_s=slept.slept_s,
                late_s=slept.late_s,
                resume_s=woken.resume_s,
                clock_step_s=step_s,
                detail=why,
            )
        )

    async def _recover(self) -> None:
        """What became of a nap in which the agent, or the board, ended."""
        begun = self._file.load()
        self.verdict = verdict.load(self._verdict_file)
        if begun is None:
            return
        if begun.boot != (self._tree.read(BOOT_ID) or ""):
            outcome: NapOutcome = "lost"
            why = "it did not resume from its sleep but was booted anew"
        else:  # the agent ended, not the board
            why = (await self._waking(0.0)).why_not
            outcome = "unwell" if why else "woke"
        if why:
            self._disqualify(why)
        self._file.forget()
        self._end(Nap(began_ms=begun.began_ms, planned_s=begun.planned_s, outcome=outcome, detail=why))

    def _disqualify(self, why: str) -> None:
        log.error("this board sleeps no more until it is qualified again: %s", why)
        if self.verdict:
            self.verdict = verdict.disqualified(self.verdict, why, self._clock.now_ms())
            try:
                verdict.save(self._verdict_file, self.verdict)
            except OSError as error:
                log.error("that can't be kept: %s", error)  # noqa: TRY400 - a sentence is enough
                self._not_before_s = float("inf")

    def _end(self, nap: Nap) -> None:
        self.last = nap
        self.naps[nap.outcome] = self.naps.get(nap.outcome, 0) + 1
        log.info("nap of %.0f s: %s %s", nap.planned_s, nap.outcome, nap.detail)
        self._told = None  # at the next tick, whatever it is
        self._link.wake(self._state())

    async def _network(self) -> str:
        return "" if self._link.connected else "the broker is not reached"

    async def _network_back(self) -> str:
        """Of a board that woke: a broker's host that refuses has answered, so it isn't the board's fault."""
        return "" if self._link.refused else await self._network()

    def _tell(self, unable: str, facts: Facts) -> None:
        """Say whether it may sleep, where that is new: devices that never may say nothing."""
        news = (facts.policy.sleep is not None, unable)
        again = self._told is not None and facts.now_s - self._told_s >= SAID_AGAIN_S
        if again or (news != self._told and (news[0] or self._ever)):
            self._told, self._told_s = news, facts.now_s
            self._link.say(self._state(unable))

    def _state(self, unable: str = "") -> State:
        # Later than the word before it, also if the clock was set back: who hears both knows which is newer.
        found, at_ms = self.verdict, max(self._clock.now_ms(), self._told_ms + 1)
        self._told_ms = at_ms
        return lambda session: SleepState(
            device=self._device,
            session=session,
            at_ms=at_ms,
            state="awake",
            watts=found.asleep_watts if found else None,
            able=not unable and bool(found and found.passed),
            why_not=unable or (f"disqualified: {found.why}" if found and not found.passed else ""),
            suspend_s=found.suspend_s if found else None,
            resume_s=found.resume_s if found else None,
            last=self.last,
            mac=mac_of(self._tree) or msgspec.UNSET,
        )

    def _asleep(self, began_ms: int, for_s: float) -> State:
        awake, until_ms = self._state(), began_ms + round(for_s * 1000)
        expires_ms = until_ms + round((self._lead_s + self._config.late_s) * 1000)

        def state(session: str) -> SleepState:
            fields = {"state": "asleep", "until_ms": until_ms, "expires_at_ms": expires_ms}
            return msgspec.structs.replace(awake(session), **fields)

        return state
