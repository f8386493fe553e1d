"""When to stop: on SIGTERM or SIGINT, and, if wanted, at the end of standard input.

A parent that holds our standard input open takes us with it, however it dies.
"""

import asyncio
import os
import signal
import sys


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


def _stop_at_end(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        stop.set()
