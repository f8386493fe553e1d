"""One simulated device: the agent's own link, outbox, policies and answers; no board, no tick."""

import asyncio
import random
import time
import uuid
from collections.abc import Coroutine

import msgspec

from benchmarks.fleet.line import Door, Heard
from tidewatt_agent.answers import Answers
from tidewatt_agent.link import Link
from tidewatt_agent.policies import Policies
from tidewatt_governor.boards import BoardProfile
from tidewatt_wire.brokers import Credentials
from tidewatt_wire.messages import Ack, Birth, Counters, Gauges, Report, TrustedKey, Verdict
from tidewatt_wire.topics import DeviceTopic, FleetTopic

FLEET = "fleet"
#: What is said to this one, all sessions hear and nobody looks into: the broker's own speed.
RAW = str(FleetTopic("raw", "dispatch"))
#: The answers to a policy set: accepted, applied.
ANSWERS = 2


class Told(Answers):
    """The agent's answers; when the broker had the first to each revision is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[int, float] = {}

    def sent(self, ack: Ack) -> None:
        """As Answers'."""
        super().sent(ack)
        if ack.status in ("accepted", "applied"):
            self.first.setdefault(ack.revision, time.monotonic())


class Device:
    """A session of its own with a certificate of its own."""

    def __init__(
        self,
        name: str,
        url: str,
        shown: Credentials,
        source: str,
        keys: list[TrustedKey],
        profile: BoardProfile,
        report_s: float,
        spread_s: float,
    ) -> None:
        self.name, self._profile, self._report_s = name, profile, report_s
        self._chance = random.Random(name)
        self._labels = {"site": f"site-{self._chance.randrange(50)}", "ring": self._chance.choice("abc")}
        self._epoch, self._session = uuid.uuid4().hex, uuid.uuid4().hex
        self._seq = 0
        self.counters = Counters(mode_ms={"15W": 0, "25W": 0})
        self.door = Door(url, shown, source, self._aside)
        self.policies = Policies(FLEET, name, self._labels, keys)
        self.answers = self.policies.acks = Told()
        self.raw_heard_s = self.raw_answered_s = 0.0
        self.sets = 0
        """Policy sets that came."""
        self._others: set[asyncio.Task[None]] = set()
        self.link = Link(
            self.door, FLEET, self._birth, self._offered, acks=self.policies.acks, spread_s=spread_s
        )

    async def report_for_ever(self) -> None:
        """Report at the device's own beat."""
        await asyncio.sleep(self._report_s * self._chance.random())
        while True:
            self.report()
            await asyncio.sleep(self._report_s)

    def report(self) -> None:
        """Count what was done since the last one, and tell."""
        spent_ms = round(self._report_s * 1000)
        was, rps = self.counters, self._chance.uniform(0.0, 40.0)
        mode = "15W" if rps < 20.0 else "25W"  # noqa: PLR2004 - for the looks of it
        self.counters = msgspec.structs.replace(
            was,
            energy_mj=was.energy_mj + round(spent_ms * self._chance.uniform(4.0, 20.0)),
            requests=was.requests + round(rps * self._report_s),
            mode_ms=was.mode_ms | {mode: was.mode_ms[mode] + spent_ms},
        )
        self._seq += 1
        self.link.send(
            Report(
                device=self.name,
                session=self._session,
                epoch=self._epoch,
                seq=self._seq,
                at_ms=_now_ms(),
                counters=self.counters,
                gauges=Gauges(point=mode, watts=12.5, requests_rps=rps, p95_ms=31.5, temperature_c=51.0),
                verdict=Verdict(
                    point=mode,
                    rule="demand",
                    reason=f"demand {rps:.0f} rps, highest in 10 min, fits {mode} with 22 % headroom",
                    outcome="unchanged",
                ),
            )
        )

    @property
    def waiting(self) -> int:
        """What the broker hasn't acknowledged."""
        return self.link.outbox.fresh

    def _birth(self) -> Birth:
        return Birth(
            device=self.name,
            session=uuid.uuid4().hex,
            epoch=self._epoch,
            at_ms=_now_ms(),
            version="bench",
            board=self._profile.name,
            control="enforce",
            labels=self._labels,
            points=self._profile.points,
            vendor_default=self._profile.vendor_default,
        )

    async def _offered(self, envelope: bytes) -> None:
        self.sets += 1
        before = self.policies.revision
        await self.policies.offer(envelope, _now_ms())
        revision = self.policies.revision
        if revision != before:
            # The agent's next tick decides under it, and ticks come once a second.
            asyncio.get_running_loop().call_later(self._chance.random(), self._decided, revision)

    def _decided(self, revision: int) -> None:
        self.policies.decided(revision, _now_ms(), needs_reboot=False)

    # The same bytes there and back without anybody who reads them.

    async def listen_raw(self) -> None:
        """Hear what is said to the raw fleet, as long as this line lasts."""
        if line := self.door.line:
            await line.subscribe(RAW)

    def _aside(self, heard: Heard) -> bool:
        if heard.topic != RAW:
            return False
        self.raw_heard_s = time.monotonic()
        self._later(self._answer_raw())
        return True

    async def _answer_raw(self) -> None:
        topic, sample = str(DeviceTopic("raw", self.name, "ack")), self.answers.latest
        for _ in range(ANSWERS):
            if (line := self.door.line) and sample:
                await line.publish(topic, msgspec.json.encode(sample), retain=True)
                self.raw_answered_s = self.raw_answered_s or time.monotonic()

    def _later(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._others.add(task)
        task.add_done_callback(self._others.discard)


def _now_ms() -> int:
    return int(time.time() * 1000)
