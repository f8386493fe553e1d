"""Answers that are kept for a while: many viewers cost as much as one."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Real seconds for which a drawn-up account is shown again.
ACCOUNT_KEPT_S = 1.0
#: It is kept this many times as long as it took: looking costs a tenth of a processor at the most, however
#: large the fleet.
KEPT_PER_TAKEN = 10.0


def kept_for_a_while(
    draw_up: Callable[[], T], now_s: Callable[[], float] = time.monotonic
) -> Callable[[], T]:
    """The same, drawn up again only when it has been shown for a while."""
    lock = threading.Lock()
    kept: list[tuple[float, T]] = []
    """Until when it is shown, and what."""

    def current() -> T:
        with lock:
            begun_s = now_s()
            if not kept or begun_s >= kept[0][0]:
                drawn, ended_s = draw_up(), now_s()
                kept[:] = [(ended_s + max(ACCOUNT_KEPT_S, KEPT_PER_TAKEN * (ended_s - begun_s)), drawn)]
            return kept[0][1]

    return current
