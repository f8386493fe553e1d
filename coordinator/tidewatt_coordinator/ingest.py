"""MQTT in: births, reports, wills and acks, into the fleet view and the ledger.

Reports are merged in batches, in a worker thread, and acknowledged when the ledger has them. What the
broker may send without an acknowledgement is bounded: a ledger that is slow slows the session, and the
broker's queue holds what comes meanwhile. One that hangs or fails for long must not make us deaf, as
traffic is steered by what we hear: then reports are acknowledged unmerged, and held in memory, in the end
one of each device. The session outlives a short absence of the coordinator; whatever the broker
loses all the same is in the next report's cumulative counters.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TypeVar

import aiomqtt
import msgspec
from msgspec.structs import force_setattr
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.belief import FUTURE_MS
from tidewatt_coordinator.ledger.intake import UNPROVEN, Intake
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.observing.tracing import span
from tidewatt_coordinator.quota import Quota
from tidewatt_coordinator.sleepwords import SleepWords
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended, within
from tidewatt_link.packets import Said, says
from tidewatt_link.subscribing import Asked, Line, subscribed
from tidewatt_wire.codec import RefusalReason, Refused, decode
from tidewatt_wire.messages import Ack, Birth, Report, Will
from tidewatt_wire.sleeping import SleepState
from tidewatt_wire.topics import REPLAYED, DeviceKind, DeviceTopic, every_device, parse

_values = attrgetter(*COUNTERS)

log = logging.getLogger(__name__)

#: Real seconds that reports may wait to be merged together.
BATCH_S = 0.2
SESSION_EXPIRY_S = 3600
KEEPALIVE_S = 60
#: The broker misses a member of a group after one and a half of it; till then a part of the reports is lost.
SHARED_KEEPALIVE_S = 8
RETRY_S = 1.0
#: Reports that may wait while the ledger fails, about 100 MB; beyond it one is kept of each device.
MOST_WAITING = 50_000
#: Messages under way without an acknowledgement, at the most, 90 MB: a second and a half of a very large
#: fleet. The more of a device's reports are merged together, the less the database has to do for each.
WINDOW = 60_000
#: Of them, so many are merged without waiting for more.
FULL = 10_000
#: So long the ledger may keep the session waiting, real seconds; then its reports are acknowledged unmerged.
PATIENCE_S = 10.0
#: Refusals are logged once per topic and reason, and so many of those at the most.
MOST_NEWS = 100

#: What is read, reports apart.
KINDS: dict[DeviceKind, type[Birth | Will | Ack | SleepState]] = {
    "birth": Birth,
    "will": Will,
    "ack": Ack,
    "sleep": SleepState,
}
#: How a report's topic ends.
_REPORT = "/report"

M = TypeVar("M", Birth | Will | Ack | SleepState, Report)


class Ingest:
    """Takes what devices say. `run` never ends by itself."""

    def __init__(
        self,
        broker: Connection,
        fleet_name: str,
        fleet: Fleet,
        ledger: Ledger,
        now_ms: Callable[[], int],
        name: str = "one",
        group: str = "",
        words: SleepWords | None = None,
    ) -> None:
        """`name`: this coordinator's, the same after a restart: by it the broker keeps what came.

        `group`: of coordinators that share the reports, each taking a part; empty: it takes them all.
        `words`: which of the devices' words on their sleep are believed; None: all.
        """
        every = {kind: every_device(fleet_name, kind) for kind in (*KINDS, "report")}
        if group:
            every["report"] = f"$share/{group}/{every['report']}"
        self._asked = Asked(
            identifier=f"tidewatt-{fleet_name}-ingest-{name}",
            topics=tuple(every.values()),
            # A member that is gone must not be dealt reports any more: the others take its part at once.
            session_s=0 if group else SESSION_EXPIRY_S,
            keepalive_s=SHARED_KEEPALIVE_S if group else KEEPALIVE_S,
            window=WINDOW,
        )
        self._before = every_device(fleet_name, "report").partition("+")[0]
        self._line: Line | None = None
        self._owed: list[int] = []
        """Messages of this connection that are not acknowledged yet."""
        self._merged: list[int] = []
        """The same of those that are just being merged."""
        self._broker, self._fleet_name, self._now_ms = broker, fleet_name, now_ms
        self._news: set[tuple[str, str]] = set()
        self._fleet, self._words = fleet, words or SleepWords()
        self.intake = Intake(ledger, now_ms)
        self._quota = Quota()
        self._waiting: list[Report] = []
        self._merging = asyncio.Lock()
        self._full = asyncio.Event()
        """Set while enough waits to be merged at once."""
        self.messages: Counter[str] = Counter()
        """Messages taken, by kind."""
        self.refused: Counter[str] = Counter()
        """Messages refused, by reason."""
        self.thinned = 0
        """Reports given up for room while the ledger failed; their totals are in the ones kept."""
        self.connected = False
        self.broker_ends_s: float | None = None
        """When the certificate ends that the broker showed last, in Unix seconds; None: it showed none."""
        self._since_ms: int | None = None
        self.failing = False
        """Whether the last merge failed."""
        self.oldest_s: float | None = None
        """Since when the oldest report waits, or is being merged, by the monotonic clock; None: none does."""
        self.merges, self.spent_s = 0, 0.0
        """Batches merged, and what they took."""
        self.relieved = 0
        """Times that reports were acknowledged unmerged, because the ledger took too long."""

    async def run(self) -> None:
        """Listen and merge for ever; ends only by cancellation, and what came is merged and acknowledged.

        What comes while that is done stays the broker's.
        """
        listening = asyncio.create_task(self._listen_for_ever())
        merging = asyncio.create_task(self._merge_for_ever())
        relieving = asyncio.create_task(self._relieve_for_ever())
        try:
            # Not gathered: that would end them all at once, and go on when the first has ended.
            done, _ = await asyncio.wait({listening, merging, relieving}, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
        finally:
            try:
                await ended(merging, relieving)
                await self.merge()
            finally:
                await ended(listening)

    def take_all(self, messages: Sequence[Said]) -> None:
        """Take what a line brings; it is acknowledged with the next batch."""
        now_ms, owed = self._now_ms(), self._owed
        for topic, payload, number, properties in messages:
            if number:
                owed.append(number)
            try:
                self._take(topic, payload, bool(properties) and says(properties, REPLAYED), now_ms)
            except Refused as error:
                self._refuse(topic, error)
        if len(owed) >= FULL:
            self._full.set()
        if self._line and self.unacknowledged >= WINDOW:
            # Mosquitto 2.0 sends more than the window once the first of it was acknowledged.
            self._line.pause(paused=True)

    def take(self, topic: str, payload: bytes, *, replayed: bool = False, now_ms: int | None = None) -> None:
        """Take one message; a bad one is counted by reason and logged, never raised.

        `replayed`: a report that its device kept till now. `now_ms`: when it came; None: now.
        """
        try:
            self._take(topic, payload, replayed, self._now_ms() if now_ms is None else now_ms)
        except Refused as error:
            self._refuse(topic, error)

    @property
    def certificate_ends_s(self) -> float | None:
        """When the certificate that is shown to the broker ends, in Unix seconds; None without one."""
        return self._broker.certificate_ends_s()

    @property
    def waiting(self) -> int:
        """Reports that wait to be merged."""
        return len(self._waiting)

    @property
    def unacknowledged(self) -> int:
        """Messages that came on this connection, and that the broker keeps till they are acknowledged."""
        return len(self._owed) + len(self._merged)

    def has_heard(self, for_ms: int) -> bool:
        """Whether it has been listening for so long, without a break, till now."""
        return self._since_ms is not None and self._now_ms() - self._since_ms >= for_ms

    async def merge(self) -> None:
        """Merge the waiting reports into the ledger."""
        # One at a time: who waits for the lock also waits for the batch that is on its way.
        async with self._merging:
            batch, self._waiting = self._waiting, []
            line, owed = self._line, self._owed if self._line else []
            if line:  # else it came while we subscribe, and is acknowledged as soon as there is a line
                self._owed = []
            self._merged = owed
            if batch or self.intake.unread:
                begun_s = time.monotonic()
                try:
                    with span("ingest.merge", reports=len(batch)):
                        await asyncio.to_thread(self.intake.take, batch)
                except BaseException:
                    self._waiting = batch + self._waiting
                    if line is self._line:
                        self._owed = owed + self._owed
                    if len(self._waiting) > MOST_WAITING:
                        self._thin()
                    raise
                finally:
                    self._merged = []
                self.merges, self.spent_s = self.merges + 1, self.spent_s + time.monotonic() - begun_s
                self.oldest_s = begun_s if self._waiting else None
            # Not on another connection: there its numbers are other messages'.
            if line and line is self._line:
                line.acknowledge(owed)
                line.pause(paused=False)

    def relieve(self) -> None:
        """If the ledger took too long: acknowledge what waits for it, so that more is heard."""
        waits_s = time.monotonic() - self.oldest_s if self.oldest_s is not None else 0.0
        if waits_s < PATIENCE_S:
            return
        if len(self._waiting) > MOST_WAITING:
            self._thin()
        owed = self._merged + self._owed
        if self._line and owed:
            self._line.acknowledge(owed)
            self._line.pause(paused=False)
            self._merged.clear()
            self._owed.clear()
            self.relieved += 1

    def _thin(self) -> None:
        """Of each device and epoch keep the report that has counted most: detail in time goes, no joule."""
        most: dict[tuple[str, str], Report] = {}
        for report in self._waiting:
            key = report.device, report.epoch
            if key not in most or _counted(report) >= _counted(most[key]):
                most[key] = report
        self.thinned += len(self._waiting) - len(most)
        self._waiting = list(most.values())

    def _refuse(self, topic: str, error: Refused) -> None:
        self.refused[error.reason.value] += 1
        # The first of its kind is news; a flood is only counted.
        news = (error.reason.value, topic)
        if news not in self._news and len(self._news) < MOST_NEWS:
            self._news.add(news)
            log.warning("refused a message on %s: %s", topic[:200], str(error)[:500])

    def _take(self, topic: str, payload: bytes, replayed: bool, now_ms: int) -> None:
        # Nearly all are reports of devices that we know, whose names need not be looked at again.
        if topic.endswith(_REPORT) and topic.startswith(self._before):
            known = self._fleet.devices.get(topic[len(self._before) : -len(_REPORT)])
            if known:
                self._take_report(known.name, payload, replayed, now_ms)
                return
        name, kind = self._place(topic)
        if kind == "report":
            self._take_report(name, payload, replayed, now_ms)
            return
        message = self._read(name, kind, KINDS[kind], payload, now_ms)
        if isinstance(message, Birth):
            self._fleet.born(message, now_ms)
        elif isinstance(message, Will):
            self._fleet.ended(message)
        elif isinstance(message, Ack):
            self._fleet.acknowledged(message)
        else:
            self._take_word(name, message, payload)
        self.messages[kind] += 1

    def _take_word(self, name: str, said: SleepState, payload: bytes) -> None:
        try:
            state = self._words.believed(name, said)
        except Refused as error:
            # Who is said to be awake, and may not sleep, is said to be what it would be without a word.
            if said.state == "asleep" or said.able:
                self._fleet.unproven(name, f"its word on its sleep is not believed: {error}")
                self.intake.set_aside(name, payload, str(error), UNPROVEN)
            raise
        numbered = not isinstance(said.signed, msgspec.UnsetType)  # agents before did not promise that
        if not self._fleet.slumbered(state, numbered=numbered):
            raise Refused(
                RefusalReason.REPLAYED, f"what {name} said of its sleep before it said something newer"
            )

    def _take_report(self, name: str, payload: bytes, replayed: bool, now_ms: int) -> None:
        report = self._read(name, "report", Report, payload, now_ms)
        force_setattr(report, "device", name)  # the one text that the fleet has of it
        if self.oldest_s is None:
            self.oldest_s = time.monotonic()
        self._waiting.append(report)
        if report.at_ms > now_ms + FUTURE_MS:
            # Not its birth: that carries no counters, and comes once. The ledger's door keeps it aside.
            self._fleet.not_believed(report, now_ms)
            raise Refused(RefusalReason.FUTURE, f"{name}'s clock is more than a day ahead of ours")
        self._fleet.reported(report, now_ms, replayed=replayed, told=payload)
        self.messages["report"] += 1

    def _place(self, topic: str) -> tuple[str, DeviceKind]:
        """Who says this, and what it is, if it is of a kind that is read."""
        try:
            at = parse(topic)
        except ValueError as error:
            raise Refused(RefusalReason.WRONG_TOPIC, str(error)) from error
        if not isinstance(at, DeviceTopic) or at.fleet != self._fleet_name:
            raise Refused(
                RefusalReason.WRONG_TOPIC, f"{topic} is no device topic of fleet {self._fleet_name}"
            )
        return at.device, at.kind

    def _read(self, name: str, kind: DeviceKind, of: type[M], payload: bytes, now_ms: int) -> M:
        """What a device says, if it may say more and speaks for itself; Refused."""
        if not self._quota.may(name, kind, now_ms):
            raise Refused(RefusalReason.TOO_MANY, f"{name} says more than is read of one device")
        try:
            message = decode(of, payload)
        except Refused as error:
            # What a newer agent says is not wrong: it is only counted.
            kept = kind == "report" or (kind == "sleep" and payload)  # empty: what was retained is taken away
            if kept and error.reason is not RefusalReason.UNKNOWN_MAJOR:
                self.intake.set_aside(name, payload, str(error))
            raise
        if message.device != name:
            raise Refused(
                RefusalReason.WRONG_TOPIC, f"device {message.device!r} spoke on the topic of {name!r}"
            )
        return message

    async def _merge_for_ever(self) -> None:
        while True:
            # No longer than it takes to fill a part of the window: the broker is to send meanwhile.
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._full.wait(), BATCH_S)
            self._full.clear()
            try:
                await self.merge()
            except (SQLAlchemyError, OSError) as error:
                # The reports wait; the next round tries again. Only the first failure is news.
                if not self.failing:
                    log.error("ledger: %s; reports wait", str(error).partition("\n")[0])  # noqa: TRY400
                self.failing = True
                await asyncio.sleep(BATCH_S)
            else:
                if self.failing:
                    log.warning("ledger: recovered")
                self.failing = False

    async def _relieve_for_ever(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.relieve()

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except aiomqtt.MqttError as error:
                log.warning("ingest: %s; trying again in %.0f s", error, RETRY_S)
            finally:
                self.connected, self._since_ms, self._line = False, None, None
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        # What a connection before this one brought comes again, if it was not acknowledged there.
        self._owed = []
        async with subscribed(self._broker, self._asked, self.take_all) as self._line:
            self.connected, self._since_ms = True, self._now_ms()
            self.broker_ends_s = self._line.broker_ends_s
            await self._line.ended()


def _counted(report: Report) -> tuple[int, ...]:
    return _values(report.counters)
