"""A stand-in board's sleep: its clock with an alarm, and a suspend that takes virtual time.

It fails on command, by words in ROOT/standin/failures:
`alarm-busy` (the alarm is refused, EBUSY), `alarm-lost` (it is taken and forgotten), `no-sleep` ("Sleep verb
not supported"), `never-wakes`, `wakes-late` (LATE_S after its alarm), `clock-jump` (the clock is JUMP_S
ahead afterwards), `gpu-dead` (after a sleep the application is not there until a boot), `no-network` (after
a sleep nothing gets through its uplink, while the word stands).
"""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

from tidewatt_agent.actuator.nap import ALARM, KIND, SINCE_EPOCH, STATES, WAKEUP
from tidewatt_agent.standin.nvpmodel import failures
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_wire.clock import Clock

LATE_S = 300.0
JUMP_S = 3600
#: What it takes to fall asleep, and to be awake again, in virtual seconds.
SUSPEND_S, RESUME_S = 3.0, 5.0
#: Real seconds between two looks of one who waits.
LOOK_S = 0.01


class Slumber:
    """One board's clock, alarm and suspend. The suspend blocks its caller, as the board stands still."""

    def __init__(
        self, root: Path, clock: Clock, on_sleep: Callable[[bool], None] = lambda _asleep: None
    ) -> None:
        """`on_sleep` is called, in the caller's thread, with True when the board falls asleep, then False."""
        self._root, self._clock, self._on_sleep = root, clock, on_sleep
        self._ended = threading.Event()
        self._slept_s = 0.0
        self._jumped_s = 0
        self._slept = False
        self.alarm_s: int | None = None
        self.asleep = False
        for path, text in ((STATES, "freeze mem"), (KIND, "s2idle [deep]"), (WAKEUP, "enabled"), (ALARM, "")):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(f"{text}\n", "utf-8")
        self.tree = RtcTree(str(root), self)

    @property
    def silent(self) -> bool:
        """Whether its application doesn't answer: asleep, or gone since."""
        return self.asleep or (self._slept and "gpu-dead" in self.failing)

    @property
    def cut_off(self) -> bool:
        """Whether its network is not there: asleep, or it did not come back."""
        return self.asleep or (self._slept and "no-network" in self.failing)

    @property
    def failing(self) -> set[str]:
        """The failures on command."""
        return failures(self._root)

    def rtc_s(self) -> int:
        """The clock that the alarm goes by, in Unix seconds."""
        return self._clock.now_ms() // 1000 + self._jumped_s

    def awake_s(self) -> float:
        """A clock that stands still while it sleeps."""
        return self._clock.monotonic_s() - self._slept_s

    def wait(self, seconds: float) -> None:
        """Let virtual time pass, and never less than a moment."""
        self._ended.wait(max(0.001, self._clock.real_seconds(seconds)))

    def end(self) -> None:
        """Let go of who waits: the room closes."""
        self._ended.set()

    def suspend(self) -> None:
        """What `systemctl suspend` does on this board; returns when it is awake again."""
        if "no-sleep" in self.failing:
            raise OSError("Call to Suspend failed: Sleep verb not supported")
        self.wait(SUSPEND_S)
        began_s = self._clock.monotonic_s()
        self.asleep = True
        self._on_sleep(True)
        while not self._ended.is_set() and not self._wakes():
            self._ended.wait(LOOK_S)
        if self._ended.is_set():
            raise OSError("the room closes")
        self.alarm_s = None
        self._slept_s += self._clock.monotonic_s() - began_s
        self._jumped_s += JUMP_S if "clock-jump" in self.failing else 0
        self.asleep, self._slept = False, True
        self._on_sleep(False)
        self.wait(RESUME_S)

    def _wakes(self) -> bool:
        if self.alarm_s is None or "never-wakes" in self.failing:
            return False
        return self.rtc_s() >= self.alarm_s + (LATE_S if "wakes-late" in self.failing else 0.0)


class RtcTree(Tree):
    """The board's files, with the clock's nodes as the kernel has them."""

    def __init__(self, root: str, board: Slumber) -> None:
        super().__init__(root)
        self._board = board

    def number(self, path: str) -> int | None:
        """See Tree."""
        if path == SINCE_EPOCH:
            return self._board.rtc_s()
        return self._board.alarm_s if path == ALARM else super().number(path)

    def write(self, path: str, value: int | str) -> None:
        """See Tree: an alarm that is set is busy until it is cleared, and none lies in the past."""
        if path != ALARM:
            super().write(path, value)
        elif isinstance(value, str):
            self._board.alarm_s = (self._board.alarm_s or self._board.rtc_s()) + int(value.removeprefix("+="))
        elif value == 0:
            self._board.alarm_s = None
        elif self._board.alarm_s is not None or "alarm-busy" in self._board.failing:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        elif value <= self._board.rtc_s():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        elif "alarm-lost" not in self._board.failing:
            self._board.alarm_s = value
