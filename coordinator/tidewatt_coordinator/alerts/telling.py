"""Telling the targets what waits for them, for as long as it takes.

What is to be told is in the database before it is tried, and is marked when a target has it: what is lost
in a crash is told again, with the same event id. At least once, in the order of each alert.
"""

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.alerts.mail import PartlyRefused, send
from tidewatt_coordinator.alerts.retained import publish
from tidewatt_coordinator.alerts.settings import MQTT, Alerts, Email, Webhook
from tidewatt_coordinator.alerts.store import AlertBook, Delivery
from tidewatt_coordinator.alerts.undelivered import Undelivered
from tidewatt_coordinator.alerts.webhook import post
from tidewatt_link.connection import Connection
from tidewatt_wire.messages import Alert

log = logging.getLogger(__name__)

#: Real seconds between two looks at what waits: an acknowledgement may come from another process.
EVERY_S = 2.0
#: After a failure it is tried again so much later, and each time twice as much, up to the last.
FIRST_MS, LONGEST_MS = 10_000, 3_600_000
#: After three days in vain nobody waits for it any more.
GIVE_UP_MS = 3 * 86_400_000

Tell = Callable[[Alert], Awaitable[None]]


def back_off_ms(tries: int) -> int:
    """How long to wait after so many tries in vain, milliseconds."""
    return min(LONGEST_MS, FIRST_MS << min(tries, 20))


def real_time_ms() -> int:
    """Milliseconds since 1970: targets live in real time, whatever the fleet's is."""
    return time.time_ns() // 1_000_000


def tellers(
    settings: Alerts, broker: Connection, name: str, real_ms: Callable[[], int] = real_time_ms
) -> dict[str, Tell]:
    """By target: how it is told. `name` is the coordinator's, by which the broker knows it."""
    found: dict[str, Tell] = {}
    if settings.mqtt:
        found[MQTT] = lambda alert: publish(broker, name, alert)
    for hook in settings.webhook:
        found[hook.name] = functools.partial(_post, hook, real_ms)
    for mail in settings.email:
        found[mail.name] = functools.partial(_send, mail)
    return found


async def _post(hook: Webhook, real_ms: Callable[[], int], alert: Alert) -> None:
    await post(hook, alert, real_ms() // 1000)


async def _send(mail: Email, alert: Alert) -> None:
    await asyncio.to_thread(send, mail, alert)


class Telling:
    """Of several coordinators the one that may, tells. `run` never ends by itself."""

    def __init__(
        self,
        book: AlertBook,
        targets: dict[str, Tell],
        may: Callable[[], bool] = lambda: True,
        real_ms: Callable[[], int] = real_time_ms,
    ) -> None:
        self._book, self._targets, self._may, self._real_ms = book, targets, may, real_ms
        self._paused_ms: dict[str, int] = {}
        self._broken = False
        self.told: Counter[str] = Counter(dict.fromkeys(targets, 0))
        self.failures: Counter[str] = Counter(dict.fromkeys(targets, 0))
        self.given_up: Counter[str] = Counter(dict.fromkeys(targets, 0))
        self.failing: set[str] = set()
        """Targets whose last try failed."""

    @property
    def targets(self) -> list[str]:
        """Their names."""
        return list(self._targets)

    async def run(self) -> None:
        """Tell for ever; ends only by cancellation."""
        while True:
            try:
                if self._may():
                    await self.round()
            except SQLAlchemyError as error:
                if not self._broken:
                    log.error("alerts: %s", str(error).partition("\n")[0])  # noqa: TRY400
                self._broken = True
            else:
                self._broken = False
            await asyncio.sleep(EVERY_S)

    async def round(self) -> None:
        """Try all that is due, every target by itself: none waits for a slow one."""
        due = await asyncio.to_thread(self._book.due, self._real_ms())
        queues: dict[str, list[Delivery]] = {}
        for one in due:
            queues.setdefault(one.target, []).append(one)
        await asyncio.gather(*(self._queue(target, queue) for target, queue in queues.items()))

    async def _queue(self, target: str, queue: list[Delivery]) -> None:
        tell = self._targets.get(target)
        for one in queue:
            if tell is None:
                await asyncio.to_thread(self._book.done, one, self._real_ms(), "it is no longer configured")
            elif self._paused_ms.get(target, 0) > self._real_ms() or not await self._one(tell, one):
                return

    async def _one(self, tell: Tell, one: Delivery) -> bool:
        """Try it; whether the next of the target may be tried at once."""
        try:
            await tell(one.alert)
        except Undelivered as error:
            await self._failed(one, error)
            return not error.unreachable
        except PartlyRefused as error:
            log.warning("alerts: %s, event %s: %s", one.target, one.alert.event, error)
        await asyncio.to_thread(self._book.done, one, self._real_ms())
        self.told[one.target] += 1
        if one.target in self.failing:
            self.failing.discard(one.target)
            log.warning("alerts: %s: recovered", one.target)
        return True

    async def _failed(self, one: Delivery, error: Undelivered) -> None:
        now_ms = self._real_ms()
        self.failures[one.target] += 1
        if one.target not in self.failing:
            self.failing.add(one.target)
            log.error("alerts: %s: %s; trying again", one.target, error)
        if now_ms - one.made_ms >= GIVE_UP_MS:
            self.given_up[one.target] += 1
            log.error("alerts: %s: given up event %s: %s", one.target, one.alert.event, error)
            await asyncio.to_thread(self._book.done, one, now_ms, str(error))
            return
        due_ms = now_ms + back_off_ms(one.tries)
        if error.unreachable:
            self._paused_ms[one.target] = due_ms
        await asyncio.to_thread(self._book.later, one, str(error), due_ms)
