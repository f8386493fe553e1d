"""Real nginx, HAProxy and Envoy do as the router's whole numbers say, lose nothing, are put back."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.proxied import (
    Backends,
    Child,
    Client,
    assert_follows,
    backends,
    envoy_child,
    haproxy_child,
    nginx_child,
    running,
)

from tidewatt_router.applier import Applier
from tidewatt_router.config import Config, Envoy, Haproxy, Nginx, Router
from tidewatt_router.proxies import CannotApply, Proxy
from tidewatt_router.proxies.envoy import EnvoyFiles
from tidewatt_router.proxies.haproxy import HaproxySocket
from tidewatt_router.proxies.nginx import NginxInclude
from tidewatt_router.routes import Backend, Route
from tidewatt_router.splits import Split, Wanted

Setup = tuple[Proxy, Child]
NAMES = ("a", "b", "c", "d")
REQUESTS = 10_000


def want(shed: int = 0, epoch: int = 1, **parts: int) -> Wanted:
    return Wanted(epoch, (Split("r", {name: parts.get(name, 0) for name in NAMES}, shed),))


def config_for(behind: Backends, *, pools: bool = False) -> Config:
    made = [
        Backend(name=name, address=f"127.0.0.1:{behind.ports[name]}", server=f"s-{name}") for name in NAMES
    ]
    return Config(router=Router(command_s=10), backend=made, route=[Route(name="r", pools=pools)])


def nginx_of(folder: Path, behind: Backends) -> Setup:
    include = folder / "upstreams.conf"
    child, command = nginx_child(folder, include, "proxy_pass http://r;")
    nginx = Nginx(
        include=str(include),
        test=[*command, "-t"],
        reload=[*command, "-s", "reload"],
        directives=["keepalive 32;"],
    )
    return NginxInclude(config_for(behind), nginx), child


def nginx_pools_of(folder: Path, behind: Backends) -> Setup:
    include, pools = folder / "split.conf", folder / "pools.conf"
    pools.write_text(
        "".join(
            f"upstream s-{name} {{ server 127.0.0.1:{port}; keepalive 8; }}\n"
            for name, port in behind.ports.items()
        )
    )
    child, command = nginx_child(folder, include, "proxy_pass http://$tidewatt_r;")
    main = folder / "nginx.conf"
    main.write_text(main.read_text().replace("http {", f"http {{ include {pools};"))
    nginx = Nginx(include=str(include), test=[*command, "-t"], reload=[*command, "-s", "reload"])
    return NginxInclude(config_for(behind, pools=True), nginx), child


def haproxy_of(folder: Path, behind: Backends) -> Setup:
    child, runtime = haproxy_child(folder, behind.ports)
    return HaproxySocket(config_for(behind), Haproxy(socket=str(runtime))), child


def envoy_of(folder: Path, behind: Backends) -> Setup:
    files = folder / "eds"
    files.mkdir()
    return EnvoyFiles(config_for(behind), Envoy(folder=str(files))), envoy_child(folder, files, os.getpid())


ALL = {"nginx": nginx_of, "nginx-pools": nginx_pools_of, "haproxy": haproxy_of, "envoy": envoy_of}
EACH = pytest.mark.parametrize("made_by", ALL.values(), ids=ALL.keys())
MakeProxy = Callable[[Path, Backends], Setup]


def write_first(proxy: Proxy, wanted: Wanted) -> None:
    """What nginx and Envoy find at their start; HAProxy has nothing to find."""
    if isinstance(proxy, EnvoyFiles):
        proxy.apply(wanted)
    elif isinstance(proxy, NginxInclude):
        Path(proxy._nginx.include).write_text(proxy.render(wanted))


async def settle(client: Client, wanted: Mapping[str, int]) -> None:
    """Return when nobody who should get nothing gets anything any more, for half a second.

    Envoy takes a moment to see a file, and nginx's old worker goes on accepting for one.
    """
    deadline, good = time.monotonic() + 20, 0
    while good < 10:
        answers = await client.send(40)
        good = good + 1 if set(answers) <= {name for name in NAMES if wanted.get(name)} else 0
        assert time.monotonic() < deadline, answers
        await asyncio.sleep(0.05)


@EACH
async def test_shares_are_as_published(made_by: MakeProxy, tmp_path: Path) -> None:
    async with backends(*NAMES) as behind:
        proxy, child = made_by(tmp_path, behind)
        write_first(proxy, want(d=1))
        with running(child):
            client = Client(child.port)
            for parts in ({"a": 5000, "b": 3333, "c": 1667}, {"b": 3, "d": 97}):
                await asyncio.to_thread(proxy.apply, want(**parts))
                assert proxy.stands(want(**parts))
                await settle(client, parts)
                answers = await client.send(REQUESTS)
                shares = proxy.achieved(want(**parts).splits[0]).shares
                whole = sum(parts.values())
                assert all(abs(shares[name] - part / whole) < 1 / 256 for name, part in parts.items())
                assert_follows(answers, shares)


@pytest.mark.parametrize("made_by", [nginx_of, haproxy_of], ids=["nginx", "haproxy"])
async def test_what_is_too_much_for_a_backend_goes_to_the_others(made_by: MakeProxy, tmp_path: Path) -> None:
    """One that answers nothing keeps as many requests as it may have; the rest doesn't wait for it."""
    async with backends(*NAMES) as behind:
        proxy, child = made_by(tmp_path, behind)
        split = Split("r", {"a": 3, "b": 1, "c": 0, "d": 0}, most={"a": 2})
        write_first(proxy, Wanted(1, (split,)))
        with running(child):
            if proxy.name == "haproxy":  # after a reload nginx's old worker counts for itself until it ends
                await asyncio.to_thread(proxy.apply, Wanted(1, (split,)))
            behind.held["a"] = asyncio.Event()
            client = Client(child.port)
            sending = asyncio.ensure_future(client.send(1000, lines=16))
            while behind.served["b"] < 998:
                assert not sending.done()
                await asyncio.sleep(0.01)
            assert (behind.busy["a"], behind.busiest["a"]) == (2, 2)
            behind.held["a"].set()
            await sending
            assert client.answers == {"a": 2, "b": 998}


