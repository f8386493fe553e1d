"""A process with many devices. Orders come on standard input, one JSON object a line; so go the answers."""

import asyncio
import logging
import sys

import msgspec

from benchmarks.fleet.device import Device
from benchmarks.fleet.line import look_after_lines
from tidewatt_agent.link import KEEPALIVE_S
from tidewatt_governor.boards import load_profile
from tidewatt_wire.brokers import Credentials
from tidewatt_wire.keys import trusted_key

#: Devices are made and begun in groups, so that orders are heard in between.
GROUP = 100


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told at its start."""

    devices: list[str]
    url: str
    ca: str
    certificates: str
    """The folder of NAME.pem."""
    source: str
    """The address that its devices connect from."""
    policy_key: str
    report_s: float
    spread_s: float


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do."""

    do: str
    revision: int = 0


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker sees of its devices. Times are monotonic seconds, common to all processes."""

    connected: list[float] = []
    """Of those connected now: when each was."""
    acked: list[float] = []
    """When the broker had the first good ack to the revision asked for."""
    members: int = 0
    """Devices whose accepted set's rollout holds for them."""
    attempts: int = 0
    failed: int = 0
    waiting: int = 0
    """Reports that the broker has not acknowledged."""
    sets: int = 0
    refused: dict[str, int] = {}
    raw_heard: list[float] = []
    raw_answered: list[float] = []


class Sum(msgspec.Struct, frozen=True):
    """What a device has counted itself."""

    device: str
    energy_mj: int
    requests: int


class Workshop:
    """The devices of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.devices: list[Device] = []
        self._links: list[asyncio.Task[None]] = []
        self._reports: list[asyncio.Task[None]] = []
        self._keeper: asyncio.Task[None] | None = None

    def make(self) -> None:
        """Make every device, connect none."""
        settings, profile = self._settings, load_profile("orin-nano-super")
        for name in settings.devices:
            shown = Credentials(ca=settings.ca, certificate=f"{settings.certificates}/{name}.pem")
            device = Device(
                name,
                settings.url,
                shown,
                settings.source,
                [trusted_key(settings.policy_key)],
                profile,
                settings.report_s,
                settings.spread_s,
            )
            device.door.prepare()
            self.devices.append(device)

    def begin(self) -> None:
        """Let all live, at once."""
        self._links = [asyncio.create_task(device.link.run()) for device in self.devices]
        self._reports = [asyncio.create_task(device.report_for_ever()) for device in self.devices]
        self._keeper = asyncio.create_task(look_after_lines(KEEPALIVE_S))

    def cut(self) -> None:
        """Break every line, as a switch does that loses power."""
        for device in self.devices:
            if device.door.line:
                device.door.line.cut()

    def hush(self) -> None:
        """One last report of each, and no more."""
        for device, task in zip(self.devices, self._reports, strict=True):
            task.cancel()
            device.report()

    async def listen_raw(self) -> None:
        """Have every session hear the raw fleet."""
        for start in range(0, len(self.devices), GROUP):
            await asyncio.gather(*(one.listen_raw() for one in self.devices[start : start + GROUP]))

    def look(self, revision: int) -> Look:
        """How they stand."""
        refused: dict[str, int] = {}
        for one in self.devices:
            for code, count in one.policies.refused.items():
                refused[code] = refused.get(code, 0) + count
        return Look(
            connected=[one.door.welcomed_s for one in self.devices if one.link.connected],
            acked=[one.answers.first[revision] for one in self.devices if revision in one.answers.first],
            members=sum(bool(one.policies.member) for one in self.devices),
            attempts=sum(one.door.attempts for one in self.devices),
            failed=sum(one.door.failed for one in self.devices),
            waiting=sum(one.waiting for one in self.devices),
            sets=sum(one.sets for one in self.devices),
            refused=refused,
            raw_heard=[one.raw_heard_s for one in self.devices if one.raw_heard_s],
            raw_answered=[one.raw_answered_s for one in self.devices if one.raw_answered_s],
        )

    def sums(self) -> list[Sum]:
        """What each has counted."""
        return [Sum(one.name, one.counters.energy_mj, one.counters.requests) for one in self.devices]

    async def obey(self, order: Order) -> object:
        """Do it; the answer."""
        match order.do:
            case "begin":
                self.begin()
            case "cut":
                self.cut()
            case "hush":
                self.hush()
            case "listen_raw":
                await self.listen_raw()
            case "look":
                return self.look(order.revision)
            case "sums":
                return self.sums()
        return None


async def work(settings: Settings) -> None:
    """Obey until standard input ends."""
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    shop = Workshop(settings)
    shop.make()
    _say("ready")
    while line := await orders.readline():
        _say(await shop.obey(msgspec.json.decode(line, type=Order)))


def _say(answer: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    with open(sys.argv[1], "rb") as file:  # noqa: PTH123 - a program's argument
        asyncio.run(work(msgspec.json.decode(file.read(), type=Settings)))
