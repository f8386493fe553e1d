"""What the tests share: a real broker, a clock in our hands, and the rule on skips."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tidewatt_governor.boards import BoardProfile, load_profile
from tidewatt_wire.clock import Clock, Timebase

#: Debian keeps daemons where an ordinary user's PATH does not look.
SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # the hook's result, passed on
    """In CI a skipped test is a failed one: what isn't run isn't known."""
    report: pytest.TestReport = yield  # type: ignore[misc,assignment]
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, which counts as failed: {report.longrepr}"
    return report  # type: ignore[return-value]


class Mosquitto:
    """A real broker on a free port, that can be killed and started again on the same one."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.address = ("127.0.0.1", self.port)
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n"
        )
        self._process = subprocess.Popen([self._program, "-c", str(config)])
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(self.address, timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, "mosquitto did not come up"
                assert self._process.poll() is None, "mosquitto ended at once"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    program = shutil.which("mosquitto", path=SEARCH_PATH)
    if program is None:
        pytest.skip("needs a real broker: sudo apt install --no-install-recommends mosquitto")
    broker = Mosquitto(program, tmp_path)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


class HandClock(Clock):
    """A clock that only the test moves; what waits in real time waits hardly at all."""

    def __init__(self, start_ms: int) -> None:
        self.real_s = 0.0
        super().__init__(lambda: self.real_s, lambda: 0.0, Timebase(start_ms, 0.0))
        self.speed = 1e6

    def move(self, seconds: float) -> None:
        self.real_s += seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock(1_700_000_000_000)


@pytest.fixture(scope="session")
def profile() -> BoardProfile:
    return load_profile("orin-nano-super")
