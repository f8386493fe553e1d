"""A real router between the real broker, on the shipped ACL, and a real HAProxy: deaths and lies."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from tests.proxied import Child, Client, assert_follows, backends, haproxy_child, running
from tests.routers import RouterProcess, follows, started
from tests.sealing import FLEETS_KEY, FOREIGN_KEY
from tests.secured import SecuredMosquitto
from tests.world import until

from tidewatt_link.connection import Connection
from tidewatt_router.status import fetch
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import ClassWeights, DispatchTable
from tidewatt_wire.signing import DISPATCH_TYPE, Signer, seal
from tidewatt_wire.topics import FleetTopic

TOPIC = str(FleetTopic("f", "dispatch"))
SAFE = [ClassWeights(name="all", weights={"b": 1})]


def table(epoch: int, life_s: float = 600.0, key: Signer = FLEETS_KEY, **weights: int) -> bytes:
    now_ms = round(time.time() * 1000)
    made = DispatchTable(
        fleet="f",
        epoch=epoch,
        issued_at_ms=now_ms,
        expires_at_ms=now_ms + round(life_s * 1000),
        weights=weights,
        safe=SAFE,
    )
    return seal(encode(made), [key], DISPATCH_TYPE)


async def publish(broker: SecuredMosquitto, *payloads: bytes) -> None:
    """As a coordinator does."""
    async with Connection(broker.url, broker.pki.shown("coordinator")).client() as client:
        for payload in payloads:
            await client.publish(TOPIC, payload, qos=1, retain=True)


@contextlib.asynccontextmanager
async def world(folder: Path, broker: SecuredMosquitto) -> AsyncIterator[tuple[Child, RouterProcess]]:
    async with backends("a", "b", "c") as behind:
        child, socket = haproxy_child(folder, behind.ports)
        with running(child), started(RouterProcess(folder, broker, socket, ("a", "b", "c"))) as router:
            yield child, router


async def shares(child: Child, wanted: Mapping[str, float]) -> None:
    assert_follows(await Client(child.port).send(2000), wanted)


async def test_from_the_coordinators_word_to_the_proxys_deed(
    guarded: SecuredMosquitto, tmp_path: Path
) -> None:
    await publish(guarded, table(5, a=6000, b=3000, c=1000))
    async with world(tmp_path, guarded) as (child, router):
        await router.does(follows(5))
        await shares(child, {"a": 0.6, "b": 0.3, "c": 0.1})
        code, said = router.said("status")
        assert (code, "haproxy: does as wanted" in said) == (0, True), said
        assert router.said("check") == (0, "haproxy: good\n")

        # Lies and old news change nothing, and are counted.
        bare = DispatchTable(fleet="f", epoch=9, issued_at_ms=0, expires_at_ms=2**50, weights={"c": 1})
        lies = [encode(bare), table(9, key=FOREIGN_KEY, c=1)]
        await publish(guarded, *lies, table(4, c=1), table(9, life_s=0.001, c=1))
        counted = {"malformed": 1, "unknown_key": 1, "older_epoch": 1, "expired": 1}
        await router.does(lambda found: found.refusals == counted)
        await shares(child, {"a": 0.6, "b": 0.3, "c": 0.1})

        # A proxy that begins anew gets its weights again.
        child.restart()
        await router.does(follows(5))
        await until(lambda: "tidewatt_router_restored_total{" in fetch(router.listen))
        await router.does(follows(5))
        await publish(guarded, table(10, a=1, b=1))
        await router.does(follows(10))
        await shares(child, {"a": 0.5, "b": 0.5})
        assert router.stop() == 0


async def test_a_dead_coordinator_leaves_the_last_table_and_then_the_safe_one(
    guarded: SecuredMosquitto, tmp_path: Path
) -> None:
    async with world(tmp_path, guarded) as (child, router):
        await router.does(lambda found: found.connected)
        await publish(guarded, table(5, life_s=10.0, a=1))
        await router.does(follows(5))
        guarded.kill()
        await router.does(lambda found: found.connected is False)
        await shares(child, {"a": 1.0})
        # A router that is started in this hour has what it kept, and an older table would not do.
        router.stop()
        await shares(child, {"a": 1.0})
        router.start()
        await router.does(follows(5, "safe"))
        await shares(child, {"b": 1.0})
        assert router.said("status")[0] == 1
        guarded.start()
        await router.does(lambda found: found.connected)
        await publish(guarded, table(4, c=1), table(6, c=1))
        await router.does(follows(6))
        assert router.status().refusals["older_epoch"] == 1
        await shares(child, {"c": 1.0})


@pytest.mark.parametrize("content", ["sealed", "bare"])
async def test_what_a_table_would_do(guarded: SecuredMosquitto, tmp_path: Path, content: str) -> None:
    router = RouterProcess(tmp_path, guarded, tmp_path / "none.sock", ("a", "b"))
    file = tmp_path / "table.json"
    now_ms = round(time.time() * 1000)
    made = DispatchTable(
        fleet="f", epoch=5, issued_at_ms=0, expires_at_ms=now_ms + 60_000, weights={"a": 3, "zz": 1}
    )
    file.write_bytes(encode(made) if content == "bare" else seal(encode(made), [FLEETS_KEY], DISPATCH_TYPE))
    code, said = router.said("render", "--table", str(file))
    assert code == 0
    assert (
        "# r: from table, epoch 5\n# haproxy\nset server r/s-b weight 0\nset server r/s-a weight 1\n" in said
    )
    assert "'zz', which is no [[backend]] here" in said
    file.write_bytes(seal(encode(made), [FOREIGN_KEY], DISPATCH_TYPE))
    assert router.said("render", "--table", str(file))[0] == 2
    code, said = router.said("check")
    assert (code, "none.sock: No such file" in said) == (1, True)
    code, said = router.said("status")
    assert code == 1
    assert said.startswith(f"tidewatt-router: no router answers at {router.listen}: Connection refused; ")
