"""Everything the agent is, in order. The loop sleeps, the tick works.

The watchdog is fed from the tick, so a tick that hangs is a restart. A clean stop, and a part
that breaks, leave the board in the mode it was found in; after kill -9 the actuator does that.
"""

import asyncio
import contextlib
import logging
import os
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, TextIO

import msgspec
import sdnotify

from tidewatt_agent import VERSION, metrics
from tidewatt_agent.config import AUTO, POLICY_FILE, Config, kept_in
from tidewatt_agent.counterfile import CounterFile
from tidewatt_agent.enrolling.renewal import Renewal
from tidewatt_agent.eyes import Eyes
from tidewatt_agent.folding import FoldingHands
from tidewatt_agent.foresight import Foresight
from tidewatt_agent.hands import FoldedHands, Hands, SocketHands
from tidewatt_agent.host import Host
from tidewatt_agent.journal import TickRecord
from tidewatt_agent.jtop import JtopReader
from tidewatt_agent.learning import Learning
from tidewatt_agent.leases import Leases
from tidewatt_agent.link import Link
from tidewatt_agent.load.endpoint import Applications
from tidewatt_agent.models import Models
from tidewatt_agent.outbox import Outbox
from tidewatt_agent.planhints import PlanHints
from tidewatt_agent.policies import Policies
from tidewatt_agent.policyfile import PolicyFile, configured_keys
from tidewatt_agent.power import Calibration, PowerRule
from tidewatt_agent.profiles import named_profile
from tidewatt_agent.readers import Reader, Readers
from tidewatt_agent.recognise import BoardIdentity, recognise
from tidewatt_agent.rivals import find_rivals
from tidewatt_agent.signals import Signals
from tidewatt_agent.sleeping.door import SleepDoor
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.neighbours import Wakes, to_segment, wakes_others
from tidewatt_agent.sleeping.sleeper import Sleeper
from tidewatt_agent.spool import FILE_NAME, MEGABYTE, Spool
from tidewatt_agent.sysfs.battery import Battery
from tidewatt_agent.sysfs.reader import SysfsReader
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.tegrastats.child import TegrastatsChild
from tidewatt_agent.tick import Identity, Tick
from tidewatt_governor.boards import BoardProfile, profile_for
from tidewatt_link.connection import Connection
from tidewatt_link.stopping import eternal, until_told_or_broken
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Birth, Capability
from tidewatt_wire.topics import WakeTopic

log = logging.getLogger(__name__)

#: An agent ticks at most this often in real time, however fast virtual time runs.
MOST_TICKS_PER_REAL_SECOND = 10.0
#: A clock before this (2026-11-01 UTC) has not been set yet: boards without a battery boot in 1970.
#: Reports wait for the clock; counters don't, so nothing is lost by waiting.
CLOCK_IS_SET_MS = 1_793_491_200_000
#: Real seconds that a clean stop may take to hand in the last report.
GOODBYE_S = 3.0


class Closing(Protocol):
    """What ends with the agent."""

    def close(self) -> None:
        """Let nobody in any more."""


