"""Blocking work beside the loop, which may hang: a thread each at a time, used again when it is free.

Beginning a thread costs more than reading a board, and asyncio's own pool would be used up by what hangs,
and waited for at the end.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import NoReturn, ParamSpec, TypeVar

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


async def repeated(pause_s: float, longest_s: float, work: Callable[[], None]) -> NoReturn:
    """Do blocking work after each pause, for ever, in a thread that sleeps and works by itself: the loop is
    woken only every `longest_s`, to see that nothing holds the thread.

    Raises what the work raises, and asyncio.TimeoutError when it takes longer than `longest_s`: that is seen
    before twice that time.
    """
    turns = _Turns(pause_s, work, asyncio.get_running_loop())
    turns.start()
    try:
        while turns.worked_s() < longest_s:
            await asyncio.wait([turns.failed], timeout=longest_s - turns.worked_s())
            if turns.failed.done():
                raise turns.failed.result()
        raise asyncio.TimeoutError
    finally:
        turns.end()


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


class _Turns(Thread):
    """A thread for one piece of work again and again. A daemon: the process doesn't wait for it."""

    def __init__(self, pause_s: float, work: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self._pause_s, self._work, self._loop = pause_s, work, loop
        self._working_since_s: float | None = None
        self.failed: asyncio.Future[Exception] = loop.create_future()
        self._over = Lock()  # taken until the end: the pause is to wait for it in vain
        self._over.acquire()

    def worked_s(self) -> float:
        """For how long the present piece of work has been done; 0 in a pause."""
        since_s = self._working_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def end(self) -> None:
        """Do no other piece."""
        self._over.release()

    def run(self) -> None:
        """Pause and work until told to end, or broken."""
        try:
            while not self._over.acquire(timeout=self._pause_s):
                self._working_since_s = time.monotonic()
                self._work()
                self._working_since_s = None
        except Exception as error:  # noqa: BLE001 - handed to who waits
            _tell(self._loop, partial(_fill, self.failed, error))


#: A list's own operations are safe between threads.
_free: list[_Worker] = []


def _free_thread() -> _Worker:
    with contextlib.suppress(IndexError):
        return _free.pop()
    return _Worker()
