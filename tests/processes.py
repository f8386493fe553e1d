"""A process of ours, as a test starts and ends it."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class Process:
    """One process, and what it wrote."""

    def __init__(
        self, name: str, module: str, arguments: list[str], folder: Path, before: Sequence[str] = ()
    ) -> None:
        """`before`: a command that runs it, as `ip netns exec` does."""
        self.name, self.log = name, folder / f"{name}.log"
        command = [*before, sys.executable, "-m", module, *arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        self.pid = self._process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """As a power cut does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As systemd does."""
        assert self.end(20) == 0, self.text()
        assert "Traceback" not in self.text(), self.text()

    def end(self, longest_s: float) -> int:
        """The same; its exit status."""
        self._process.terminate()
        return self._process.wait(longest_s)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def text(self) -> str:
        return self.log.read_text()
