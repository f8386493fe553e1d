"""A spot warning from the queue to the proxy, all of it real: SQS, coordinator, broker, router, HAProxy.

Who drains the pool keeps to the order: when its weight is 0 at the proxy and what was on its way is answered,
the nodes may go. Then no request is lost, whoever else dies.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.costing import aws
from tests.ports import free_port
from tests.processes import Process
from tests.proxied import Backends, Client, assert_follows, backends, haproxy_child, running
from tests.routers import RouterProcess, follows, started
from tests.sealing import FLEETS_KEY
from tests.secured import SecuredMosquitto
from tests.world import until

from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.steering.book import Book
from tidewatt_coordinator.steering.orders import Order
from tidewatt_router.status import Status
from tidewatt_wire.documents import to_toml

REQUESTS = 10_000
INSTANCE = "i-0123456789abcdef0"
NAMES = ("spot", "demand")
#: Cheap and short, so that both pools are used: 34 of 60 requests/s fit the spot nodes at the fill.
POOLS = [
    {
        "name": "spot",
        "kind": "spot",
        "capacity_rps": 40.0,
        "cost_per_million": "1",
        "egress_per_gb": "0",
        "zone": "us-east-1a",
    },
    {
        "name": "demand",
        "kind": "on_demand",
        "capacity_rps": 500.0,
        "cost_per_million": "9",
        "egress_per_gb": "0",
    },
]
#: A table holds so long: the coordinator's death is seen by the router after it, and not before.
VALID_S = 8.0


def from_its(half: str) -> Callable[[Status], bool]:
    """Whether the proxy does what this half of the newest table says."""
    return lambda found: found.epoch is not None and follows(found.epoch, half)(found)


def a_warning() -> str:
    """What EventBridge says two minutes before an instance is taken."""
    event = {
        "version": "0",
        "id": "11111111-2222-3333-4444-555555555555",
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "source": "aws.ec2",
        "account": "123456789012",
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "region": "us-east-1",
        "resources": [f"arn:aws:ec2:us-east-1a:123456789012:instance/{INSTANCE}"],
        "detail": {"instance-id": INSTANCE, "instance-action": "terminate"},
    }
    return json.dumps(event)


class Proxy:
    """HAProxy, asked directly: what the router says of it is not taken on trust."""

    def __init__(self, port: int, path: Path) -> None:
        self.port, self._path = port, path

    def stands(self, name: str) -> tuple[int, int]:
        """The weight of a backend, and the requests that it has now."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(self._path))
            channel.sendall(b"show stat\n")
            said = b"".join(iter(lambda: channel.recv(65536), b"")).decode()
        head, *rows = said.removeprefix("# ").splitlines()
        columns = head.split(",")
        found = next(
            dict(zip(columns, row.split(","), strict=False)) for row in rows if row.startswith(f"r,s-{name},")
        )
        return int(found["weight"]), int(found["scur"])


class Traffic:
    """Requests without a pause, until enough were sent and nobody wants more."""

    def __init__(self, port: int) -> None:
        self.client, self.enough = Client(port), asyncio.Event()

    async def flow(self) -> None:
        while not self.enough.is_set() or self.sent < REQUESTS:
            await self.client.send(100)

    @property
    def sent(self) -> int:
        return sum(self.client.answers.values())

    async def until_sent(self, more: int) -> Counter[str]:
        """The answers to the next so many."""
        before = Counter(self.client.answers)
        upto = self.sent + more
        await until(lambda: self.sent >= upto)
        return self.client.answers - before

    async def stop(self, flowing: "asyncio.Task[None]") -> Counter[str]:
        """All answers, when enough were sent."""
        self.enough.set()
        await flowing
        return self.client.answers


class Cloud:
    """The queue of warnings, on a real SQS server."""

    def __init__(self, url: str) -> None:
        self._sqs: Any = boto3.client("sqs", region_name="us-east-1", endpoint_url=url)
        self.url, self.queue = url, self._sqs.create_queue(QueueName="spot")["QueueUrl"]

    def say(self, body: str) -> None:
        self._sqs.send_message(QueueUrl=self.queue, MessageBody=body)

    def left(self) -> int:
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=wanted)["Attributes"]
        return sum(int(found[name]) for name in wanted)


