"""The actuator's nap: an alarm or no sleep; whoever dies at whichever step, the board is awake or wakes."""

import errno
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_agent.actuator.nap import (
    ALARM,
    KIND,
    SINCE_EPOCH,
    STATES,
    WAKEUP,
    WATCHED_S,
    NapRefusedError,
    Naps,
    suspending,
)
from tidewatt_agent.actuator.reboot import BOOT_ID
from tidewatt_agent.sysfs.tree import Tree

NOW_S = 1_795_000_000


class Killed(BaseException):
    """kill -9, at an effect that was counted to."""


class Kernel(Tree):
    """A machine by the kernel's rules, in a time of ours. It suspends `delay_s` after it was asked to."""

    def __init__(self, root: Path, life: int = 0) -> None:
        super().__init__(str(root))
        self.rtc_s, self.awake_s = float(NOW_S), 100.0
        self.alarm_s: int | None = None
        self.life, self.delay_s = life, 1.0
        self.asked_s: float | None = None
        self.refuses: Exception | None = None
        self.forgets = False
        self.stuck_asleep = False
        for path, text in ((STATES, "freeze mem"), (KIND, "s2idle [deep]"), (ALARM, ""), (SINCE_EPOCH, "0")):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        (root / BOOT_ID).parent.mkdir(parents=True, exist_ok=True)
        (root / BOOT_ID).write_text(str(uuid.uuid4()))

    def number(self, path: str) -> int | None:
        return (
            int(self.rtc_s)
            if path == SINCE_EPOCH
            else self.alarm_s
            if path == ALARM
            else super().number(path)
        )

    def write(self, path: str, value: int | str) -> None:
        assert path == ALARM
        self.tick()
        if isinstance(value, str):
            assert self.alarm_s is not None
            self.alarm_s += int(value.removeprefix("+="))
            return
        if self.refuses and value:
            raise self.refuses
        if value and self.alarm_s is not None:
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.alarm_s = None if value == 0 or self.forgets else value
        self.tick()

    def suspend(self) -> None:
        self.tick()
        self.asked_s = self.awake_s
        self.tick()

    def wait(self, seconds: float) -> None:
        """Time passes; a suspend that was asked for comes, and ends by the alarm."""
        self.awake_s += seconds
        self.rtc_s += seconds
        if self.asked_s is not None and self.awake_s >= self.asked_s + self.delay_s:
            self.asked_s = None
            if self.alarm_s is None or self.alarm_s <= self.rtc_s:
                self.stuck_asleep = True
                raise Killed
            self.rtc_s, self.alarm_s = float(self.alarm_s), None

    def tick(self) -> None:
        self.life -= 1
        if self.life == 0:
            raise Killed


def naps_of(kernel: Kernel, folder: Path, longest_s: float = 1800.0) -> Naps:
    return Naps(kernel, folder / "nap.json", kernel.suspend, longest_s, lambda: kernel.awake_s, kernel.wait)


def test_it_sleeps_until_its_alarm_and_says_for_how_long(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    slept = naps_of(kernel, tmp_path).nap(600)
    assert slept.slept_s == pytest.approx(599, abs=1.5)
    assert (slept.late_s, slept.early_s) == (0.0, 0.0)
    assert naps_of(kernel, tmp_path).nap(60).slept_s == pytest.approx(59, abs=1.5), "and again"


def busy(kernel: Kernel) -> None:
    kernel.refuses = OSError(errno.EBUSY, "Device or resource busy")


def past(kernel: Kernel) -> None:
    kernel.refuses = OSError(errno.EINVAL, "Invalid argument")


def forgets(kernel: Kernel) -> None:
    kernel.forgets = True


def no_clock(kernel: Kernel) -> None:
    (Path(kernel.root) / ALARM).unlink()


def says(path: str, text: str) -> Callable[[Kernel], None]:
    def do(kernel: Kernel) -> None:
        (Path(kernel.root) / path).parent.mkdir(parents=True, exist_ok=True)
        (Path(kernel.root) / path).write_text(text)

    return do


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (busy, "Device or resource busy"),
        (past, "Invalid argument"),
        (forgets, "was set to 1795000600 and says None"),
        (no_clock, "there is no alarm to wake by"),
        (says(STATES, "freeze"), "can't suspend to RAM"),
        (says(KIND, "[s2idle] deep"), "would only idle"),
        (says(WAKEUP, "disabled"), "the clock may not wake the board"),
        (says(BOOT_ID, ""), "can't be read"),
    ],
)
def test_without_a_working_alarm_there_is_no_sleep(
    tmp_path: Path, spoil: Callable[[Kernel], None], why: str
) -> None:
    kernel = Kernel(tmp_path)
    spoil(kernel)
    with pytest.raises(NapRefusedError, match=why):
        naps_of(kernel, tmp_path).nap(600)
    assert kernel.asked_s is None