async def send_until(stopped: asyncio.Event, client: Client) -> None:
    """Send until that, a thousand more, and ten thousand at least."""
    while not stopped.is_set() or client.answers.total() < REQUESTS - 1000:
        await client.send(500)
    await client.send(1000)


@EACH
async def test_a_drained_backend_loses_no_request(made_by: MakeProxy, tmp_path: Path) -> None:
    """Weight to nothing, then wait until it is idle, then stop it: 0 of 10,000 are lost."""
    async with backends(*NAMES) as behind:
        proxy, child = made_by(tmp_path, behind)
        write_first(proxy, want(a=1, b=1))
        with running(child):
            await asyncio.to_thread(proxy.apply, want(a=1, b=1))
            client, stopped = Client(child.port), asyncio.Event()
            sending = asyncio.ensure_future(send_until(stopped, client))
            while behind.served["b"] < REQUESTS // 8:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(proxy.apply, want(a=1, b=0))
            quiet_since, seen = time.monotonic(), behind.served["b"]
            while time.monotonic() - quiet_since < 0.3:
                await asyncio.sleep(0.02)
                if behind.served["b"] != seen or behind.busy["b"]:
                    quiet_since, seen = time.monotonic(), behind.served["b"]
            assert not sending.done()
            await behind.stop("b")
            stopped.set()
            await sending
    assert client.answers.keys() == {"a", "b"}
    assert client.answers.total() >= REQUESTS


@EACH
async def test_a_proxy_that_was_restarted_does_as_it_was_told(made_by: MakeProxy, tmp_path: Path) -> None:
    async with backends(*NAMES) as behind:
        proxy, child = made_by(tmp_path, behind)
        write_first(proxy, want(d=1))
        with running(child):
            applier = Applier(proxy, time.monotonic, verify_s=0.0)
            applier.want(want(a=3, b=1))
            await applier.step()
            assert applier.in_step
            child.restart()
            await applier.step()
            assert (applier.in_step, applier.failures) == (True, 0)
            client = Client(child.port)
            await settle(client, {"a": 3, "b": 1})
            assert_follows(await client.send(1000), {"a": 0.75, "b": 0.25})
            assert applier.restored == (proxy.name == "haproxy")  # the others find it in their files


