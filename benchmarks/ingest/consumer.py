"""One consumer in a process of its own: `WAY URL MESSAGES FOLDER`, or `devices COUNT FOLDER`.

It says `ready` when it is subscribed, and then what it took as one line of JSON: seconds from the first
message until it was through with the last, which for ours is the ledger's commit, and CPU seconds.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import aiomqtt
import psutil

from benchmarks.ingest.load import report_bytes
from tidewatt_coordinator.collecting import collect_seldom
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ingest import WINDOW, Ingest
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_governor.boards import load_profile
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_link.packets import Said
from tidewatt_link.subscribing import Asked, subscribed
from tidewatt_wire.brokers import parse_broker_url
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Birth
from tidewatt_wire.topics import DeviceTopic, every_device

AT_MS = 1_790_000_000_000
GROUP = 10_000

Figures = dict[str, float]


def ingest_of(url: str, folder: Path, now_ms: Callable[[], int] | None = None) -> Ingest:
    """A coordinator's, with a ledger of its own."""
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", 300_000)
    begun_s = time.monotonic()
    clock = now_ms or (lambda: AT_MS + round(1000 * (time.monotonic() - begun_s)))
    collect_seldom()  # as the coordinator does
    return Ingest(Connection(url), "f", Fleet(60_000), ledger, clock)


async def until(true: Callable[[], object]) -> None:
    """Return when it is true; whoever started this process ends it otherwise."""
    while not true():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.005)


async def ours(url: str, count: int, folder: Path) -> Figures:
    """The whole way into the ledger, while the load is published."""
    ingest = ingest_of(url, folder)
    running = asyncio.create_task(ingest.run())
    await until(lambda: ingest.connected)
    print("ready", flush=True)
    return await _through(ingest, running, count)


async def queued(url: str, count: int, folder: Path) -> Figures:
    """The same of what the broker kept while nobody was there: after `ready` a line of input begins it."""
    ingest = ingest_of(url, folder)
    absent = asyncio.create_task(ingest.run())
    await until(lambda: ingest.connected)
    await ended(absent)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    return await _through(ingest, asyncio.create_task(ingest.run()), count)


async def _through(ingest: Ingest, running: "asyncio.Task[None]", count: int) -> Figures:
    await until(lambda: ingest.messages["report"])
    begun_s, cpu_s = time.monotonic(), time.process_time()
    await until(lambda: ingest.messages["report"] >= count and ingest.oldest_s is None)
    taken_s, used_s = time.monotonic() - begun_s, time.process_time() - cpu_s
    await ended(running)
    missed = sum(device.missed for device in ingest._fleet.devices.values())  # noqa: SLF001
    return {"wall_s": taken_s, "cpu_s": used_s, "missed": missed, "merges": ingest.merges}


async def plain(url: str, count: int, _folder: Path) -> Figures:
    """What a consumer by aiomqtt costs that looks at nothing."""
    at, seen, begun_s, cpu_s = parse_broker_url(url, "url"), 0, 0.0, 0.0
    # By its default protocol: of MQTT 5 it makes a table of properties for each message, and is slower.
    async with aiomqtt.Client(at.host, at.port) as client:
        await client.subscribe(every_device("f", "report"), qos=1)
        print("ready", flush=True)
        async for _ in client.messages:
            if not seen:
                begun_s, cpu_s = time.monotonic(), time.process_time()
            seen += 1
            if seen == count:
                break
    return {"wall_s": time.monotonic() - begun_s, "cpu_s": time.process_time() - cpu_s}


async def line(url: str, count: int, _folder: Path) -> Figures:
    """Our own line, counted and acknowledged at once: what broker, load and reading leave of the machine."""
    seen, begun_s, cpu_s, through = 0, 0.0, 0.0, asyncio.Event()

    def take(said: Sequence[Said]) -> None:
        nonlocal seen, begun_s, cpu_s
        if not seen:
            begun_s, cpu_s = time.monotonic(), time.process_time()
        seen += len(said)
        there.acknowledge([number for _, _, number, _ in said])
        if seen >= count:
            through.set()

    asked = Asked(identifier="line", topics=(every_device("f", "report"),), session_s=0, window=WINDOW)
    async with subscribed(Connection(url), asked, take) as there:
        print("ready", flush=True)
        await through.wait()
        return {"wall_s": time.monotonic() - begun_s, "cpu_s": time.process_time() - cpu_s}


def devices(count: int, folder: Path) -> Figures:
    """Bytes that each of so many devices takes, born, reporting, and in the ledger."""
    heard = 0  # 40,000 messages a second, so the clock moves a second for each 40,000
    ingest = ingest_of("mqtt://127.0.0.1:1", folder, lambda: AT_MS + heard // 40)
    process = psutil.Process()
    profile = load_profile("orin-nano-super")
    born = encode(
        Birth(
            device="jetson-NUMBER", session="0123456789abcdef", epoch="fedcba9876543210", at_ms=AT_MS,
            version="0.1.0", board="orin-nano-super", control="enforce", labels={"site": "x"},
            points=profile.points, vendor_default="25W",
        )
    )  # fmt: skip
    before = process.memory_info().rss
    for start in range(0, count, GROUP):
        for number in range(start, min(count, start + GROUP)):
            name = f"jetson-{number:06d}"
            topic, heard = str(DeviceTopic("f", name, "birth")), heard + 2
            ingest.take(topic, born.replace(b"jetson-NUMBER", name.encode()))
            ingest.take(topic.replace("/birth", "/report"), report_bytes(name, 1, AT_MS))
        asyncio.run(ingest.merge())
    after = process.memory_info().rss
    return {"bytes": (after - before) / count, "rss_mb": after / 1e6}


def main() -> None:
    """Do what is asked."""
    what, *rest = sys.argv[1:]
    if what == "devices":
        found = devices(int(rest[0]), Path(rest[1]))
    else:
        way = {"ours": ours, "queued": queued, "aiomqtt": plain, "line": line}[what]
        found = asyncio.run(way(rest[0], int(rest[1]), Path(rest[2])))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
