"""What is looked at when a board has woken: each check says in a sentence what is wrong, or nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tidewatt_agent.config import Load
from tidewatt_agent.load.endpoint import Endpoint
from tidewatt_agent.sleeping.commands import run

#: Real seconds between two tries of what needs its time.
AGAIN_S = 0.5
#: More than this is a jump of the clock, in seconds: what counts in whole ones may differ by two.
STEP_S = 5.0

Check = Callable[[], Awaitable[str]]


async def within(limit_s: float, check: Check) -> str:
    """What a check still says when it is good, or when the time (real seconds) is over."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + limit_s
    while (why := await check()) and loop.time() < until_s:  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(AGAIN_S)
    return why


def clock_step(before_ms: int, after_ms: int, asleep_s: float) -> float:
    """By how many seconds the time of day moved against the clock that saw `asleep_s` pass."""
    return (after_ms - before_ms) / 1000.0 - asleep_s


def health(command: Sequence[str], limit_s: float) -> Check:
    """The user's own check of GPU and application."""

    async def check() -> str:
        why = (await run(command, limit_s)).why_not
        return f"the health command says: {why}" if why else ""

    return check


def readable(loads: Sequence[Load]) -> Check:
    """Whether every application's page answers."""

    async def check() -> str:
        for load in loads:
            endpoint = Endpoint(load)
            why = await endpoint.why_not()
            endpoint.close()
            if why:
                return f"the application at {load.url} is not ready: {why}"
        return ""

    return check


async def in_flight(loads: Sequence[Load], gauge: str) -> str:
    """What is still being served, by the applications' own gauge; empty: nothing, or none is named."""
    for load in loads if gauge else []:
        endpoint = Endpoint(
            Load(url=load.url, counter=gauge, histogram="", labels=load.labels, timeout_s=load.timeout_s)
        )
        reading = await endpoint.read()
        endpoint.close()
        if reading is None:
            return f"{load.url} doesn't say {gauge}"
        if (serving := sum(reading.requests.values())) > 0:
            return f"{serving:.0f} requests are in flight at {load.url}"
    return ""
