"""What happens to the fleet, part by part, and the figures it gives."""

import asyncio
import math
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from benchmarks.fleet.device import ANSWERS
from benchmarks.fleet.site import Site
from benchmarks.fleet.worker import Look, Order
from benchmarks.results import Result
from tidewatt_coordinator.ledger.arithmetic import COUNTERS

LOOK_EVERY_S = 0.5
SHARE = 0.99


class Stuck(RuntimeError):
    """A part didn't come to its end in time; the sentence says what is missing."""


class Story:
    """The parts, in order; the figures gather."""

    def __init__(self, site: Site) -> None:
        self.site, self.count = site, site.parameters.devices
        self.results: list[Result] = []
        self._documents = 0

    async def tell(self) -> list[Result]:
        """All of it. Stuck says what didn't come to its end."""
        await self.connect()
        await self.rest()
        raw_s = await self.raw()
        await self.push(raw_s)
        if self.site.parameters.waves:
            await self.rollout()
        await self.reconnect()
        await self.lose_broker()
        await self.settle()
        return self.results

    async def connect(self) -> None:
        """All begin at once."""
        begun_s = time.monotonic()
        await self.site.order(Order(do="begin"), object)
        look = await self._connected("the fleet's first connections", begun_s)
        self._times("connect storm", look.connected, begun_s)
        self._figure("connect storm: attempts per device", look.attempts / self.count, "")
        await self._known("connect storm: births in the fleet view, all", begun_s)
        await self._acked("connect storm: first policy acked", self.site.standing, begun_s)

    async def rest(self) -> None:
        """Nothing but reports."""
        parts = {"coordinator": self.site.coordinator, "broker": psutil.Process(self.site.broker.pid)}
        await asyncio.sleep(min(5.0, self.site.parameters.report_s))
        before, since_s = {name: _cpu_s(one) for name, one in parts.items()}, time.monotonic()
        await asyncio.sleep(self.site.parameters.steady_s)
        elapsed_s = time.monotonic() - since_s
        against = f"{self.count} devices, a report every {self.site.parameters.report_s:g} s"
        for name, one in parts.items():
            share = (_cpu_s(one) - before[name]) / elapsed_s
            self._figure(f"at rest: {name}, CPU", share * 1000, "ms/s", against)
            self._figure(f"at rest: {name}, RSS", one.memory_info().rss / 1e6, "MB", against)

    async def raw(self) -> float:
        """As many bytes as a policy set, there and back, read by nobody; seconds to 99 %."""
        await self.site.order(Order(do="listen_raw"), object)
        size = self.site.published[-1].size if self.site.published else 2000
        begun_s = await self.site.say_raw(size)
        look = await self._until("raw messages answered", lambda look: len(look.raw_answered) == self.count)
        self._figure(f"raw fan-out of {size} bytes: 99 % heard", _at(look.raw_heard) - begun_s, "s")
        took_s = _at(look.raw_answered) - begun_s
        self._figure("raw fan-out: 99 % answered", took_s, "s", "the same sessions and bytes, unread")
        return took_s

    async def push(self, raw_s: float) -> None:
        """A new policy for everybody."""
        before, came = len(self.site.published), (await self.site.look()).sets
        ordered_s = time.monotonic()
        await self._apply()
        revision = self.site.standing
        look = await self._acked("push: from the order", revision, ordered_s)
        published = self.site.published[before:]
        begun_s = min(one.at_s for one in published)
        took_s = _at(look.acked) - begun_s
        self._figure("push: 99 % acked, from the publish", took_s, "s")
        self._figure("push: time / raw fan-out and answers", took_s / raw_s, "ratio", "the raw round above")
        self._figure("push: publishes by the coordinator", len(published), "messages", target=1)
        self._figure("push: sets delivered per device", (look.sets - came) / self.count, "messages")
        self._figure("push: acks per device", ANSWERS, "messages", "accepted, applied")
        await self._answered("push: acks in the roster, all", revision, ordered_s)

    async def rollout(self) -> None:
        """New rules in waves."""
        waves = self.site.parameters.waves
        before, begun_s = len(self.site.published), time.monotonic()
        self._documents += 1
        plan: dict[str, Any] = {
            "waves": [{"percent": percent} for percent in waves],
            "soak_s": 2.0,
            "baseline_s": 60.0,
            "gates": {
                "settle_s": 1.0,
                "joules_per_request": "none",
                "violating_share": "none",
                "p95_ms": "none",
            },
        }
        document = {
            "name": f"step-{self._documents}",
            "rules": [{"policy": {"slo_p95_ms": 55.0}}],
            "rollout": plan,
        }
        await asyncio.to_thread(self.site.policy, "rollout", document=document)
        members = []
        for number in range(1, len(waves) + 1):
            await self._stage(number)
            if number < len(waves):
                look = await self._acked("", self.site.standing, begun_s)
                members.append(look.members)
        await self._stage(None)
        revision = self.site.standing
        await self._acked("", revision, begun_s)
        count = len(self.site.published[before:])
        self._figure("rollout: waves", len(waves), "waves")
        self._figure(
            "rollout: publishes by the coordinator", count, "messages", "one a wave and one at the end",
            target=len(waves) + 1,
        )  # fmt: skip
        for percent, found in zip(waves, members, strict=False):
            self._figure(f"rollout: devices in the wave of {percent:g} %", 100.0 * found / self.count, "%")
        self._figure("rollout: start to all acked", time.monotonic() - begun_s, "s", "evidence every 10 s")

    async def reconnect(self) -> None:
        """All lines break in one moment."""
        attempts = (await self.site.look()).attempts
        begun_s = time.monotonic()
        await self.site.order(Order(do="cut"), object)
        look = await self._connected("the reconnect storm", begun_s)
        self._times("reconnect storm", look.connected, begun_s)
        self._figure("reconnect storm: attempts per device", (look.attempts - attempts) / self.count, "")

    async def lose_broker(self) -> None:
        """The broker is killed while a policy is on its way."""
        attempts, before = (await self.site.look()).attempts, len(self.site.published)
        ordering = asyncio.create_task(self._apply())
        while len(self.site.published) == before:  # noqa: ASYNC110 - the least delay is what is wanted
            await asyncio.sleep(0.001)
        self.site.broker.kill()
        await ordering
        revision = self.site.standing
        acked = len((await self.site.look(revision)).acked)
        self._figure("broker killed: acked by then", 100.0 * acked / self.count, "%", "killed at the publish")
        await asyncio.sleep(self.site.parameters.away_s)
        self.site.broker.start()
        begun_s = time.monotonic()
        look = await self._connected("the way back to the killed broker", begun_s)
        self._times("broker restarted", look.connected, begun_s)
        self._figure("broker restarted: attempts per device", (look.attempts - attempts) / self.count, "")
        await self._acked("broker restarted: policy acked", revision, begun_s)
        await self._answered("broker restarted: acks in the roster, all", revision, begun_s)

    async def settle(self) -> None:
        """All is said: it must all be in the ledger, and nobody stuck."""
        begun_s, revision = time.monotonic(), self.site.standing
        await self.site.order(Order(do="hush"), object)
        sums = {one.device: (one.energy_mj, one.requests) for one in await self.site.sums()}
        await self._until("the last reports to be acknowledged", lambda look: look.waiting == 0)
        while True:
            kept = await asyncio.to_thread(self._kept)
            wrong = [name for name, own in sums.items() if kept.get(name) != own]
            if not wrong or time.monotonic() - begun_s > self.site.parameters.limit_s:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        self._figure("after all: last report to ledger, all", time.monotonic() - begun_s, "s")
        self._figure(
            "after all: devices whose ledger differs from their own sums", len(wrong), "devices", target=0
        )
        energy = sum(own for own, _ in sums.values()) - sum(own for own, _ in kept.values())
        requests = sum(own for _, own in sums.values()) - sum(own for _, own in kept.values())
        self._figure("after all: energy lost", abs(energy), "mJ", target=0)
        self._figure("after all: requests lost", abs(requests), "requests", target=0)
        look = await self.site.look(revision)
        self._figure(
            "after all: devices not connected", self.count - len(look.connected), "devices", target=0
        )
        self._figure(
            "after all: devices without the last ack", self.count - len(look.acked), "devices", target=0
        )
        await self._answered("", revision, begun_s)
        await self._known("after all: online in the roster, all", begun_s)
        self._figure("after all: coordinator, RSS", self.site.coordinator.memory_info().rss / 1e6, "MB")
        for name, path in (("metrics", "/metrics"), ("fleet", "/v1/fleet")):
            took_s = await asyncio.to_thread(self._fetch, path)
            self._figure(f"after all: the API's {name}", took_s, "s", f"{self.count} devices")

    # How they are measured.

    async def _apply(self) -> None:
        self._documents += 1
        rules = [{"policy": {"slo_p95_ms": 50.0 + self._documents}}]
        document = {"name": f"step-{self._documents}", "rules": rules}
        await asyncio.to_thread(self.site.policy, "apply", "--now", document=document)

    async def _until(self, what: str, done: Callable[[Look], bool], revision: int = 0) -> Look:
        deadline_s = time.monotonic() + self.site.parameters.limit_s
        while not done(look := await self.site.look(revision)):
            if time.monotonic() > deadline_s:
                counts = (
                    f"{len(look.connected)} connected, {len(look.acked)} acked, {look.waiting} reports wait"
                )
                raise Stuck(
                    f"{what}: not done in {self.site.parameters.limit_s:g} s; of {self.count} {counts}"
                )
            await asyncio.sleep(LOOK_EVERY_S)
        return look

    async def _connected(self, what: str, since_s: float) -> Look:
        return await self._until(
            what, lambda look: sum(at_s > since_s for at_s in look.connected) == self.count
        )

    async def _acked(self, name: str, revision: int, since_s: float) -> Look:
        look = await self._until(
            f"acks to revision {revision}", lambda look: len(look.acked) == self.count, revision
        )
        if name:
            self._times(f"{name}", look.acked, since_s)
        return look

    async def _answered(self, name: str, revision: int, since_s: float) -> None:
        def good() -> bool:
            good = [one for one in self.site.known() if one.revision >= revision and one.ack == "applied"]
            return len(good) == self.count

        await self._in_the_database(good, f"applied acks to revision {revision} in the roster")
        if name:
            self._figure(name, time.monotonic() - since_s, "s", "the roster is written every 5 s")

    async def _known(self, name: str, since_s: float) -> None:
        def online() -> bool:
            return sum(one.status == "online" for one in self.site.known()) == self.count

        await self._in_the_database(online, "devices online in the roster")
        self._figure(name, time.monotonic() - since_s, "s", "the roster is written every 5 s")

    async def _stage(self, wave: int | None) -> None:
        """Until the rollout has reached a wave; None: until it is complete."""

        def there() -> bool:
            kept = self.site.journal.read()
            state = kept.standing.rollout if kept else None
            if state is None or wave is None:
                return state is not None and state.stage == "complete"
            return state.wave >= wave

        await self._in_the_database(there, "the rollout")

    async def _in_the_database(self, true: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + self.site.parameters.limit_s
        while not await asyncio.to_thread(true):
            if time.monotonic() > deadline_s:
                raise Stuck(f"{what}: not there in {self.site.parameters.limit_s:g} s")
            await asyncio.sleep(LOOK_EVERY_S)

    def _kept(self) -> dict[str, tuple[int, int]]:
        energy, requests = COUNTERS.index("energy_mj"), COUNTERS.index("requests")
        return {one.device: (one.values[energy], one.values[requests]) for one in self.site.ledger.totals()}

    def _fetch(self, path: str) -> float:
        begun_s = time.monotonic()
        with urllib.request.urlopen(f"http://{self.site.listen}{path}", timeout=120) as answer:
            answer.read()
        return time.monotonic() - begun_s

    def _times(self, name: str, times: Sequence[float], since_s: float) -> None:
        self._figure(f"{name}: 99 %", _at(times) - since_s, "s")
        self._figure(f"{name}: all", times[-1] - since_s, "s")

    def _figure(
        self, name: str, value: float, unit: str, against: str = "", target: float | None = None
    ) -> None:
        result = Result.judged(name, float(value), unit, target=target, against=against)
        print(f"{name}: {value:.3f} {unit}", flush=True)
        self.results.append(result)


def _at(times: Sequence[float], share: float = SHARE) -> float:
    """When this share of them had happened; `times` in order."""
    return times[max(0, math.ceil(share * len(times)) - 1)]


def _cpu_s(process: psutil.Process) -> float:
    return float(sum(process.cpu_times()[:2]))
