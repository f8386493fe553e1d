"""The real parts: Mosquitto on the shipped configuration, the coordinator's process, and the workers."""

import asyncio
import base64
import contextlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import aiomqtt
import msgspec
import psutil
from tests.conftest import SEARCH_PATH
from tests.secured import SecuredMosquitto, now, secured

from benchmarks.fleet.device import FLEET, RAW
from benchmarks.fleet.worker import Look, Order, Settings, Sum
from tidewatt_coordinator.broker import free_port
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.pki.certificates import Authority, key_pem, new_certificate, new_key, pem
from tidewatt_coordinator.rollout.journal import Journal
from tidewatt_coordinator.rollout.roster import Known, Roster
from tidewatt_link.connection import Connection
from tidewatt_wire.codec import decode
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import PolicySet
from tidewatt_wire.topics import FleetTopic

T = TypeVar("T")
#: Descriptors beside one for each device: log, database, coordinator, and some air.
SPARE_FILES = 500
BUCKET_S = 300
POLICY = str(FleetTopic(FLEET, "policy"))
READY_S = 300.0


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a run."""

    devices: int = 10_000
    workers: int = 2
    report_s: float = 60.0
    """The shipped one is 10 s: six times the reports would leave two cores, which play all the devices, the
    broker and the coordinator, nothing for storms."""
    spread_s: float = 10.0
    """How long after a loss a device may seek its broker, as it is shipped."""
    waves: tuple[float, ...] = (5.0, 25.0, 100.0)
    """Percent; none: no rollout."""
    steady_s: float = 30.0
    """How long the fleet is watched at rest."""
    away_s: float = 5.0
    """How long the killed broker is away."""
    limit_s: float = 600.0
    """No part may take longer."""


class Heard(msgspec.Struct, frozen=True):
    """A policy set as it was published: when, what, and how long."""

    at_s: float
    revision: int
    size: int


class Site:
    """Everything that runs."""

    def __init__(self, folder: Path, broker: SecuredMosquitto, parameters: Parameters) -> None:
        self.folder, self.broker, self.parameters = folder, broker, parameters
        self.names = [f"jetson-{number:05}" for number in range(parameters.devices)]
        self.config = folder / "coordinator.toml"
        self.signer = KeyFolder(folder / "keys").new()
        self.ledger = Ledger(f"sqlite:///{folder}/ledger.db", BUCKET_S * 1000)
        self.journal, self._roster = Journal(self.ledger.engine, FLEET), Roster(self.ledger.engine, FLEET)
        self.listen = f"127.0.0.1:{free_port()}"
        self.published: list[Heard] = []
        self.coordinator: psutil.Process
        self.workers: list[Worker] = []

    @property
    def standing(self) -> int:
        """The revision that stands."""
        kept = self.journal.read()
        return kept.standing.revision if kept else 0

    def known(self) -> list[Known]:
        """The devices as `tidewatt policy status` sees them."""
        return self._roster.read()

    def policy(self, *words: str, document: dict[str, Any] | None = None) -> None:
        """An order of the operator's, by the command."""
        command = [sys.executable, "-m", "tidewatt_coordinator", "policy", *words]
        if document:
            file = self.folder / f"{document['name']}.toml"
            file.write_text(to_toml(document))
            command.append(str(file))
        subprocess.run([*command, "--config", str(self.config)], check=True, stdout=subprocess.DEVNULL)

    def shown(self, name: str) -> Connection:
        """The way to the broker with a certificate of one's own."""
        return Connection(self.broker.url, self.broker.pki.shown(name), setting="broker.url")

    async def say_raw(self, size: int) -> float:
        """A message that nobody reads into, to all sessions; when it left."""
        async with self.shown("coordinator").client(identifier="raw") as client:
            at_s = time.monotonic()
            await client.publish(RAW, b"x" * size, qos=1)
        return at_s

    async def look(self, revision: int = 0) -> Look:
        """All devices together."""
        return together(await self.order(Order(do="look", revision=revision), Look))

    async def sums(self) -> list[Sum]:
        """What every device has counted itself."""
        return [one for some in await self.order(Order(do="sums"), list[Sum]) for one in some]

    async def order(self, order: Order, answer: type[T]) -> list[T]:
        """The answers of all workers."""
        return await asyncio.gather(*(worker.order(order, answer) for worker in self.workers))


def together(looks: Sequence[Look]) -> Look:
    """What several workers see, as one; times in order."""
    refused: dict[str, int] = {}
    for look in looks:
        for code, count in look.refused.items():
            refused[code] = refused.get(code, 0) + count

    def times(name: str) -> list[float]:
        return sorted(at_s for look in looks for at_s in getattr(look, name))

    def counts(name: str) -> int:
        return sum(getattr(look, name) for look in looks)

    return Look(
        connected=times("connected"),
        acked=times("acked"),
        members=counts("members"),
        attempts=counts("attempts"),
        failed=counts("failed"),
        waiting=counts("waiting"),
        sets=counts("sets"),
        refused=refused,
        raw_heard=times("raw_heard"),
        raw_answered=times("raw_answered"),
    )