class Stage:
    """Everything that runs, and the database by which the driver is told."""

    def __init__(self, folder: Path, broker: SecuredMosquitto, cloud: Cloud) -> None:
        self.folder, self.cloud = folder, cloud
        self.ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", 300_000)
        self.book = Book(self.ledger.engine, "f")
        self.coordinator = self._coordinator(broker)

    def _coordinator(self, broker: SecuredMosquitto) -> Process:
        keys = self.folder / "keys"
        keys.mkdir()
        key = keys / f"{FLEETS_KEY.id}.pem"
        key.touch(0o600)
        key.write_bytes(FLEETS_KEY.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        shown = broker.pki.shown("coordinator")
        document = {
            "coordinator": {"fleet": "f", "listen": f"127.0.0.1:{free_port()}", "lease_s": 2.0},
            "broker": {"url": broker.url, "ca": shown.ca, "certificate": shown.certificate},
            "ledger": {"url": f"sqlite:///{self.folder / 'ledger.db'}"},
            "policy_keys": {"folder": str(keys)},
            "models": {"folder": str(self.folder / "models")},
            "dispatch": {
                "every_s": 1.0,
                "valid_s": VALID_S,
                "absorb_loss": False,
                "pools": POOLS,
                "classes": [{"name": "all", "expected_rps": 60.0}],
                "spot": {"queue": self.cloud.queue, "endpoint": self.cloud.url},
            },
        }
        config = self.folder / "coordinator.toml"
        config.write_text(to_toml(document))
        return Process("coordinator", "tidewatt_coordinator", ["serve", "--config", str(config)], self.folder)

    def order(self) -> Order | None:
        """The cloud's order, from the moment when the pool may drain."""
        return next((one for one in self.book.history(1) if one.in_force_ms is not None), None)

    def close(self) -> None:
        if self.coordinator.running:
            self.coordinator.kill()
        self.ledger.close()


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with aws() as url:
        yield Cloud(url)


@contextlib.asynccontextmanager
async def world(
    folder: Path, broker: SecuredMosquitto, cloud: Cloud
) -> AsyncIterator[tuple[Stage, RouterProcess, Backends, Proxy]]:
    stage = Stage(folder, broker, cloud)
    with contextlib.closing(stage):
        async with backends(*NAMES) as behind:
            child, path = haproxy_child(folder, behind.ports)
            with running(child), started(RouterProcess(folder, broker, path, NAMES)) as router:
                yield stage, router, behind, Proxy(child.port, path)


async def test_a_spot_warning_loses_no_request_and_neither_does_a_death(
    guarded: SecuredMosquitto, tmp_path: Path, cloud: Cloud
) -> None:
    async with world(tmp_path, guarded, cloud) as (stage, router, behind, proxy):
        await router.does(from_its("table"))
        before = router.status().routes["r"].wanted
        assert proxy.stands("spot")[0] > 0
        assert 0.4 < before["spot"] < 0.6, before
        traffic = Traffic(proxy.port)
        flowing = asyncio.create_task(traffic.flow())
        assert_follows(await traffic.until_sent(2000), before)

        # The warning, and what the driver that drains the pool waits for.
        await asyncio.to_thread(cloud.say, a_warning())
        await until(stage.order)
        await until(lambda: proxy.stands("spot") == (0, 0))
        stopped_ms = round(time.time() * 1000)
        await behind.stop("spot")
        order = stage.order()
        assert order
        assert (order.backend, order.kind) == ("spot", "interruption")
        assert order.in_force_ms is not None
        assert order.made_ms <= order.in_force_ms <= stopped_ms
        served = behind.served["spot"]
        assert served >= 600, "it was of use until then"
        await until(lambda: cloud.left() == 0)
        assert set(await traffic.until_sent(1000)) == {"demand"}

        # The coordinator dies: the last good table goes on, and past its expiry the safe one does.
        await asyncio.to_thread(stage.coordinator.kill)
        await router.does(from_its("table"))
        await router.does(from_its("safe"))
        expires_s = router.status().expires_s
        assert expires_s is not None
        assert time.time() >= expires_s
        assert set(await traffic.until_sent(1000)) == {"demand"}

        answers = await traffic.stop(flowing)
        assert sum(answers.values()) >= REQUESTS
        assert set(answers) == set(NAMES), "none is lost, and none is refused"
        assert behind.served["spot"] == served == answers["spot"]
