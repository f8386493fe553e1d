"""`tidewatt fleet top`: the terminal as long as somebody looks. Keys are read as they are pressed."""

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tidewatt_coordinator.watching.door import Door, DoorError, FleetNow
from tidewatt_coordinator.watching.view import SORTS, fitting, keys, ordered, table, title

NARROW = 100


def screen(now: FleetNow | None, key: str, width: int, height: int, trouble: str = "") -> Group:
    """What stands on the terminal; `trouble` is why the figures are old."""
    if now is None:
        return Group(Text(trouble or "asking..."))
    some = fitting(ordered(now.devices, key), height)
    more = len(now.devices) - len(some)
    foot = [Text(trouble, "red")] if trouble else [Text(f"and {more} more")] if more else []
    return Group(Text(title(now), "bold"), table(some, narrow=width < NARROW), *foot, Text(keys(key)))


def watch(door: Door, every_s: float, key: str) -> None:
    """Show it until q or Ctrl-C. A coordinator that goes away is said, and asked again."""
    console = Console()
    now, trouble = None, ""
    with _pressed() as pressed, Live(console=console, screen=True, auto_refresh=False) as live:
        due_s = time.monotonic()
        while True:
            if time.monotonic() >= due_s:
                try:
                    now, trouble = door.fleet(), ""
                except DoorError as error:
                    trouble = str(error)
                due_s = time.monotonic() + every_s
            live.update(screen(now, key, console.width, console.height, trouble), refresh=True)
            typed = pressed(max(0.0, due_s - time.monotonic()))
            if typed == "q":
                return
            key = typed if typed in SORTS else key


@contextlib.contextmanager
def _pressed() -> Iterator[Callable[[float], str]]:
    """A way to wait for a key, at most so many seconds; the terminal is put back afterwards."""
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)
    tty.setcbreak(file)

    def key(wait_s: float) -> str:
        ready, _, _ = select.select([file], [], [], wait_s)
        if not ready:
            return ""
        return os.read(file, 1).decode("ascii", "replace") or "q"  # the terminal is gone

    try:
        yield key
    finally:
        termios.tcsetattr(file, termios.TCSADRAIN, before)