async def run(config: Config, *, until_eof: bool = False) -> None:  # noqa: PLR0915 - all that it is
    """Be the agent until asked to stop. Raises OSError or ValueError for a bad set-up."""
    clock = Clock(time.monotonic, time.time, config.clock)
    # At most ten readings a real second: in fast virtual time they lie further apart.
    shortest_s = clock.speed / MOST_TICKS_PER_REAL_SECOND
    tick_s = max(config.agent.tick_s, shortest_s)
    file = CounterFile(kept_in(config, "counters.json"), config.state.every_s)
    kept = file.load()
    identity = Identity(config.device, uuid.uuid4().hex, kept.epoch)
    board = recognise(Tree(config.reader.root))
    profile = profile_of(config, board)
    if profile is None:
        log.warning("no points known for %s: it is measured, not governed", board.model or "this machine")
    learning = _learned(config, profile)
    policies = _policies(config)

    readers = Readers(readers_of(config, max(config.reader.interval_s, shortest_s), clock), clock)
    load = Applications(config.load) if config.load else None
    hands = _hands(config, profile, policies)
    leases = Leases([point.name for point in profile.points] if profile else [], clock)
    foresight = Foresight(config.forecast.model, config.forecast.zone, config.state.folder)
    models = Models(config.agent.fleet, kept_in(config, "models"), policies, foresight)
    signals = Signals(config.agent.fleet, lambda: policies.policy.tariff_zone)
    hints = Hints(config.agent.fleet, config.device, lambda: policies.trusted)
    plans = PlanHints(config.agent.fleet, config.device, lambda: policies.trusted, clock)
    wakes = _wakes(config, clock, policies)
    link = _link(
        config, identity, profile, learning, clock, policies, models, signals, hints, plans, wakes,
        lambda: capabilities_of(config, learning, hands, foresight),
    )  # fmt: skip
    shown = metrics.AgentMetrics(
        VERSION, profile, board, readers, link, _host(config, readers), learning, foresight,
        policies, models, clock.now_ms,
    )  # fmt: skip
    shown.wakes = wakes if link else None
    await asyncio.to_thread(foresight.start)
    if config.metrics.listen:
        metrics.serve(shown, config.metrics.listen)

    await _warn_of_rivals(config, hands)
    asked = await leases.serve(config.lease.socket) if config.lease.socket else None
    with _journal(config.journal.path) as journal:
        tick = Tick(
            identity, profile, clock, readers, load, hands, policies,
            gap_s=max(config.agent.gap_s, 3.0 * shortest_s), counters=kept.counters,
            journal=lambda record: _write(journal, record),
            power=PowerRule(Calibration(config.board.power_gain, config.board.power_offset_w)),
            leases=leases, battery=Battery(Tree(config.reader.root)), foresight=foresight, learning=learning,
            told=lambda at_ms: link is None or link.told_ms >= at_ms, signals=signals,
            plans=plans,
        )  # fmt: skip
        shown.plans, shown.now_s = plans, clock.monotonic_s
        shown.sleeper = sleeper = _sleeper(config, clock, link, hints, tick, hands)
        works = {"readers": readers.run(), "learning": learning.keep(clock)}
        works |= {"foresight": foresight.keep(clock)} | _renewal(config)
        if link:
            works |= {
                "link": link.run(),
                "outbox": link.outbox.keep(),
                "models": models.run(_follow(link, signals, plans, sleeper, wakes)),
            }
        works |= {"sleeper": sleeper.run()} if sleeper else {}
        tasks = [asyncio.create_task(eternal(name, work)) for name, work in works.items()]
        ticking = asyncio.create_task(
            _loop(config, clock, tick_s, tick, file, link, shown, policies, sleeper)
        )
        try:
            await until_told_or_broken([*tasks, ticking], until_eof=until_eof)
        finally:
            sdnotify.SystemdNotifier().notify("STOPPING=1")
            await _end([ticking])
            await _last_words(tick, hands, file, link, clock)
            await _end(tasks)
            await _put_away(link)
            learning.save()
            await hands.close()
            foresight.save()
            _close(asked, load)


def _learned(config: Config, profile: BoardProfile | None) -> Learning:
    learning = Learning(profile, kept_in(config, "learned.json"))
    learning.load()
    return learning


def _renewal(config: Config) -> dict[str, Coroutine[object, object, None]]:
    # By the machine's own clock: TLS lives in real time, whatever the board's is.
    real = Clock(time.monotonic, time.time)
    return {"renewal": Renewal(config.link, real).keep()} if config.link.renew else {}


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
        link.send(told)
        if link.connected:  # else it goes into the spool
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(link.flushed(), GOODBYE_S)


async def _put_away(link: Link | None) -> None:
    """What could not be sent goes to the disk, when nothing more can come."""
    if link:
        await link.outbox.close()


def _close(*doors: Closing | None) -> None:
    for door in doors:
        if door:
            door.close()