@pytest.mark.parametrize("for_s", [0, 59, 1801, -5])
def test_naps_have_bounds_that_no_policy_moves(tmp_path: Path, for_s: float) -> None:
    kernel = Kernel(tmp_path)
    with pytest.raises(NapRefusedError, match="it has 60 to 1800 s here"):
        naps_of(kernel, tmp_path).nap(for_s)
    assert kernel.alarm_s is None


def test_what_was_not_allowed_here_is_refused(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    assert "--allow-sleep" in Naps(kernel, tmp_path / "nap.json").why_not()


def test_a_suspend_that_does_not_come_is_not_taken_for_one(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    kernel.delay_s = 1e9
    with pytest.raises(NapRefusedError, match="did not come within 60 s"):
        naps_of(kernel, tmp_path).nap(600)
    assert kernel.alarm_s is not None, "it may come yet"


def test_no_other_alarm_is_set_while_a_suspend_may_still_come(tmp_path: Path) -> None:
    """Its actuator was killed after asking; the next one must not clear the alarm under it."""
    kernel = Kernel(tmp_path, life=6)
    with pytest.raises(Killed):
        naps_of(kernel, tmp_path).nap(600)
    assert kernel.asked_s is not None
    with pytest.raises(NapRefusedError, match="may still come"):
        naps_of(kernel, tmp_path).nap(300)
    assert kernel.alarm_s == NOW_S + 600
    kernel.wait(2.0)
    assert not kernel.alarm_s, "it slept, and woke by its alarm"
    assert naps_of(kernel, tmp_path).why_not() == ""


@given(st.integers(1, 8), st.floats(0.0, WATCHED_S - 5.0), st.lists(st.integers(60, 1800), max_size=3))
@settings(max_examples=150)
def test_killed_at_any_step_it_is_awake_or_wakes_by_its_alarm(
    tmp_path_factory: pytest.TempPathFactory, life: int, delay_s: float, later: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("nap")
    kernel = Kernel(folder, life)
    kernel.delay_s = delay_s
    lives = [600, *later]
    for for_s in lives:
        try:
            naps_of(kernel, folder).nap(for_s)
        except (Killed, NapRefusedError):
            assert not kernel.stuck_asleep
        if kernel.asked_s is not None:
            assert kernel.alarm_s is not None
            assert kernel.alarm_s > kernel.rtc_s
    naps, kernel.life = naps_of(kernel, folder), -1
    for _ in range(1800):
        naps.watch()
        kernel.wait(1.0)
    assert not kernel.stuck_asleep
    assert kernel.asked_s is None


def test_a_file_that_is_none_bars_nothing(tmp_path: Path) -> None:
    (tmp_path / "nap.json").write_text(json.dumps({"boot": 3}))
    assert naps_of(Kernel(tmp_path), tmp_path).why_not() == ""


def test_the_command_s_last_word_is_told() -> None:
    with pytest.raises(OSError, match="sh ends with 1: Sleep verb not supported"):
        suspending(["sh", "-c", "echo 'Sleep verb not supported'; exit 1"])()
    suspending(["true"])()
    with pytest.raises(OSError, match="nothing-such"):
        suspending(["nothing-such"])()