async def test_a_proxy_that_is_away_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with backends(*NAMES) as behind:
        proxy, child = haproxy_of(tmp_path, behind)
        applier = Applier(proxy, time.monotonic, verify_s=5.0)
        applier.want(want(a=1))
        assert [await applier.step() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
        assert "h.sock: No such file" in applier.why
        assert applier.failures == 9
        assert len(caplog.records) == 1
        with running(child):
            assert await applier.step() == 5.0
            assert applier.in_step
            assert not applier.why


async def test_nginx_gets_its_last_good_file_back(tmp_path: Path) -> None:
    async with backends(*NAMES) as behind:
        proxy, child = nginx_of(tmp_path, behind)
        assert isinstance(proxy, NginxInclude)
        write_first(proxy, want(a=1))
        good = proxy.render(want(a=1))
        with running(child):
            bad = NginxInclude(
                config_for(behind),
                Nginx(
                    include=proxy._nginx.include,
                    test=proxy._nginx.test,
                    reload=proxy._nginx.reload,
                    directives=["nonsense;"],
                ),
            )
            with pytest.raises(CannotApply, match=r'-t failed: .*unknown directive "nonsense"'):
                bad.apply(want(b=1))
            assert Path(proxy._nginx.include).read_text() == good
            child.restart()
            assert set(await Client(child.port).send(100)) == {"a"}
            Path(proxy._nginx.include).unlink()
            with pytest.raises(CannotApply):
                bad.apply(want(b=1))
            assert not Path(proxy._nginx.include).exists()


async def test_everything_shed_is_refused_and_a_part_by_envoy(tmp_path: Path) -> None:
    async with backends(*NAMES) as behind:
        for name, status in (("nginx", "502"), ("nginx-pools", "502"), ("haproxy", "503"), ("envoy", "503")):
            folder = tmp_path / name
            folder.mkdir()
            proxy, child = ALL[name](folder, behind)
            write_first(proxy, want(shed=1))
            with running(child):
                await asyncio.to_thread(proxy.apply, want(shed=1))
                assert proxy.achieved(want(shed=1).splits[0]).shed == 1.0
                assert set(await Client(child.port).send(50)) == {status}
                if name == "envoy":
                    part = want(shed=1, a=3)
                    assert proxy.achieved(part.splits[0]).shed == 0.25
                    await asyncio.to_thread(proxy.apply, part)
                    client = Client(child.port)
                    deadline = time.monotonic() + 20
                    while "a" not in await client.send(20):
                        assert time.monotonic() < deadline
                    assert_follows(await client.send(4000), {"a": 0.75, "503": 0.25})


def test_haproxy_says_what_it_does_not_take(tmp_path: Path) -> None:
    child, runtime = haproxy_child(tmp_path, {"a": 1, "b": 2})
    made = [Backend(name=name, server=f"s-{name}") for name in ("a", "b", "zz")]
    main = tmp_path / "haproxy.cfg"
    main.write_text(main.read_text().replace("balance roundrobin", "balance source"))
    with running(child):
        socket = Haproxy(socket=str(runtime))
        proxy = HaproxySocket(Config(backend=made, route=[Route(name="r")]), socket)
        proxy.check()
        with pytest.raises(CannotApply, match="No such server"):
            proxy.apply(Wanted(1, (Split("r", {"zz": 0}),)))
        with pytest.raises(CannotApply, match="(?i)weight"):
            proxy.apply(Wanted(1, (Split("r", {"a": 3, "b": 1}),)))
        other = HaproxySocket(Config(backend=made, route=[Route(name="other")]), socket)
        with pytest.raises(CannotApply, match="backend other: Can't find backend"):
            other.check()
