"""Leases: asked for over a socket, expiring, capped by the policy, and kept by the decision."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.world import HandClock, until

from tidewatt_agent.hold import seconds
from tidewatt_agent.leases import Hold, LeaseRefusedError, Leases
from tidewatt_governor.boards import load_profile
from tidewatt_governor.decide import GovernorState, decide
from tidewatt_governor.leases import Lease
from tidewatt_governor.points import usable_rps
from tidewatt_governor.policy import allowed
from tidewatt_governor.sample import Load
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import Policy

BOARD = load_profile("orin-nano-super")
NAMES = [point.name for point in BOARD.points]


class Talk:
    """A program that speaks to the agent."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> "Talk":  # noqa: PYI034 - Self is of Python 3.11
        self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, **request: Any) -> dict[str, Any]:
        return await self.raw(json.dumps(request).encode())

    async def raw(self, line: bytes) -> dict[str, Any]:
        self._writer.write(line + b"\n")
        answer: dict[str, Any] = json.loads(await self._reader.readline())
        return answer


@pytest_asyncio.fixture
async def served(tmp_path: Path, clock: HandClock) -> AsyncIterator[tuple[Leases, Path]]:
    leases = Leases(NAMES, clock)
    server = await leases.serve(str(tmp_path / "agent.sock"))
    yield leases, tmp_path / "agent.sock"
    server.close()


async def test_held_listed_released_and_expired(served: tuple[Leases, Path], clock: HandClock) -> None:
    leases, path = served
    async with Talk(path) as talk:
        assert await talk.ask(op="hold", min_mode="25W", for_s=60, reason="batch") == {
            "id": "1",
            "for_s": 60.0,
        }
        await talk.ask(op="hold", min_mode="15W")
        clock.move(50.0)
        (first, second) = (await talk.ask(op="leases"))["leases"]
        assert first == {"id": "1", "min_mode": "25W", "for_s": 10.0, "reason": "batch"}
        assert (second["id"], second["for_s"]) == ("2", 550.0)
        clock.move(10.0)
        assert [lease.id for lease in leases.active()] == ["2"], "it expired"
        assert await talk.ask(op="release", id="2") == {}
        assert await talk.ask(op="release", id="2") == {"error": "there is no lease '2'"}
    assert leases.active() == []


async def test_one_that_lasts_while_connected(served: tuple[Leases, Path]) -> None:
    leases, path = served
    async with Talk(path) as talk:
        await talk.ask(op="hold", min_mode="25W", while_connected=True)
        assert len(leases.active()) == 1
    while leases.active():
        await asyncio.sleep(0.001)


async def test_what_is_refused(served: tuple[Leases, Path]) -> None:
    leases, path = served
    async with Talk(path) as talk:
        answer = await talk.ask(op="hold", min_mode="40W")
        assert answer == {"error": "no mode '40W' can be held; there are 15W, 25W, MAXN_SUPER, 7W"}
        for line in (b"", b"garbage", b"[]", b'{"op": "reboot"}', b'{"op": "hold"}', b"\xff", b"[" * 900):
            assert "error" in await talk.raw(line)
        leases.policy = Policy(max_lease_s=30.0)
        assert (await talk.ask(op="hold", min_mode="25W", for_s=600))["for_s"] == 30.0
        leases.policy = Policy(max_lease_s=0.0)
        assert "allows no leases" in (await talk.ask(op="hold", min_mode="25W"))["error"]
        leases.policy = Policy()
        assert leases.active() == [], "and what was given before ends, too"
        for _ in range(100):
            await talk.ask(op="hold", min_mode="15W")
        assert "100 leases already" in (await talk.ask(op="hold", min_mode="15W"))["error"]


async def test_a_policy_caps_what_was_given_before_it(served: tuple[Leases, Path], clock: HandClock) -> None:
    leases, path = served
    async with Talk(path) as talk:
        assert (await talk.ask(op="hold", min_mode="25W", for_s=80_000))["for_s"] == 80_000
        clock.move(100.0)
        leases.policy = Policy(max_lease_s=150.0)
        assert (await talk.ask(op="leases"))["leases"][0]["for_s"] == 50.0
        clock.move(50.0)
        assert leases.active() == []


def test_nobody_gives_back_what_another_holds(clock: HandClock) -> None:
    leases = Leases(NAMES, clock)
    lease = leases.hold(Hold(min_mode="25W"), user=1000)
    with pytest.raises(LeaseRefusedError, match="another user's"):
        leases.release(lease.id, user=1001)
    leases.release(lease.id, user=1000)
    leases.release(leases.hold(Hold(min_mode="25W"), user=1000).id, user=0)
    assert leases.active() == []


async def test_one_user_cannot_take_every_connection(served: tuple[Leases, Path]) -> None:
    _, path = served
    talks = [Talk(path) for _ in range(17)]
    async with contextlib.AsyncExitStack() as stack:
        for talk in talks:
            await stack.enter_async_context(talk)
        for talk in talks[:16]:
            assert "leases" in await talk.ask(op="leases")
        assert json.loads(await talks[16]._reader.readline()) == {"error": "too many connections"}
    async with Talk(path) as talk:
        assert "leases" in await talk.ask(op="leases"), "and it is free again"


