"""Everything the agent is, in order. The loop sleeps, the tick works.

    setup.py -> body.py (the board) and mind.py (what decisions are made from) -> linking.py (the broker)

The watchdog is fed from the tick, so a tick that hangs is a restart. A clean stop, and a part
that breaks, leave the board in the mode it was found in; after kill -9 the actuator does that.
"""

import asyncio
import contextlib
import gc
import logging
import math
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Protocol, TextIO

import msgspec
import sdnotify

from tidewatt_agent import metrics
from tidewatt_agent.body import Body
from tidewatt_agent.config import Config
from tidewatt_agent.counterfile import CounterFile
from tidewatt_agent.hands import Hands
from tidewatt_agent.journal import TickRecord
from tidewatt_agent.link import Link
from tidewatt_agent.linking import follow, link_of
from tidewatt_agent.mind import Mind
from tidewatt_agent.policies import Policies
from tidewatt_agent.resident import settle
from tidewatt_agent.rivals import find_rivals
from tidewatt_agent.serving import serve
from tidewatt_agent.setup import CLOCK_IS_SET_MS, clock_is_set, policies_of
from tidewatt_agent.sleeping.door import SleepDoor
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.sleeper import Sleeper
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tick import Tick
from tidewatt_agent.version import VERSION
from tidewatt_link.ending import ended, within
from tidewatt_link.stopping import eternal, until_told_or_broken
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Report

log = logging.getLogger(__name__)

#: Real seconds that a clean stop may take to hand in the last report.
GOODBYE_S = 3.0


class Closing(Protocol):
    """What ends with the agent."""

    def close(self) -> None:
        """Let nobody in any more."""


async def run(config: Config, *, until_eof: bool = False) -> None:
    """Be the agent until asked to stop. Raises OSError or ValueError for a bad set-up."""
    clock = Clock(time.monotonic, time.time, config.clock)
    policies = policies_of(config)
    body = Body(config, clock, policies)
    mind = Mind(config, clock, policies, body.profile)
    link = link_of(config, clock, body, mind)
    shown = _shown(clock, body, mind, link)
    await asyncio.to_thread(mind.foresight.start)
    if config.metrics.listen:
        serve(shown, config.metrics.listen)
    await _warn_of_rivals(config, body.hands)
    asked = await body.leases.serve(config.lease.socket) if config.lease.socket else None
    with _journal(config.journal.path) as journal:
        tick = _tick(clock, body, mind, link, journal)
        shown.sleeper = sleeper = _sleeper(config, clock, link, mind.hints, tick, body.hands)
        works = _works(config, clock, body, mind, link, sleeper)
        tasks = [asyncio.create_task(eternal(name, work)) for name, work in works.items()]
        ticking = asyncio.create_task(
            _loop(config, clock, body.tick_s, tick, body.file, link, shown, policies, sleeper)
        )
        # What there is now stays: the collector needn't walk through all of it again and again.
        settle()
        gc.freeze()
        try:
            await until_told_or_broken([*tasks, ticking], until_eof=until_eof)
        finally:
            sdnotify.SystemdNotifier().notify("STOPPING=1")
            await ended(ticking, times=2, again_s=GOODBYE_S)
            await _last_words(tick, body.hands, body.file, link, clock)
            await ended(*tasks, times=2, again_s=GOODBYE_S)
            await _put_away(link)
            mind.learning.save()
            await body.hands.close()
            mind.foresight.save()
            _close(asked, body.load)


def _shown(clock: Clock, body: Body, mind: Mind, link: Link | None) -> metrics.AgentMetrics:
    shown = metrics.AgentMetrics(
        VERSION, body.profile, body.board, body.readers, link, body.host, mind.learning, mind.foresight,
        mind.policies, mind.models, clock.now_ms,
    )  # fmt: skip
    shown.wakes = mind.wakes if link else None
    shown.plans, shown.now_s = mind.plans, clock.monotonic_s
    return shown


def _tick(clock: Clock, body: Body, mind: Mind, link: Link | None, journal: TextIO) -> Tick:
    return Tick(
        body.identity, body.profile, clock, body.readers, body.load, body.hands, mind.policies,
        gap_s=body.gap_s, counters=body.kept.counters, journal=lambda record: _write(journal, record),
        power=body.power, leases=body.leases, battery=body.battery,
        foresight=mind.foresight, learning=mind.learning, signals=mind.signals, plans=mind.plans,
        told=lambda at_ms: link is None or link.told_ms >= at_ms,
    )  # fmt: skip


