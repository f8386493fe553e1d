"""The edge of the tests' world: a real broker that can be killed, a clock in our hands, and waiting."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from tests.ports import free_port

from tidewatt_agent.recording import Recording, lay_out, load
from tidewatt_link.ending import within
from tidewatt_wire.clock import Clock, Timebase

RECORDINGS = Path(__file__).parent / "boards"
#: The recorded boards, by folder.
BOARDS = sorted(folder.name for folder in RECORDINGS.iterdir() if folder.is_dir())


def recording(board: str) -> Recording:
    """A recorded board."""
    return load(RECORDINGS / board)


@contextlib.contextmanager
def laid_out(board: str, root: Path) -> Iterator[Recording]:
    """A recorded board below `root`, with the nodes that say EAGAIN held so that they do."""
    found = recording(board)
    lay_out(found.tree, root)
    held = [
        os.open(root / path, os.O_RDWR | os.O_NONBLOCK)
        for path, name in found.tree.refused.items()
        if name == "EAGAIN"
    ]
    try:
        yield found
    finally:
        for descriptor in held:
            os.close(descriptor)


async def until(true: Callable[[], object]) -> None:
    """Return as soon as `true()`; fail after half a minute. For what real processes do in their own time."""

    async def poll() -> None:
        while not true():
            await asyncio.sleep(0.005)

    await within(poll(), 30)


async def ignore(_payload: bytes) -> None:
    """What a link does with a policy set where none matters."""


class Mosquitto:
    """A real broker on a free port, that can be killed and started again on the same one."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        self.port: int = free_port()
        self.address = ("127.0.0.1", self.port)
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.settings = ""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n"
            + self.settings
        )
        self._process = subprocess.Popen([self._program, "-c", str(config)])
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "mosquitto did not come up"
                assert self._process.poll() is None, "mosquitto ended at once"
                time.sleep(0.01)
            else:
                return

    def process(self) -> psutil.Process:
        """It, for what it takes."""
        assert self._process
        return psutil.Process(self._process.pid)

    def freeze(self) -> None:
        """Have it do nothing, as a machine that is too busy does, until `thaw`."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


class HandClock(Clock):
    """A clock that only the test moves; what waits in real time waits hardly at all."""

    def __init__(self, start_ms: int) -> None:
        self.real_s = 0.0
        super().__init__(lambda: self.real_s, lambda: 0.0, Timebase(start_ms, 0.0))
        self.speed = 1e6

    def begin(self, start_ms: int) -> None:
        """Make the present moment `start_ms`."""
        self._timebase = Timebase(start_ms, self.real_s)

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.real_s += seconds
