"""When to stop: on SIGTERM or SIGINT, if wanted at the end of standard input, and when a part ends.

A parent that holds our standard input open takes us with it, however it dies.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence

from tidewatt_link.ending import ended


async def stop_asked(*, until_eof: bool) -> None:
    """Return when the process is asked to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        try:
            loop.add_reader(sys.stdin.fileno(), _stop_at_end, stop)
        except PermissionError as error:
            raise ValueError("standard input has no end to wait for; give it a pipe") from error
    try:
        await stop.wait()
    finally:
        if until_eof:
            loop.remove_reader(sys.stdin.fileno())


async def until_told_or_broken(tasks: "Sequence[asyncio.Task[None]]", *, until_eof: bool) -> None:
    """Return when the process is asked to stop, or raise what broke when one of the tasks ends."""
    told = asyncio.create_task(stop_asked(until_eof=until_eof))
    done, _ = await asyncio.wait([told, *tasks], return_when=asyncio.FIRST_COMPLETED)
    await ended(told)
    for task in done:
        task.result()


async def eternal(name: str, work: Coroutine[object, object, None]) -> None:
    """Do the work; that a part which should never end has ended is an error with its name."""
    await work
    raise RuntimeError(f"the {name} task ended by itself")


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        stop.set()