async def _end(tasks: "list[asyncio.Task[None]]") -> None:
    # Twice: asyncio.wait_for of Python 3.10 and 3.11 can lose a cancellation that comes with its result.
    for _ in range(2):
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=GOODBYE_S)


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
                link.send(told)
        if reporting:
            next_report_s += every_s * max(1, (now_s - next_report_s) // every_s + 1)
        systemd.notify("WATCHDOG=1" if ready else "READY=1\nWATCHDOG=1")
        ready = True
        next_tick_s = max(next_tick_s + tick_s, now_s)
        await asyncio.sleep(clock.real_seconds(next_tick_s - now_s))


def readers_of(config: Config, interval_s: float, clock: Clock) -> list[Reader]:
    """The readers that the configuration allows, the preferred first.

    sysfs costs less than a child process and sees more; jtop only where it was chosen.
    """
    sysfs = SysfsReader(Tree(config.reader.root), interval_s, clock)
    tegrastats = TegrastatsChild(config.tegrastats.command, interval_s, clock)
    if config.reader.kind == AUTO:
        return [sysfs, tegrastats]
    return [
        reader
        for reader in (sysfs, tegrastats, JtopReader(interval_s, clock))
        if reader.name == config.reader.kind
    ]


def profile_of(config: Config, board: BoardIdentity) -> BoardProfile | None:
    """The operating points that are configured, or those of the recognised board; None if there are none."""
    if config.board.profile != AUTO:
        return named_profile(config.board.profile)
    return profile_for(board.compatible)


def clock_is_set(clock: Clock) -> bool:
    """Whether the time of day can be believed. A virtual one always can."""
    return clock.virtual or clock.now_ms() >= CLOCK_IS_SET_MS


def _host(config: Config, readers: Readers) -> Host:
    def child_pid() -> int | None:
        return next((one.pid for one in readers.all if isinstance(one, TegrastatsChild)), None)

    return Host(config.state.folder, child_pid)


def _policies(config: Config) -> Policies:
    file = PolicyFile(kept_in(config, POLICY_FILE))
    keys = configured_keys(config.link)
    policies = Policies(config.agent.fleet, config.device, config.labels, keys, file)
    policies.load()
    if config.link.broker and not keys:
        log.warning("no link.policy_keys: every policy set is refused until there is one")
    return policies


def _sleeper(
    config: Config, clock: Clock, link: Link | None, hints: Hints, tick: Tick, hands: Hands
) -> Sleeper | None:
    """Who lets the board sleep; None where nobody could hint it to, or nothing would be kept of it."""
    folder = config.state.folder
    if link is None or not folder or not config.board.actuator_socket:
        return None
    door = SleepDoor(config.board.actuator_socket)
    return Sleeper(config, clock, door, link, hints, tick.slept, lambda: hands.acts)


def _hands(config: Config, profile: BoardProfile | None, policies: Policies) -> Hands:
    points = profile.points if profile else []
    if not config.board.actuator_socket:
        return FoldedHands(Eyes(Tree(config.reader.root), time.monotonic))
    board = SocketHands(config.board.actuator_socket, points)
    if config.agent.control == "observe":
        return FoldedHands(board)
    return FoldingHands(board, lambda: policies.policy.control)


def _link(
    config: Config,
    identity: Identity,
    profile: BoardProfile | None,
    learning: Learning,
    clock: Clock,
    policies: Policies,
    models: Models,
    signals: Signals,
    hints: Hints,
    plans: PlanHints,
    wakes: Wakes,
    capabilities: Callable[[], list[Capability]],
) -> Link | None:
    if not config.link.broker:
        return None

    def birth() -> Birth:
        # A session is one connection: the will of the one that was lost must not bury the next.
        return Birth(
            device=identity.device,
            session=uuid.uuid4().hex,
            epoch=identity.epoch,
            at_ms=clock.now_ms(),
            version=VERSION,
            board=profile.name if profile else "unknown",
            control=config.agent.control,
            labels=config.labels,
            points=learning.points,
            vendor_default=profile.vendor_default if profile else None,
            capabilities=capabilities(),
        )

    async def offered(envelope: bytes) -> None:
        await policies.offer(envelope, clock.now_ms())

    broker, fleet = Connection(config.link.broker, config.link, setting="link.broker"), config.agent.fleet
    return Link(
        broker,
        fleet,
        birth,
        offered,
        outbox_of(config),
        policies.acks,
        models.take,
        config.link.spread_s,
        signals.take,
        hints.take,
        plans.take,
        wakes.take,
    )


def _wakes(config: Config, clock: Clock, policies: Policies) -> Wakes:
    return Wakes(
        WakeTopic(config.agent.fleet, config.device),
        clock,
        lambda: policies.trusted,
        lambda: config.agent.control == "enforce" and wakes_others(policies.policy),
        to_segment(config.sleep.wake_to),
    )


def _follow(
    link: Link, signals: Signals, plans: PlanHints, sleeper: Sleeper | None, wakes: Wakes
) -> Callable[[Sequence[str]], None]:
    fixed = [*plans.topics, wakes.topic, *(sleeper.topics if sleeper else [])]
    return lambda topics: link.follow([*topics, *signals.topics, *fixed])


def outbox_of(config: Config) -> Outbox:
    """Where reports wait: with a state folder the spool's file takes those that wait for long."""
    path = kept_in(config, FILE_NAME)
    size = config.spool.max_mb * MEGABYTE
    spool = Spool(path, config.agent.fleet, config.device, size) if path else None
    return Outbox(spool, config.spool.replay_per_s)


def capabilities_of(
    config: Config, learning: Learning, hands: Hands, foresight: Foresight
) -> list[Capability]:
    """What this agent, as it is configured, can do beyond reporting."""
    can: dict[Capability, bool] = {
        "caps": hands.acts and any(point.trims for point in learning.points),
        "forecast": foresight.configured,
        "model": bool(config.state.folder) and find_spec("onnxruntime") is not None,
        "spool": bool(config.state.folder),
    }
    return [name for name, able in can.items() if able]


def _journal(path: str) -> TextIO:
    return Path(path or os.devnull).open("a", encoding="utf-8", buffering=1)


def _write(journal: TextIO, record: TickRecord) -> None:
    if journal.name != os.devnull:
        journal.write(msgspec.json.encode(record).decode() + "\n")
