"""Blocking work beside the loop, which may hang: a thread each at a time, used again when it is free.

Beginning a thread costs more than reading a board, and asyncio's own pool would be used up by what hangs,
and waited for at the end.
"""

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Free threads that wait for work; of more the last ends.
MOST_FREE = 2


async def in_thread(longest_s: float, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Do blocking work in a thread that does nothing else meanwhile; asyncio.TimeoutError if that takes long.

    Work that never returns keeps neither the agent nor its end waiting, nor what is done after it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work(*arguments, **named)
        except Exception as error:  # noqa: BLE001 - handed to who waits
            _tell(loop, partial(_fail, done, error))
        else:
            _tell(loop, partial(_fill, done, result))

    _free_thread().do(run)
    late = loop.call_later(longest_s, _fail, done, asyncio.TimeoutError())
    try:
        return await done
    finally:
        late.cancel()
        if done.done() and not done.cancelled():
            done.exception()  # looked at, so that nobody complains that nobody did


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(what)


def _fill(done: "asyncio.Future[T]", result: T) -> None:
    if not done.done():  # else nobody waits any more
        done.set_result(result)


def _fail(done: "asyncio.Future[T]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


class _Worker(Thread):
    """A thread for one piece of work after another. A daemon: the process doesn't wait for it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.start()

    def do(self, work: Callable[[], None]) -> None:
        """Do this next; for the one who took it from `_free`."""
        self._work.put(work)

    def run(self) -> None:
        """Work until there are enough that are free."""
        while True:
            work = self._work.get()
            work()
            del work  # it may hold much
            if len(_free) >= MOST_FREE:
                return
            _free.append(self)


#: A list's own operations are safe between threads.
_free: list[_Worker] = []


def _free_thread() -> _Worker:
    with contextlib.suppress(IndexError):
        return _free.pop()
    return _Worker()
