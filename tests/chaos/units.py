"""What systemd is elsewhere: it keeps processes up, and knows which of them ended without being killed."""

import re
import time
from collections.abc import Callable
from typing import Protocol

#: Real seconds before what ended is started again.
RESTART_S = 1.0
#: That a clean stop may take on a busy machine.
GOODBYE_S = 120.0


#: How a traceback ends.
ERROR = re.compile(r"^[\w.]+(Error|Exception|Lost|Changed|Interrupt|Timeout)\b.*:|^AssertionError")


class Running(Protocol):
    """A process."""

    pid: int

    def signal(self, number: int) -> None: ...

    def kill(self) -> None: ...

    def end(self, longest_s: float) -> int: ...

    @property
    def running(self) -> bool: ...

    def text(self) -> str: ...


class Unit:
    """One process that is to run, whenever nobody holds it down."""

    def __init__(self, name: str, begin: Callable[[], Running]) -> None:
        self.name, self._begin = name, begin
        self.process: Running | None = None
        self.held = False
        """Whether it is to stay away for now."""
        self.ended = 0
        """How often it ended by itself."""
        self.started = 0
        self.last_words = ""
        self._ended_s = -RESTART_S

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.running

    def start(self) -> None:
        self.process = self._begin()
        self.started += 1

    def kill(self) -> None:
        """As a power cut does, and hold it down."""
        self.held = True
        if self.process:
            self.process.kill()

    def stop(self) -> None:
        """As systemd does, and hold it down."""
        self.held = True
        if self.process and self.process.running and (status := self.process.end(GOODBYE_S)):
            raise AssertionError(f"{self.name} ended with status {status}: {self.process.text()[-2000:]}")

    def signal(self, number: int) -> None:
        if self.process and self.process.running:
            self.process.signal(number)

    def tend(self) -> None:
        """Start it again if it is to run and doesn't."""
        if self.held or self.running:
            return
        now_s = time.monotonic()
        if self.process is not None and self._ended_s < 0:
            self._ended_s = now_s
            self.ended += 1
            self.last_words = next(
                (line for line in reversed(self.process.text().splitlines()) if line.strip()), ""
            )
        if self.process is None or now_s - self._ended_s >= RESTART_S:
            self._ended_s = -RESTART_S
            self.start()

    def tracebacks(self) -> list[str]:
        """The last lines of all tracebacks in its log."""
        lines = self.process.text().splitlines() if self.process else []
        return [line for line in lines if ERROR.match(line)]

    def release(self) -> None:
        """Let it run again, at once."""
        self.held = False
        if not self.running:
            self._ended_s = -RESTART_S
            self.start()
