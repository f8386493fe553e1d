"""MQTT in: births, reports, wills and acks, into the fleet view and the ledger.

Reports are merged in batches, in a worker thread. The session outlives a short absence of
the coordinator, so the broker keeps what came meanwhile; whatever it loses all the same is
in the next report's cumulative counters.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.belief import FUTURE_MS
from tidewatt_coordinator.ledger.intake import Intake
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.observing.tracing import span
from tidewatt_coordinator.quota import Quota
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.codec import RefusalReason, Refused, decode
from tidewatt_wire.messages import Ack, Birth, Report, Will
from tidewatt_wire.sleeping import SleepState
from tidewatt_wire.topics import REPLAYED, DeviceTopic, every_device, parse

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
#: Refusals are logged once per topic and reason, and so many of those at the most.
MOST_NEWS = 100


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
    ) -> None:
        """`name`: this coordinator's, the same after a restart: by it the broker keeps what came.

        `group`: of coordinators that share the reports, each taking a part; empty: it takes them all.
        """
        self._group = group
        self._identifier = f"tidewatt-{fleet_name}-ingest-{name}"
        self._broker, self._fleet_name, self._now_ms = broker, fleet_name, now_ms
        self._news: set[tuple[str, str]] = set()
        self._fleet = fleet
        self.intake = Intake(ledger, now_ms)
        self._quota = Quota()
        self._waiting: list[Report] = []
        self._merging = asyncio.Lock()
        self.messages: Counter[str] = Counter()
        """Messages taken, by kind."""
        self.refused: Counter[str] = Counter()
        """Messages refused, by reason."""
        self.thinned = 0
        """Reports given up for room while the ledger failed; their totals are in the ones kept."""
        self.connected = False
        self._since_ms: int | None = None
        self.failing = False
        """Whether the last merge failed."""
        self.oldest_s: float | None = None
        """Since when the oldest report waits, or is being merged, by the monotonic clock; None: none does."""
        self.merges, self.spent_s = 0, 0.0
        """Batches merged, and what they took."""

    async def run(self) -> None:
        """Listen and merge for ever; ends only by cancellation, with nothing left unmerged."""
        merging = asyncio.create_task(self._merge_for_ever())
        try:
            await asyncio.gather(self._listen_for_ever(), merging)
        finally:
            await ended(merging)
            await self.merge()

    def take(self, topic: str, payload: bytes, *, replayed: bool = False) -> None:
        """Take one message; a bad one is counted by reason and logged, never raised.

        `replayed`: a report that its device kept till now.
        """
        try:
            self._take(topic, payload, replayed)
        except Refused as error:
            self.refused[error.reason.value] += 1
            # The first of its kind is news; a flood is only counted.
            news = (error.reason.value, topic)
            if news not in self._news and len(self._news) < MOST_NEWS:
                self._news.add(news)
                log.warning("refused a message on %s: %s", topic[:200], str(error)[:500])

    @property
    def certificate_ends_s(self) -> float | None:
        """When the certificate that is shown to the broker ends, in Unix seconds; None without one."""
        return self._broker.certificate_ends_s()

    @property
    def waiting(self) -> int:
        """Reports that wait to be merged."""
        return len(self._waiting)

    def has_heard(self, for_ms: int) -> bool:
        """Whether it has been listening for so long, without a break, till now."""
        return self._since_ms is not None and self._now_ms() - self._since_ms >= for_ms

    async def merge(self) -> None:
        """Merge the waiting reports into the ledger."""
        # One at a time: who waits for the lock also waits for the batch that is on its way.
        async with self._merging:
            batch, self._waiting = self._waiting, []
            if batch or self.intake.unread:
                begun_s = time.monotonic()
                try:
                    with span("ingest.merge", reports=len(batch)):
                        await asyncio.to_thread(self.intake.take, batch)
                except BaseException:
                    self._waiting = batch + self._waiting
                    if len(self._waiting) > MOST_WAITING:
                        self._thin()
                    raise
                self.merges, self.spent_s = self.merges + 1, self.spent_s + time.monotonic() - begun_s
                self.oldest_s = begun_s if self._waiting else None

    def _thin(self) -> None:
        """Of each device and epoch keep the report that has counted most: detail in time goes, no joule."""
        most: dict[tuple[str, str], Report] = {}
        for report in self._waiting:
            key = report.device, report.epoch
            if key not in most or _counted(report) >= _counted(most[key]):
                most[key] = report
        self.thinned += len(self._waiting) - len(most)
        self._waiting = list(most.values())

    def _take(self, topic: str, payload: bytes, replayed: bool) -> None:
        at = self._place(topic)
        message = self._read(at, payload)
        if message.device != at.device:
            raise Refused(
                RefusalReason.WRONG_TOPIC, f"device {message.device!r} spoke on the topic of {at.device!r}"
            )
        if isinstance(message, Report) and message.at_ms > self._now_ms() + FUTURE_MS:
            # Not its birth: that carries no counters, and comes once.
            self._fleet.not_believed(message, self._now_ms())
            self._wait(message)  # the ledger's door keeps it aside, with the reason
            raise Refused(RefusalReason.FUTURE, f"{at.device}'s clock is more than a day ahead of ours")
        self.messages[at.kind] += 1
        match message:
            case Birth():
                self._fleet.born(message, self._now_ms())
            case Report():
                self._fleet.reported(message, self._now_ms(), replayed=replayed)
                self._wait(message)
            case Will():
                self._fleet.ended(message)
            case Ack():
                self._fleet.acknowledged(message)
            case SleepState():
                self._fleet.slumbered(message)

    def _place(self, topic: str) -> DeviceTopic:
        """Whose word this is, if it is one that is read."""
        try:
            at = parse(topic)
        except ValueError as error:
            raise Refused(RefusalReason.WRONG_TOPIC, str(error)) from error
        if not isinstance(at, DeviceTopic) or at.fleet != self._fleet_name:
            raise Refused(
                RefusalReason.WRONG_TOPIC, f"{topic} is no device topic of fleet {self._fleet_name}"
            )
        if not self._quota.may(at.device, at.kind, self._now_ms()):
            raise Refused(RefusalReason.TOO_MANY, f"{at.device} says more than is read of one device")
        return at

    def _wait(self, report: Report) -> None:
        if self.oldest_s is None:
            self.oldest_s = time.monotonic()
        self._waiting.append(report)

    def _read(self, at: DeviceTopic, payload: bytes) -> Birth | Report | Will | Ack | SleepState:
        kinds: dict[str, type[Birth | Report | Will | Ack | SleepState]] = {
            "birth": Birth,
            "report": Report,
            "will": Will,
            "ack": Ack,
            "sleep": SleepState,
        }
        try:
            return decode(kinds[at.kind], payload)
        except Refused as error:
            # A newer agent's reports are not wrong: they are only counted.
            if at.kind == "report" and error.reason is not RefusalReason.UNKNOWN_MAJOR:
                self.intake.set_aside(at.device, payload, str(error))
            raise

    async def _merge_for_ever(self) -> None:
        while True:
            await asyncio.sleep(BATCH_S)
            try:
                await self.merge()
            except (SQLAlchemyError, OSError) as error:
                # The reports wait; the next round tries again. Only the first failure is news.
                if not self.failing:
                    log.error("ledger: %s; reports wait", str(error).partition("\n")[0])  # noqa: TRY400
                self.failing = True
            else:
                if self.failing:
                    log.warning("ledger: recovered")
                self.failing = False

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen()
            except aiomqtt.MqttError as error:
                log.warning("ingest: %s; trying again in %.0f s", error, RETRY_S)
            finally:
                self.connected, self._since_ms = False, None
            await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        # A member that is gone must not be dealt reports any more: the others take its part at once.
        session.SessionExpiryInterval = 0 if self._group else SESSION_EXPIRY_S
        async with self._broker.client(
            identifier=self._identifier,
            clean_start=bool(self._group),
            keepalive=SHARED_KEEPALIVE_S if self._group else KEEPALIVE_S,
            properties=session,
            queue_type=self._at_once(),
        ) as client:
            for kind in ("birth", "will", "ack", "sleep"):
                await client.subscribe(every_device(self._fleet_name, kind), qos=1)
            reports = every_device(self._fleet_name, "report")
            await client.subscribe(f"$share/{self._group}/{reports}" if self._group else reports, qos=1)
            self.connected, self._since_ms = True, self._now_ms()
            async for _ in client.messages:
                pass  # nothing waits here; this ends when the connection does

    def _at_once(self) -> type["asyncio.Queue[aiomqtt.Message]"]:
        """A queue that holds nothing: each message is taken while the next is still in the socket.

        aiomqtt's own has no bound, and fills faster than its iterator empties it: when a fleet came
        back, a gigabyte of it. What isn't read yet waits at the broker, which has limits.
        """
        take = self.take

        class AtOnce(asyncio.Queue[aiomqtt.Message]):
            def put_nowait(self, item: aiomqtt.Message) -> None:
                take(str(item.topic), bytes(item.payload), replayed=_is_replayed(item))

        return AtOnce


def _counted(report: Report) -> tuple[int, ...]:
    return tuple(getattr(report.counters, name) for name in COUNTERS)


def _is_replayed(message: aiomqtt.Message) -> bool:
    said = getattr(message.properties, "UserProperty", ())
    return any(name == REPLAYED for name, _ in said)