class Worker:
    """One process of devices."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._one_at_a_time = asyncio.Lock()

    async def order(self, order: Order | None, answer: type[T]) -> T:
        """Its answer to an order; to none, that it is ready."""
        assert self.process.stdin  # noqa: S101 - asked for a pipe
        assert self.process.stdout  # noqa: S101 - asked for a pipe
        async with self._one_at_a_time:
            if order:
                self.process.stdin.write(msgspec.json.encode(order) + b"\n")
            line = await asyncio.wait_for(self.process.stdout.readline(), READY_S)
            return msgspec.json.decode(line, type=answer)


@contextlib.asynccontextmanager
async def running(folder: Path, parameters: Parameters) -> AsyncIterator[Site]:
    """A site with broker and coordinator at work and devices that wait for their beginning."""
    program = shutil.which("mosquitto", path=SEARCH_PATH)
    if program is None:
        sys.exit("bench-fleet: the broker is missing: apt install --no-install-recommends mosquitto")
    allow_files(parameters.devices + SPARE_FILES)
    with secured(program, folder) as broker:
        site = Site(folder, broker, parameters)
        make_certificates(broker.pki.authority, site.names, broker.pki.path)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(site.ledger.close)
            await _coordinate(site, stack)
            probing = asyncio.create_task(_probe(site))
            stack.callback(probing.cancel)
            for number in range(parameters.workers):
                site.workers.append(await _work(site, number, stack))
            for worker in site.workers:
                await worker.order(None, str)
            yield site


def allow_files(wanted: int) -> None:
    """Raise this process's limit of open files, which its children inherit, or end with a sentence."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(
            f"bench-fleet: {wanted} open files are needed and {hard} are the limit here (ulimit -Hn): "
            f"raise it, or ask for fewer devices: make bench-fleet DEVICES={hard - SPARE_FILES}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def make_certificates(authority: Authority, names: Sequence[str], folder: Path) -> None:
    """NAME.pem with certificate and key for each; in processes, one for each processor."""
    ca, key = pem(authority.certificate), key_pem(authority.key)
    parts = [names[start : start + 250] for start in range(0, len(names), 250)]
    with ProcessPoolExecutor() as pool:
        for done in [pool.submit(_certify, ca, key, part, str(folder)) for part in parts]:
            done.result()


def _certify(ca: bytes, key: bytes, names: Sequence[str], folder: str) -> None:
    from cryptography import x509  # noqa: PLC0415 - in the child
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    signing: Any = load_pem_private_key(key, None)
    authority = Authority(x509.load_pem_x509_certificate(ca), signing)
    for name in names:
        own = new_key()
        file = Path(folder) / f"{name}.pem"
        file.write_bytes(
            pem(new_certificate(authority, "device", [name], own.public_key(), now(), 7)) + key_pem(own)
        )
        file.chmod(0o600)


async def _coordinate(site: Site, stack: contextlib.AsyncExitStack) -> None:
    shown = site.broker.pki.shown("coordinator")
    document = {
        "coordinator": {"fleet": FLEET, "listen": site.listen, "name": "bench"},
        "access": {"anonymous": "viewer"},
        "broker": {"url": site.broker.url, "ca": shown.ca, "certificate": shown.certificate},
        "dispatch": {"stale_after_s": 3.0 * max(20.0, site.parameters.report_s)},
        "ledger": {"url": f"sqlite:///{site.folder}/ledger.db", "bucket_s": BUCKET_S},
        "policy_keys": {"folder": str(site.folder / "keys")},
        "models": {"folder": str(site.folder / "models")},
    }
    site.config.write_text(to_toml(document))
    with (site.folder / "coordinator.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tidewatt_coordinator", "serve", "--config", str(site.config), stderr=log
        )
    stack.push_async_callback(_end, process)
    site.coordinator = psutil.Process(process.pid)


async def _work(site: Site, number: int, stack: contextlib.AsyncExitStack) -> Worker:
    settings = Settings(
        devices=site.names[number :: site.parameters.workers],
        url=site.broker.url,
        ca=site.broker.pki.ca,
        certificates=str(site.broker.pki.path),
        source=f"127.0.1.{number + 1}",
        policy_key=site.signer.trusted.public,
        report_s=site.parameters.report_s,
        spread_s=site.parameters.spread_s,
    )
    file = site.folder / f"worker-{number}.json"
    file.write_bytes(msgspec.json.encode(settings))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.fleet.worker",
        str(file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    stack.push_async_callback(_end, process)
    return Worker(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 15)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()


async def _probe(site: Site) -> None:
    """Hear what the coordinator publishes, as a device does."""
    while True:
        with contextlib.suppress(aiomqtt.MqttError):
            async with site.shown("probe").client(identifier="probe") as client:
                await client.subscribe(POLICY, qos=1)
                async for message in client.messages:
                    if message.payload and not message.retain:
                        site.published.append(_heard(bytes(message.payload)))
        await asyncio.sleep(0.2)


def _heard(envelope: bytes) -> Heard:
    payload = base64.b64decode(json.loads(envelope)["payload"])
    return Heard(time.monotonic(), decode(PolicySet, payload).revision, len(envelope))
