"""Limits and cancellations that are never lost, and children that are put down whoever holds their pipes."""

import asyncio
import sys
from typing import Any

import pytest
from tests.hostile import hostile_broker

from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended, killed, within


async def deaf(times: int) -> str:
    """Hears the word to end only after so many."""
    for _ in range(times):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()
    return "never"


async def test_whoever_does_not_hear_is_told_again() -> None:
    quick, slow = asyncio.create_task(deaf(0)), asyncio.create_task(deaf(2))
    await asyncio.sleep(0)
    await ended(quick, slow, again_s=0.001)
    assert quick.cancelled()
    assert slow.cancelled()


async def test_who_never_hears_is_left() -> None:
    never = asyncio.create_task(deaf(5))
    await asyncio.sleep(0)
    await ended(never, times=3, again_s=0.001)
    assert not never.done()
    await ended(never, again_s=0.001)


async def test_errors_at_the_end_are_nobodys() -> None:
    async def breaks() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("on the way out")

    task = asyncio.create_task(breaks())
    await asyncio.sleep(0)
    await ended(task)
    assert task.done()


async def test_a_result_in_time_is_the_result_and_its_error_its_error() -> None:
    async def fails() -> None:
        raise ValueError("as it says")

    assert await within(asyncio.sleep(0, "done"), 10.0) == "done"
    with pytest.raises(ValueError, match="as it says"):
        await within(fails(), 10.0)


async def test_after_the_limit_the_work_is_ended() -> None:
    work = asyncio.ensure_future(asyncio.Event().wait())
    with pytest.raises(asyncio.TimeoutError):
        await within(work, 0.001)
    assert work.cancelled()


async def test_a_cancellation_together_with_the_result_is_not_lost() -> None:
    """What asyncio.wait_for of Python 3.10 and 3.11 swallows."""
    came = asyncio.Event()
    waiting = asyncio.create_task(within(came.wait(), 10.0))
    for _ in range(3):  # until it waits
        await asyncio.sleep(0)
    came.set()
    await asyncio.sleep(0)  # the result is on its way
    waiting.cancel()
    await asyncio.wait([waiting], timeout=10.0)
    assert waiting.cancelled()


async def test_nor_one_together_with_the_brokers_answer() -> None:
    """What aiomqtt swallows there, as it waits with asyncio.wait_for."""
    async with hostile_broker() as broker, Connection(broker.url).client() as client:
        publishing = asyncio.create_task(client.publish("t", b"", qos=1))
        answered = client._client.on_publish
        assert answered

        def answered_and_cancelled(*said: Any) -> None:
            answered(*said)
            asyncio.get_running_loop().call_soon(publishing.cancel)

        client._client.on_publish = answered_and_cancelled
        await asyncio.wait([publishing], timeout=10.0)
        assert publishing.cancelled()


async def test_a_child_whose_pipe_another_holds_is_put_down_all_the_same() -> None:
    program = (
        "import subprocess, time\n"
        "subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout
    assert await child.stdout.readline() == b"held\n"
    await killed(child)
    assert child.returncode == -9
