"""MQTT out: the hints of the plan, retained, each said again before it is void."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.hinting.book import PlanBook
from tidewatt_coordinator.hinting.rounds import MINUTE_MS, NoPlan, Planner, Round
from tidewatt_coordinator.hinting.saying import Said, Saying
from tidewatt_wire.clock import Clock
from tidewatt_wire.codec import encode
from tidewatt_wire.planned import PlanHint
from tidewatt_wire.signing import HINT_TYPE, PLAN_TYPE, Signer, seal
from tidewatt_wire.sleeping import SleepHint

#: Has devices woken, for the reason given; how many orders went out.
Wake = Callable[[Iterable[str], str], Awaitable[int]]

log = logging.getLogger(__name__)

#: Real seconds between two looks at the least, however fast virtual time runs.
SHORTEST_S = 0.2
#: Seconds between two looks at who is to sleep and still has a share.
LOOK_S = 5.0
#: Seconds between two looks at whether more comes than is planned for, while somebody sleeps who can be woken
#: for it. Reports come every ten: with this, the order and the packet it is known within 20 s of a rise.
WATCH_S = 1.0
#: Hints that are signed at a time, away from the loop.
AT_A_TIME = 200


class PlanTopics:
    """One fleet's plan on its way to the boards. `keep` never ends by itself."""

    def __init__(
        self,
        planner: Planner,
        book: PlanBook,
        clock: Clock,
        may_publish: Callable[[], bool],
        signers: Callable[[], Sequence[Signer]],
        fleet: str,
        drained: Callable[[str], bool] = lambda _device: True,
        wake: Wake | None = None,
    ) -> None:
        """`drained`: whether a device has no share of the requests any more; `wake`: has devices woken by
        their neighbours, with the reason.
        """
        self.planner, self._book, self._clock = planner, book, clock
        self._may_publish, self._signers = may_publish, signers
        self._drained, self._wake = drained, wake
        self._said, self._kept, self._watches = Said(fleet), -1, False
        self.messages = 0
        """Hints said, and taken away."""

    async def keep(self, client: aiomqtt.Client) -> None:
        """A plan a minute, and its hints on the broker."""
        self._said.forget()
        while True:
            waits = False
            if self.planner.settings.mode != "off":
                waits = await self._turn(client)
            left_s = (MINUTE_MS - self._clock.now_ms() % MINUTE_MS) / 1000.0
            left_s = min(left_s, LOOK_S) if waits else left_s
            if self._watches:
                await self._watch(left_s)
            else:
                await asyncio.sleep(max(SHORTEST_S, self._clock.real_seconds(left_s)))

    async def _watch(self, for_s: float) -> None:
        """Return when it is time for another turn: after so many seconds, or when somebody is to be woken."""
        until_s = self._clock.monotonic_s() + for_s
        while (left_s := until_s - self._clock.monotonic_s()) > 0.0:
            await asyncio.sleep(max(SHORTEST_S, self._clock.real_seconds(min(left_s, WATCH_S))))
            if await asyncio.to_thread(self.planner.rises, self._clock.now_ms()):
                return

    async def _turn(self, client: aiomqtt.Client) -> bool:
        """One look; whether somebody who is to sleep still has a share, so that another look is due soon."""
        self._watches = False
        try:
            made = await asyncio.to_thread(self.planner.make, self._clock.now_ms())
        except NoPlan as error:
            if str(error) != self.planner.obstacle:
                log.info("no plan: %s", error)
            self.planner.obstacle = str(error)
            return False
        if not self._may_publish():  # who publishes has said something else meanwhile
            self._said.forget()
            return False
        if self._kept != made.shown.minute:
            await asyncio.to_thread(self._keep, made)
            self._kept = made.shown.minute
        if self.planner.settings.mode != "hint":
            return False
        self._watches = bool(made.watched) and self._wake is not None
        if made.calls and self._wake:
            await self._wake(made.calls, "more is asked for than those who are awake can carry")
        sleep = [name for name, hint in made.hints.items() if isinstance(hint, SleepHint)]
        waits = frozenset(name for name in sleep if not self._drained(name))
        await self._say(client, made, waits)
        return bool(waits)

    async def _say(self, client: aiomqtt.Client, made: Round, waits: frozenset[str]) -> None:
        try:
            signers = self._signers()
        except (OSError, ValueError) as error:
            self.planner.obstacle = str(error)
            return
        if not signers:
            self.planner.obstacle = "no key is there to sign hints with"
            return
        expiry = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        expiry.MessageExpiryInterval = math.ceil(self._clock.real_seconds(self.planner.settings.hint_s))
        now = {name: hint for name, hint in made.hints.items() if name not in waits}
        due = self._said.due(now, made.planned - waits, self._clock.now_ms(), made.rates)
        for start in range(0, len(due), AT_A_TIME):
            some = due[start : start + AT_A_TIME]
            sealed = await asyncio.to_thread(_seal_all, some, signers)
            for saying, content in zip(some, sealed, strict=True):
                more = expiry if content else None
                await client.publish(str(saying.topic), content, qos=1, retain=True, properties=more)
                self._said.note(saying)
                self.messages += 1

    def _keep(self, made: Round) -> None:
        try:
            self._book.keep(made.shown)
        except SQLAlchemyError as error:
            self.planner.obstacle = f"the plan can't be kept: {str(error).partition(chr(10))[0]}"


def _seal_all(some: Sequence[Saying], signers: Sequence[Signer]) -> list[bytes]:
    return [_sealed(one, signers) for one in some]


def _sealed(saying: Saying, signers: Sequence[Signer]) -> bytes:
    if saying.hint is None:
        return b""
    return seal(encode(saying.hint), signers, PLAN_TYPE if isinstance(saying.hint, PlanHint) else HINT_TYPE)
