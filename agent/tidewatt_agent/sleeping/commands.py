"""The user's own commands around a nap: hooks, health, and what names the application. Never from afar."""

import asyncio
from collections.abc import Sequence

import msgspec

from tidewatt_link.ending import killed, within

#: What of a command's output is kept.
MOST_OUTPUT = 4096


class Ran(msgspec.Struct, frozen=True):
    """How a command ended: why it is not good, empty if it is; and what it printed."""

    why_not: str
    said: str = ""


async def run(command: Sequence[str], limit_s: float) -> Ran:
    """Run it to its end, or until its time (real seconds) is over: then it is killed with its children.

    No command at all is good.
    """
    if not command:
        return Ran("")
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ran(f"{command[0]}: {error.strerror or error}")
    try:
        said, _ = await within(process.communicate(), limit_s)
    except asyncio.TimeoutError:
        return Ran(f"{command[0]} did not end within {limit_s:.0f} s")
    finally:
        if process.returncode is None:
            await killed(process)
    text = said[-MOST_OUTPUT:].decode("utf-8", "replace").strip()
    if process.returncode:
        return Ran(f"{command[0]} ends with {process.returncode}: {text.rpartition(chr(10))[2][:200]}", text)
    return Ran("", text)
