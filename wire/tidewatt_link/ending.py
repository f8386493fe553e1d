"""Ending what runs: limits and cancellations that are never lost.

`asyncio.wait_for` of Python 3.10 and 3.11 swallows a cancellation that comes together with the result
(mended in 3.12), and so whatever awaits the cancelled task waits for ever. Nothing here uses it; a library
may, which is why a task is told to end until it has. And `Process.wait` may wait for whoever else holds the
pipes of a process that is long gone.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds that a cancelled task has for its goodbye before it is told again.
AGAIN_S = 5.0
#: So often a task is told before it is left alone: a process that ends doesn't wait for it any longer.
TIMES = 4
#: Seconds for a killed process to be seen as gone.
KILLED_S = 2.0


async def within(work: Awaitable[T], limit_s: float | None) -> T:
    """What the work comes to; after `limit_s` seconds it is cancelled, and asyncio.TimeoutError raised.

    None: it has all the time.
    """
    doing = asyncio.ensure_future(work)
    try:
        finished, _ = await asyncio.wait([doing], timeout=limit_s)
        if not finished:
            raise asyncio.TimeoutError
        return doing.result()
    finally:
        await ended(doing)


async def ended(*tasks: "asyncio.Future[Any]", times: int = TIMES, again_s: float = AGAIN_S) -> None:
    """Cancel the tasks until all have ended, whatever with; what won't end is left after so many times."""
    for _ in range(times):
        left = [task for task in tasks if not task.done()]
        if not left:
            break
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=again_s)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # looked at, so that nobody complains that nobody did


async def killed(child: asyncio.subprocess.Process) -> None:
    """End a process and the group that it leads, and close its pipes, whoever else still holds them."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(asyncio.TimeoutError):
        await within(child.wait(), KILLED_S)
    child._transport.close()  # type: ignore[attr-defined] # noqa: SLF001 - there is no public way
