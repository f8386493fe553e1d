"""`tidewatt-agent sleep`: the qualification on the real board, and its verdict in words."""

import argparse
import asyncio
import os
import time
from pathlib import Path

import aiomqtt

from tidewatt_agent.config import Config, kept_in
from tidewatt_agent.power import Calibration, PowerRule
from tidewatt_agent.readers import Readers
from tidewatt_agent.setup import readers_of
from tidewatt_agent.sleeping import verdict
from tidewatt_agent.sleeping.door import SleepDoor
from tidewatt_agent.sleeping.machine import identity_of
from tidewatt_agent.sleeping.qualify import Bench, Plan
from tidewatt_agent.sleeping.verdict import Verdict
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock

#: Seconds over which the board's power is taken, before and after.
WATTS_FOR_S = 10.0
#: So many times it is tried to read any.
WATTS_TRIES = 6
FAILED = 1


def sleep(options: argparse.Namespace, config: Config) -> int:
    """Be the command. ValueError where nothing can be kept."""
    path = kept_in(config, verdict.FILE_NAME)
    if path is None:
        raise ValueError("state.folder is empty: the verdict can't be kept")
    if options.action == "status":
        return _status(config, path)
    clock = Clock(time.monotonic, time.time, config.clock)
    plan = Plan(cycles=options.cycles, nap_s=options.nap, asleep_watts=options.asleep_watts)
    found = asyncio.run(_qualify(config, clock, plan))
    _keep(path, found)
    print(_words(found))
    return 0 if found.passed else FAILED


async def _qualify(config: Config, clock: Clock, plan: Plan) -> Verdict:
    async def network() -> str:
        if not config.link.broker:
            return "no link.broker is configured: nobody could hint this board to sleep"
        broker = Connection(config.link.broker, config.link, setting="link.broker")
        try:
            async with broker.client(identifier=f"tidewatt-{config.agent.fleet}-{config.device}-qualify"):
                return ""
        except aiomqtt.MqttError as error:
            return f"the broker is not reached: {error}"

    async def watts() -> float | None:
        return await _mean_watts(config, clock)

    door = SleepDoor(config.board.actuator_socket)
    return await Bench(config, clock, door, network, watts, lambda line: print(line, flush=True)).qualify(
        plan
    )


async def _mean_watts(config: Config, clock: Clock) -> float | None:
    readers = Readers(readers_of(config, config.reader.interval_s, clock), clock)
    power = PowerRule(Calibration(config.board.power_gain, config.board.power_offset_w))
    reading = asyncio.create_task(readers.run())
    known: list[float] = []
    # A reader that is slow to start is not one without power.
    for _ in range(WATTS_TRIES):
        await asyncio.sleep(clock.real_seconds(WATTS_FOR_S))
        found = [power(one.reader, one.sample.rails).watts for one in readers.take()]
        known = [watts for watts in found if watts is not None]
        if known:
            break
    await ended(reading)
    return sum(known) / len(known) if known else None


def _keep(path: Path, found: Verdict) -> None:
    verdict.save(path, found)
    if os.geteuid() == 0:  # it is the agent's to read and to change
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _status(config: Config, path: Path) -> int:
    found = verdict.load(path)
    identity, why = asyncio.run(identity_of(Tree(config.reader.root), config.sleep.application))
    why = why or verdict.obstacle(found, identity)
    if found:
        print(_words(found))
    print(f"it may not sleep: {why}" if why else "it may sleep, where its policy and its actuator allow it")
    return FAILED if why else 0


def _words(found: Verdict) -> str:
    asleep = "unmeasured" if found.asleep_watts is None else f"{found.asleep_watts:.2f} W"
    figures = [
        f"{name} {value:.1f} {unit}"
        for name, value, unit in (
            ("before", found.watts_before, "W"),
            ("after", found.watts_after, "W"),
            ("to sleep and back", found.suspend_s, "s"),
            ("to serve again", found.resume_s, "s"),
        )
        if value is not None
    ]
    said = "passed" if found.passed else f"failed: {found.why}"
    return f"{said} ({found.cycles} good naps; asleep {asleep}{''.join(f'; {one}' for one in figures)})"
