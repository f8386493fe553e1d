"""The command: what speaks against starting, and the profile that it writes.

Exit codes: 0 a profile was written, 1 the board or the application could not be measured, 2 the command
line or a file is wrong, 130 stopped by Ctrl-C. However it ends, the board is put back.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import msgspec

from tidewatt_agent.calibrate.application import Application
from tidewatt_agent.calibrate.drive import TooSlowToAskError
from tidewatt_agent.calibrate.neighbours import fleet_policy, who_governs
from tidewatt_agent.calibrate.sweep import Sweep, table
from tidewatt_agent.config import Config, http_url, without_user
from tidewatt_agent.eyes import Eyes
from tidewatt_agent.hands import Hands, SocketHands
from tidewatt_agent.hold import seconds
from tidewatt_agent.load.endpoint import Applications
from tidewatt_agent.power import Calibration, PowerRule
from tidewatt_agent.readers import Readers
from tidewatt_agent.recognise import recognise
from tidewatt_agent.setup import profile_of, readers_of
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_governor.boards import BoardProfile
from tidewatt_governor.calibrate import Plan, calibrated
from tidewatt_governor.fitting import BadMeasurementError, Fit
from tidewatt_governor.points import usable_rps
from tidewatt_governor.policy import allowed
from tidewatt_link.durable import replace_file
from tidewatt_link.ending import ended
from tidewatt_link.stopping import stop_asked
from tidewatt_wire.clock import Clock
from tidewatt_wire.documents import to_toml
from tidewatt_wire.messages import OperatingPoint, Policy

FAILED, INTERRUPTED = 1, 128 + signal.SIGINT
#: Real seconds that the first reading of the board may take.
FIRST_SAMPLE_S, LOOK_S = 15.0, 0.05
#: The same digits everywhere: no measurement here is better than a part in ten thousand.
DIGITS = 5
MOST_BODY = 16_000_000


def calibrate(options: argparse.Namespace, config: Config) -> int:
    """Do it. ValueError and OSError for what is wrong before anything is touched."""
    url = http_url(options.url, "--url")
    body = options.body_file.read_bytes() if options.body_file else b""
    if len(body) > MOST_BODY:
        raise ValueError(f"{options.body_file} has more than {MOST_BODY} bytes")
    if not 0.0 < options.max_rps < float("inf"):
        raise ValueError(f"--max-rps {options.max_rps} is no rate")
    if config.agent.control == "observe" and not options.this_mode_only:
        raise ValueError(
            'agent.control is "observe", so no mode is switched: --this-mode-only measures the present one, '
            "or let it act first (`tidewatt-agent enable`), and stop the service meanwhile"
        )
    base = profile_of(config, recognise(Tree(config.reader.root)))
    if base is None:
        raise ValueError("no operating points are known for this board: set board.profile to the nearest one")
    out = _writable(options.out or Path(f"{base.name}-calibrated.toml"))
    application = Application(url, options.method or ("POST" if body else "GET"), body, options.content_type)
    try:
        found = asyncio.run(_until_stopped(_Job(options, config, base, application)))
    except (BadMeasurementError, TooSlowToAskError) as error:
        why = f" ({application.last_problem})" if application.last_problem else ""
        print(f"tidewatt-agent: {error}{why}", file=sys.stderr)
        return FAILED
    if found is None:
        print("tidewatt-agent: stopped; nothing is written", file=sys.stderr)
        return INTERRUPTED
    slo_p95_ms, fits = found
    _write(out, calibrated(base, fits, f"{datetime.now(timezone.utc):%Y-%m-%d}"), options)
    print("\n".join(table(fits, lambda one: usable_rps(one.point, slo_p95_ms))))
    print(f'{out}: written; name it in board.profile = "{out.resolve()}"')
    return 0


class _Job(NamedTuple):
    """What is to be done."""

    options: argparse.Namespace
    config: Config
    base: BoardProfile
    application: Application


Found = tuple[float, list[Fit]]


async def _until_stopped(job: _Job) -> Found | None:
    """The promise and the fits; None when stopped."""
    working = asyncio.create_task(_work(job))
    stopped = asyncio.create_task(stop_asked(until_eof=False))
    await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    await ended(working, times=2, again_s=90.0)
    await ended(stopped)
    return None if working.cancelled() or not working.done() else working.result()


async def _work(job: _Job) -> Found:
    options, config, base = job.options, job.config, job.base
    clock = Clock(time.monotonic, time.time, config.clock)
    hands: Hands = (
        SocketHands(config.board.actuator_socket, base.points)
        if config.board.actuator_socket
        else Eyes(Tree(config.reader.root), time.monotonic)
    )
    readers = Readers(readers_of(config, config.reader.interval_s, clock), clock)
    reading = asyncio.create_task(readers.run())
    load = Applications(config.load) if config.load else None
    try:
        if why := await who_governs(config, hands):
            raise BadMeasurementError(why)
        stands = (await hands.look()).point
        policy = Policy() if options.this_mode_only else await fleet_policy(config)
        plan = Plan(
            points=_order(base, policy, stands, this_only=options.this_mode_only),
            slo_p95_ms=policy.slo_p95_ms,
            most=options.max_points,
            seconds=seconds(options.time),
            most_rps=options.max_rps,
        )
        await _first_sample(readers)
        power = PowerRule(Calibration(config.board.power_gain, config.board.power_offset_w))
        here = stands if options.this_mode_only else None
        sweep = Sweep(hands, readers, job.application.ask, clock, power, _say, load, here)
        return plan.slo_p95_ms, await sweep.run(plan)
    finally:
        await hands.restore()
        await ended(reading)
        await hands.close()
        job.application.close()
        if load:
            load.close()


def _say(line: str) -> None:
    print(line, flush=True)


def _order(
    base: BoardProfile, policy: Policy, stands: str | None, *, this_only: bool
) -> list[OperatingPoint]:
    """The points to measure: where it stands first, then the strongest. ValueError where there is none."""
    if this_only:
        points = [point for point in base.points if point.name == stands]
        if not points:
            where = stands or "a mode that can't be read"
            raise BadMeasurementError(f"the board stands at {where}, which is no point of {base.name}")
        return points
    points = allowed(base.points, policy)
    return sorted(points, key=lambda point: (point.name != stands, -point.capacity_rps))


async def _first_sample(readers: Readers) -> None:
    deadline_s = time.monotonic() + FIRST_SAMPLE_S
    while time.monotonic() < deadline_s:
        if any(timed.sample.rails for timed in readers.take()):
            return
        await asyncio.sleep(LOOK_S)
    raise BadMeasurementError(
        "nothing reads this board's power, so nothing can be measured; `tidewatt-agent doctor` says more"
    )


def _writable(out: Path) -> Path:
    """The path, if a file can be written there: to know that before the minutes, not after them."""
    if out.suffix != ".toml":
        raise ValueError(f"--out {out} doesn't end in .toml: board.profile takes it for a file by that")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise ValueError(f"--out {out}: no file can be written in {out.parent}")
    return out


def _write(out: Path, profile: BoardProfile, options: argparse.Namespace) -> None:
    head = (
        f"# Board profile, measured by `tidewatt-agent calibrate`\n"
        f"# with requests to {without_user(options.url)}. Points with measured = false were\n"
        "# not reached: they are the class default, moved in proportion to the measured ones.\n\n"
    )
    rounded = msgspec.structs.replace(profile, points=[_rounded(point) for point in profile.points])
    replace_file(out, (head + to_toml(rounded)).encode(), 0o644)


def _rounded(point: OperatingPoint) -> OperatingPoint:
    figures = ("capacity_rps", "idle_watts", "joules_per_request", "light_p95_ms", "queueing")
    return msgspec.structs.replace(
        point, **{name: float(f"{getattr(point, name):.{DIGITS}g}") for name in figures}
    )