def _works(
    config: Config, clock: Clock, body: Body, mind: Mind, link: Link | None, sleeper: Sleeper | None
) -> dict[str, Coroutine[object, object, None]]:
    """Every task beside the loop, by name."""
    works = {
        "readers": body.readers.run(),
        "learning": mind.learning.keep(clock),
        "foresight": mind.foresight.keep(clock),
    }
    if link:
        works |= {
            "link": link.run(),
            "outbox": link.outbox.keep(),
            "models": mind.models.run(follow(link, mind, sleeper)),
        }
    works |= {"sleeper": sleeper.run()} if sleeper else {}
    return works | _renewal(config)


async def _loop(
    config: Config,
    clock: Clock,
    tick_s: float,
    tick: Tick,
    file: CounterFile,
    link: Link | None,
    shown: metrics.AgentMetrics,
    policies: Policies,
    sleeper: Sleeper | None = None,
) -> None:
    systemd = sdnotify.SystemdNotifier()
    next_tick_s = next_report_s = clock.monotonic_s()
    ready = False
    while True:
        async with sleeper.board if sleeper else contextlib.nullcontext():
            report = await tick()
        if sleeper:
            sleeper.note(report, policies.policy)
        shown.show(report, tick.seen)
        now_s, every_s = clock.monotonic_s(), policies.policy.report_s or config.agent.report_s
        next_report_s = min(next_report_s, now_s + every_s)  # a policy may ask for more of them
        reporting = link is not None and now_s >= next_report_s and clock_is_set(clock)
        if reporting or file.due(now_s):
            # Kept before it is told: the coordinator never knows more than the disk.
            told = await asyncio.to_thread(file.keep, report, now_s)
            shown.keep(told.counters)
            if link and reporting:
                _tell(link, file, told, now_s)
        if reporting:
            next_report_s += every_s * max(1, (now_s - next_report_s) // every_s + 1)
        systemd.notify("WATCHDOG=1" if ready else "READY=1\nWATCHDOG=1")
        ready = True
        next_tick_s = max(next_tick_s + tick_s, now_s)
        await asyncio.sleep(clock.real_seconds(next_tick_s - now_s))


def _sleeper(
    config: Config, clock: Clock, link: Link | None, hints: Hints, tick: Tick, hands: Hands
) -> Sleeper | None:
    """Who lets the board sleep; None where nobody could hint it to, or nothing would be kept of it."""
    folder = config.state.folder
    if link is None or not folder or not config.board.actuator_socket:
        return None
    door = SleepDoor(config.board.actuator_socket)
    return Sleeper(config, clock, door, link, hints, tick.slept, lambda: hands.acts)


def _renewal(config: Config) -> dict[str, Coroutine[object, object, None]]:
    if not config.link.renew:
        return {}
    from tidewatt_agent.enrolling.renewal import Renewal  # noqa: PLC0415 - 8 MB of cryptography

    # By the machine's own clock: TLS lives in real time, whatever the board's is.
    real = Clock(time.monotonic, time.time)
    return {"renewal": Renewal(config.link, real).keep()}


async def _warn_of_rivals(config: Config, hands: Hands) -> None:
    rivals = await asyncio.to_thread(find_rivals, Tree(config.reader.root)) if hands.acts else []
    for rival in rivals:
        log.warning("another hand on this board: %s; on drift the policy holds", rival)


async def _last_words(tick: Tick, hands: Hands, file: CounterFile, link: Link | None, clock: Clock) -> None:
    """Hand in what was counted since the last report, and put the board back."""
    report = None
    try:
        report = await tick(govern=False)  # the board is about to be given back, not moved again
    except Exception:
        # Whatever broke the tick may break it again; the board is given back all the same.
        log.exception("the last tick failed")
    await hands.restore()
    told = file.keep(report, 0.0) if report else None
    if told and link and clock_is_set(clock):
        _tell(link, file, told, math.inf)
        if link.connected:  # else it goes into the spool
            with contextlib.suppress(asyncio.TimeoutError):
                await within(link.flushed(), GOODBYE_S)


def _tell(link: Link, file: CounterFile, told: Report, now_s: float) -> None:
    for one in file.owed(now_s, heard=link.connected):
        # One of 1970 no coordinator believes.
        at_ms = told.at_ms if one.at_ms < CLOCK_IS_SET_MS else one.at_ms
        # It may be of an earlier run: a coordinator that never heard of that would take it for the newest.
        link.send(msgspec.structs.replace(one, at_ms=at_ms), past=True)
    link.send(told)


async def _put_away(link: Link | None) -> None:
    """What could not be sent goes to the disk, when nothing more can come."""
    if link:
        await link.outbox.close()


def _close(*doors: Closing | None) -> None:
    for door in doors:
        if door:
            door.close()


def _journal(path: str) -> TextIO:
    return Path(path or os.devnull).open("a", encoding="utf-8", buffering=1)


def _write(journal: TextIO, record: TickRecord) -> None:
    if journal.name != os.devnull:
        journal.write(msgspec.json.encode(record).decode() + "\n")
