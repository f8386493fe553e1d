"""An event loop whose time is ours: a sleep takes none, and what would take minutes is over at once."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Instead of waiting for a timer, it lets the time pass."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0.0 if timeout is not None else None)
        if not found and timeout:
            self.now_s += max(timeout, 1e-6)
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code that waits for timers only; a thread is waited for where no timer runs beside it."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s


def run_virtual(work: Coroutine[Any, Any, T], loop: VirtualLoop) -> T:
    """What `work` returns, on `loop`, which is closed."""
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
