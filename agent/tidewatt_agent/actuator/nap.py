"""Suspend to RAM until an alarm of the board's own clock: never without one that was read back.

    look (may it, can it) -> clear -> arm -> read back -> put on file -> suspend -> wait for the resume

All but the suspend itself is done before it, so whoever dies in between leaves a board that is awake, or
one that wakes by its alarm. An armed alarm is never taken away again: on a board that is awake it goes off
unheard. While a suspend that was asked for may still come, no other alarm is set, as clearing the old one
would be a moment without any; and one that would go off too early is pushed ahead (`watch`), or the board
would fall asleep after its alarm.

The alarm is set by the clock it goes off by (rtc0), so many seconds from its now: whatever the time of
day is thought to be, the nap is as long as was asked. Its seconds that our monotonic clock did not see
are those asleep, as that clock stands still in suspend.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tidewatt_agent.actuator import onfile
from tidewatt_agent.actuator.reboot import BOOT_ID
from tidewatt_agent.actuator.tool import run_command
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_link.durable import FilePath, read_file, replace_file

log = logging.getLogger(__name__)

RTC = "sys/class/rtc/rtc0"
ALARM, SINCE_EPOCH, WAKEUP = f"{RTC}/wakealarm", f"{RTC}/since_epoch", f"{RTC}/device/power/wakeup"
STATES, KIND = "sys/power/state", "sys/power/mem_sleep"
#: Shorter is not worth it, and the alarm might go off before the board sleeps, which would then not wake.
SHORTEST_NAP_S = 60.0
#: An alarm nearer than this is not trusted to lie ahead when the board has fallen asleep. An actuator that
#: died is back within it.
LEAST_AHEAD_S = 40
#: A suspend that did not come within this, awake, is called refused: services may take their time to freeze.
COMES_WITHIN_S = 60.0
#: All the same it may come, and is watched for, for so long.
WATCHED_S = 900.0
#: What an alarm is pushed ahead by, in the kernel's own words: from where it stands, in one go.
PUSH = "+=120"
PUSH_S = 120
#: The clock counts whole seconds, so two looks may differ by one without a nap.
SURE_S = 3.0
LOOK_S = 0.2
TIMEOUT_S = 20.0


class NapRefusedError(ValueError):
    """The board is not let asleep; the sentence says why."""


class Asked(NamedTuple):
    """A suspend that was asked for, on file: the boot, the two clocks at that moment, and the alarm."""

    boot: str
    rtc_s: int
    awake_s: float
    alarm_s: int


FIELDS: onfile.Fields = {
    "boot": onfile.text,
    "rtc_s": onfile.integer,
    "awake_s": onfile.number,
    "alarm_s": onfile.integer,
}


class Slept(NamedTuple):
    """A nap that is over, in seconds."""

    slept_s: float
    late_s: float
    early_s: float
    awake_s: float
    """From asking until it was seen to be awake again, without the sleep: falling asleep and resuming."""


class Naps:
    """The alarm and the suspend. One caller at a time; `nap` returns when the board is awake again."""

    def __init__(
        self,
        tree: Tree,
        path: FilePath,
        suspend: Callable[[], None] | None = None,
        longest_s: float = 1800.0,
        awake_s: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`suspend`: what suspends the board, at once or soon, OSError if it can't; None: nothing may.

        `awake_s`: a clock that stands still while the board sleeps.
        """
        self._tree, self._path, self._suspend = tree, path, suspend
        self._longest_s, self._awake_s, self._wait = longest_s, awake_s, wait

    @property
    def boot(self) -> str:
        """The id of this boot; empty if it can't be read."""
        return self._tree.read(BOOT_ID) or ""

    @property
    def rtc_s(self) -> int | None:
        """The clock that the alarm goes by, in Unix seconds as it believes."""
        return self._tree.number(SINCE_EPOCH)

    def why_not(self) -> str:
        """Why the board can't be let asleep, in a sentence; empty if it can, as far as can be seen."""
        return next(self._obstacles(), "")

    def _obstacles(self) -> Iterator[str]:
        states, kind = self._tree.read(STATES), self._tree.read(KIND)
        if self._suspend is None:
            yield "this actuator may not let the board sleep (start it with --allow-sleep)"
        if not self.boot:
            yield f"/{BOOT_ID} can't be read: a resume could not be told from a boot"
        if states is None or "mem" not in states.split():
            yield f"this kernel can't suspend to RAM: /{STATES} says {states or 'nothing'!r}"
        if kind is not None and "[deep]" not in kind:
            yield f"the kernel would only idle: /{KIND} says {kind!r}, not [deep]"
        if self.rtc_s is None or not self._tree.exists(ALARM):
            yield f"there is no alarm to wake by: /{RTC} has no since_epoch or no wakealarm"
        if self._tree.read(WAKEUP) == "disabled":
            yield f"the clock may not wake the board: /{WAKEUP} says disabled"
        if self._pending():
            yield "a suspend that was asked for may still come"

    def nap(self, for_s: float) -> Slept:
        """Let the board sleep for so long. NapRefusedError says why it does not."""
        if not SHORTEST_NAP_S <= for_s <= self._longest_s:
            raise NapRefusedError(
                f"a nap of {for_s:.0f} s; it has {SHORTEST_NAP_S:.0f} to {self._longest_s:.0f} s here"
            )
        if why := self.why_not():
            raise NapRefusedError(why)
        assert self._suspend  # noqa: S101 - why_not has looked
        asked = self._arm(round(for_s))
        replace_file(self._path, onfile.write(asked._asdict()))
        if not asked.rtc_s <= self._now() <= asked.alarm_s - LEAST_AHEAD_S:
            raise NapRefusedError("the clock jumped while the alarm was set: it may not lie ahead")
        try:
            self._suspend()
        except OSError as error:
            raise NapRefusedError(f"the suspend can't be asked for: {error}") from error
        return self._resumed(asked)

    def _arm(self, for_s: int) -> Asked:
        try:
            self._tree.write(ALARM, 0)  # else the kernel says EBUSY
            rtc_s = self._now()
            self._tree.write(ALARM, rtc_s + for_s)
        except OSError as error:
            raise NapRefusedError(f"no alarm, no sleep: /{ALARM}: {error.strerror or error}") from error
        read = self._tree.number(ALARM)
        if read != rtc_s + for_s:
            raise NapRefusedError(f"no alarm, no sleep: /{ALARM} was set to {rtc_s + for_s} and says {read}")
        return Asked(self.boot, rtc_s, self._awake_s(), read)

    def _now(self) -> int:
        now_s = self.rtc_s
        if now_s is None:
            raise NapRefusedError(f"/{SINCE_EPOCH} can't be read")
        return now_s

    def _resumed(self, asked: Asked) -> Slept:
        """How the nap went, as soon as the board is awake; else, after a while, that there was none."""
        while self._pending() and self._awake_s() - asked.awake_s < COMES_WITHIN_S:
            self.watch()
            self._wait(LOOK_S)
        slept_s = self._slept_s(asked)
        if slept_s < SURE_S:
            raise NapRefusedError(f"the suspend did not come within {COMES_WITHIN_S:.0f} s")
        late_s = float(self._now() - asked.alarm_s)
        awake_s = self._awake_s() - asked.awake_s
        return Slept(slept_s, max(0.0, late_s), max(0.0, -late_s), max(0.0, awake_s))

    def watch(self) -> None:
        """Keep the alarm ahead of a suspend that may still come: to be called often. Raises OSError."""
        rtc_s = self.rtc_s
        if rtc_s is None or not self._pending():
            return
        alarm_s = self._tree.number(ALARM)
        if alarm_s is None or alarm_s <= rtc_s:
            self._tree.write(ALARM, rtc_s + PUSH_S)
        elif alarm_s - rtc_s < LEAST_AHEAD_S:
            self._tree.write(ALARM, PUSH)

    def _slept_s(self, asked: Asked) -> float:
        return (self._now() - asked.rtc_s) - (self._awake_s() - asked.awake_s)

    def _pending(self) -> bool:
        """Whether a suspend that was asked for, by this or an earlier life of ours, may still come."""
        try:
            asked = Asked(**onfile.read(read_file(self._path), FIELDS, needed=tuple(FIELDS)))
        except (OSError, ValueError):
            return False
        awake_s = self._awake_s() - asked.awake_s
        if asked.boot != self.boot or not 0.0 <= awake_s < WATCHED_S:
            return False
        return self._slept_s(asked) < SURE_S


def suspending(command: Sequence[str]) -> Callable[[], None]:
    """What runs the command that suspends the machine; OSError with its last word if it fails."""

    def suspend() -> None:
        run_command(command, TIMEOUT_S)

    return suspend
