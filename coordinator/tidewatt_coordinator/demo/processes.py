"""The demo's child processes: one machine room, and one real agent per device."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidewatt_coordinator.kin import environment
from tidewatt_link.ending import within
from tidewatt_wire.clock import Timebase
from tidewatt_wire.documents import to_toml

READY_S = 20.0
GOODBYE_S = 8.0


class ChildEndedError(RuntimeError):
    """A process of the demo ended that should not have; the sentence names it and its last words."""


class BoardDoors(msgspec.Struct, frozen=True):
    """Where the machine room lets an agent in to one of its boards."""

    tegrastats: list[str]
    actuator_socket: str
    metrics_url: str


class Child:
    """One process; its standard error goes to a log file that is quoted if it dies."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name, self._process, self._log = name, process, log

    @classmethod
    async def start(cls, name: str, arguments: Sequence[str], folder: Path) -> "Child":
        """Start `tidewatt-agent ARGUMENTS` of this Python."""
        log = folder / f"{name}.log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tidewatt_agent",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment(),
                # Ctrl-C in the terminal is ours to pass on, in order.
                start_new_session=True,
            )
        return cls(name, process, log)

    async def ready_line(self) -> bytes:
        """The first line it prints; ChildEndedError if it ends instead."""
        assert self._process.stdout is not None  # noqa: S101 - asked for a pipe above
        try:
            line = await within(self._process.stdout.readline(), READY_S)
        except asyncio.TimeoutError as error:
            raise ChildEndedError(f"{self.name} was not ready within {READY_S:.0f} s") from error
        if not line:
            await self._process.wait()
            self.check()
        return line

    def check(self) -> None:
        """Raise ChildEndedError if it has ended."""
        status = self._process.returncode
        if status is None:
            return
        if status < 0:
            raise ChildEndedError(f"{self.name} was killed by signal {-status}")
        raise ChildEndedError(f"{self.name} ended with status {status}: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self._log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"

    def tell_to_stop(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(ProcessLookupError):
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        """Wait until it has ended; kill it if it doesn't."""
        try:
            await within(self._process.wait(), GOODBYE_S)
        except asyncio.TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


async def stop(children: Sequence[Child]) -> None:
    """Stop the children together and wait for all of them."""
    for child in children:
        child.tell_to_stop()
    await asyncio.gather(*(child.ended() for child in children))


def write_toml(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a configuration file for a child."""
    path.write_text(to_toml(document), "utf-8")
    return path


def room_config(
    fleet: str,
    devices: Sequence[str],
    folder: Path,
    timebase: Timebase,
    broker: str,
    policy_key: str,
    *,
    trace: str,
    repeat: bool,
    seed: int,
) -> dict[str, Any]:
    """The machine room's configuration file."""
    return {
        "fleet": fleet,
        "devices": list(devices),
        "folder": str(folder),
        "broker": broker,
        "policy_keys": [policy_key],
        "trace": trace,
        "repeat": repeat,
        "seed": seed,
        "clock": msgspec.to_builtins(timebase),
    }


def agent_config(
    fleet: str, device: str, board: BoardDoors, timebase: Timebase, broker: str, policy_key: str, state: Path
) -> dict[str, Any]:
    """One agent's configuration file; it keeps its counters in the folder `state`."""
    return {
        "agent": {"fleet": fleet, "device": device, "control": "enforce"},
        "labels": {"site": "demo"},
        "board": {"profile": "orin-nano-super", "actuator_socket": board.actuator_socket},
        "reader": {"kind": "tegrastats"},
        "tegrastats": {"command": board.tegrastats},
        "load": [{"url": board.metrics_url, "labels": {"cluster": "jetson"}}],
        "link": {"broker": broker, "policy_keys": [policy_key], "spread_s": 0.5},
        "metrics": {"listen": ""},
        "state": {"folder": str(state)},
        "clock": msgspec.to_builtins(timebase),
    }