async def test_a_command_holds_its_floor_through_a_restart_of_the_agent(
    served: tuple[Leases, Path], tmp_path: Path, clock: HandClock
) -> None:
    leases, path = served
    leases.policy = Policy(max_lease_s=0.5)
    config, stop = tmp_path / "agent.toml", tmp_path / "stop"
    config.write_text(to_toml({"agent": {"device": "d"}, "lease": {"socket": str(path)}}))
    waiting = (
        f"import os, time\nwhile not os.path.exists({str(stop)!r}): time.sleep(0.01)\nos.kill(os.getpid(), 9)"
    )
    program = [sys.executable, "-m", "tidewatt_agent", "hold", "--config", str(config), "--min-mode", "25W"]
    child = await asyncio.create_subprocess_exec(*program, "--", sys.executable, "-c", waiting)
    await until(leases.active)
    path.unlink()
    after = Leases(NAMES, clock)
    server = await after.serve(str(path))
    await until(after.active)
    assert after.active()[0].reason.startswith("while ")
    stop.touch()
    assert await child.wait() == 128 + 9, "as a shell says it"
    await until(lambda: not after.active())
    server.close()


policies = st.builds(
    Policy,
    mode=st.none() | st.sampled_from(NAMES),
    allowed_points=st.none() | st.lists(st.sampled_from(NAMES), max_size=3),
    max_watts=st.none() | st.floats(5, 30),
    min_dwell_s=st.just(0.0),
)


@given(policies, st.lists(st.sampled_from([*NAMES, "40W"]), max_size=3), st.integers(0, 30_000))
@settings(max_examples=300)
def test_the_decision_keeps_them_as_far_as_the_policy_allows(
    policy: Policy, floors: list[str], requests: int
) -> None:
    leases = [Lease(id=str(n), point=name, until_s=1e9, reason="x") for n, name in enumerate(floors)]
    state = GovernorState(point="7W", since_s=-1e9)
    load = Load(requests=requests, interval_s=60.0)
    _, decision = decide(state, load, policy, BOARD.points, BOARD.vendor_default, 0.0, leases)
    left = allowed(BOARD.points, policy)
    assert decision.point in [point.name for point in left]

    def capacity(name: str) -> float:
        return usable_rps(BOARD.point(name), policy.slo_p95_ms)

    wanted = max([capacity(name) for name in floors if name in NAMES], default=0.0)
    best = max(capacity(point.name) for point in left)
    assert capacity(decision.point) >= min(wanted, best)


def test_the_reason_names_the_lease() -> None:
    lease = Lease(id="1", point="25W", until_s=1e9, reason="batch")
    state = GovernorState(point="25W", since_s=-1e9)
    _, decision = decide(
        state, Load(requests=60, interval_s=60.0), Policy(), BOARD.points, "25W", 0.0, [lease]
    )
    assert decision.point == "25W"
    assert decision.reason.endswith("; 'batch' holds 25W or more")


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1.5d", 129_600)]
)
def test_times(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "soon", "-5m", "0", "10y", "1e9d", "nan"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time|between a second and a year"):
        seconds(text)


async def test_the_command(served: tuple[Leases, Path], tmp_path: Path) -> None:
    leases, path = served
    config = tmp_path / "agent.toml"
    config.write_text(to_toml({"agent": {"device": "d"}, "lease": {"socket": str(path)}}))

    async def command(*arguments: str) -> tuple[int, str, str]:
        name, *rest = arguments
        program = [sys.executable, "-m", "tidewatt_agent", name, "--config", str(config), *rest]
        done = await asyncio.to_thread(subprocess.run, program, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert await command("hold", "--min-mode", "25W", "--for", "2h", "--reason", "batch") == (
        0,
        "lease 1: 25W or more for 7200 s\n",
        "",
    )
    code, out, _ = await command("leases")
    assert (code, out.split()) == (0, ["1", "25W", "7200", "s", "batch"])
    assert (await command("release", "1"))[0] == 0
    script = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({str(path)!r}); "
        's.sendall(b\'{"op": "leases"}\\n\'); print(s.makefile().readline()); raise SystemExit(7)'
    )
    code, out, _ = await command("hold", "--min-mode", "15W", "--", sys.executable, "-c", script)
    assert code == 7, "the command's own exit code"
    assert json.loads(out)["leases"][0]["min_mode"] == "15W", "held while it ran"
    while leases.active():
        await asyncio.sleep(0.001)
    code, _, err = await command("hold", "--min-mode", "99W")
    assert (code, err) == (
        2,
        "tidewatt-agent: no mode '99W' can be held; there are 15W, 25W, MAXN_SUPER, 7W\n",
    )
    config.write_text(to_toml({"agent": {"device": "d"}}))
    code, _, err = await command("leases")
    assert (code, "names no lease.socket" in err) == (2, True)
