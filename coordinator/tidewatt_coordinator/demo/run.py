"""The demo, in order: choose ports, start the coordinator, the machine room, the agents, and
let the day pass.

Nothing is short-circuited: the figures at the end went through tegrastats lines, the
application's metrics, MQTT and the ledger.
"""

import asyncio
import contextlib
import json
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tidewatt_coordinator import broker
from tidewatt_coordinator.access.gate import now_ms
from tidewatt_coordinator.access.settings import Access, is_loopback
from tidewatt_coordinator.app import Coordinator, running
from tidewatt_coordinator.config import Broker, Config, Ledger, Models, PolicyKeys, host_port
from tidewatt_coordinator.config import Coordinator as CoordinatorConfig
from tidewatt_coordinator.demo import summary
from tidewatt_coordinator.demo.processes import (
    BoardDoors,
    Child,
    agent_config,
    room_config,
    stop,
    write_toml,
)
from tidewatt_coordinator.keys.folder import KeyFolder
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.web.models import FleetNow
from tidewatt_governor.traffic import Trace, TraceError, parse_trace, scaled, shipped_day
from tidewatt_link.ending import within
from tidewatt_wire.clock import Timebase
from tidewatt_wire.documents import decode_text

FLEET = "demo"
#: The agents' own limit, said again here because the summary tells what it led to.
MOST_TICKS_PER_REAL_SECOND = 10.0
#: Real seconds given to every process to come up before the day begins.
LEAD_S = 2.0
LEAD_PER_DEVICE_S = 0.4
BUCKET_S = 60
REFRESH_S = 0.5
#: The dispatcher's own guesses at how fast capacity goes and demand comes, unseen, in real time.
LOSS_PER_S, GROWTH_PER_S = 0.0005, 0.001


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked for."""

    devices: int
    speed: float
    once: bool
    trace: Path | None
    json: Path | None
    listen: str
    broker_port: int | None
    seed: int


async def run(options: Options, console: Console) -> bool:
    """Run the demo until the day is over (--once) or Ctrl-C. False if conservation didn't hold."""
    trace = _read_trace(options.trace)
    asked_to_stop = _on_signals()
    lead_s = LEAD_S + LEAD_PER_DEVICE_S * options.devices
    timebase = Timebase(trace.start_ms, time.monotonic() + lead_s, options.speed)
    end_ms = trace.end_ms
    port = options.broker_port or broker.free_port()
    devices = [f"jetson-{number:02d}" for number in range(1, options.devices + 1)]

    def progress(now_ms: int) -> float:
        days = max(0.0, (now_ms - trace.start_ms) / (end_ms - trace.start_ms))
        return min(1.0, days) if options.once else days % 1.0

    with tempfile.TemporaryDirectory(prefix="tidewatt-") as name:
        folder = Path(name)
        config = _coordinator_config(options, port, folder, timebase)
        key = KeyFolder(Path(config.policy_keys.folder)).new()
        async with (
            running(config, progress) as coordinator,
            _children(devices, folder, timebase, port, options, key.trusted.public) as children,
        ):
            _made, admin = coordinator.entry.keys.make("admin", now_ms(), name="demo", made_by="demo")
            console.print(f"page: http://{options.listen}   Ctrl-C stops", highlight=False)
            console.print(f"to change something, log in with {admin}", highlight=False, soft_wrap=True)
            await _watch(coordinator, children, options, end_ms, progress, asked_to_stop, console)
            await stop(children[1:])
            await _settle(coordinator, devices)
            now = await asyncio.to_thread(coordinator.now)
            files = [folder / device / "counters.json" for device in devices]
            kept = summary.conservation(files, devices, coordinator.ledger.totals())
    _conclude(options, now, kept, asked_to_stop.is_set(), console)
    lived_ms = (min(now.now_ms, end_ms) if options.once else now.now_ms) - trace.start_ms
    lived_s = options.devices * lived_ms / 1000
    if sentence := summary.unmeasured(now.unmeasured_seconds, lived_s, options.speed):
        console.print(sentence, highlight=False)
    return kept.holds


def _read_trace(path: Path | None) -> Trace:
    if path is None:
        return shipped_day()
    trace = parse_trace(decode_text(path.read_bytes(), str(path)), name=str(path))
    try:
        scaled(trace, 1.0)
    except TraceError as error:
        raise TraceError(f"{path}: {error}") from error
    return trace


def _on_signals() -> asyncio.Event:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    return asked


def _coordinator_config(options: Options, port: int, folder: Path, timebase: Timebase) -> Config:
    # A report takes a tick and the way; at high speed both are long in virtual time.
    tick_s = tick_seconds(options.speed)
    return Config(
        coordinator=CoordinatorConfig(fleet=FLEET, listen=options.listen),
        # Whoever is on this machine may look; whoever comes from another needs the key.
        access=Access(anonymous="viewer" if is_loopback(host_port(options.listen)[0]) else "none"),
        broker=Broker(embedded_port=port),
        ledger=Ledger(url=f"sqlite:///{folder / 'ledger.db'}", bucket_s=BUCKET_S),
        dispatch=Dispatch(
            every_s=max(10.0, tick_s),
            valid_s=max(120.0, 12 * tick_s),
            stale_after_s=max(60.0, 20 * tick_s),
            # What a tick may hide at the most is the same, however long it is stretched.
            capacity_loss_per_s=LOSS_PER_S / max(1.0, tick_s / 10.0),
            demand_growth_per_s=GROWTH_PER_S / max(1.0, tick_s / 10.0),
        ),
        policy_keys=PolicyKeys(folder=str(folder / "policy-keys")),
        models=Models(folder=str(folder / "models")),
        clock=timebase,
    )


def tick_seconds(speed: float) -> float:
    """The agents' virtual tick: 1 s, stretched so that no agent ticks more than ten times a real second."""
    return max(1.0, speed / MOST_TICKS_PER_REAL_SECOND)


@contextlib.asynccontextmanager
async def _children(
    devices: list[str], folder: Path, timebase: Timebase, port: int, options: Options, policy_key: str
) -> AsyncIterator[list[Child]]:
    """The machine room, then the agents; all are stopped in the end, whatever happens."""
    url = f"mqtt://{broker.HOST}:{port}"
    trace = str(options.trace.resolve()) if options.trace else ""
    children: list[Child] = []
    try:
        config = room_config(
            FLEET,
            devices,
            folder,
            timebase,
            url,
            policy_key,
            trace=trace,
            repeat=not options.once,
            seed=options.seed,
        )
        room = await Child.start("room", ["simulate", str(write_toml(folder / "room.toml", config))], folder)
        children.append(room)
        doors = msgspec.json.decode(await room.ready_line(), type=dict[str, BoardDoors])
        for device in devices:
            state = folder / device
            state.mkdir()
            config = agent_config(FLEET, device, doors[device], timebase, url, policy_key, state)
            path = write_toml(folder / f"{device}.toml", config)
            arguments = ["run", "--until-eof", "--config", str(path)]
            children.append(await Child.start(device, arguments, folder))
        yield children
    finally:
        await stop(children)


async def _watch(
    coordinator: Coordinator,
    children: list[Child],
    options: Options,
    end_ms: int,
    progress: Callable[[int], float],
    asked_to_stop: asyncio.Event,
    console: Console,
) -> None:
    """Show the day passing until it is over or somebody asks to stop."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        day = bar.add_task("the day begins", total=1.0)
        while not asked_to_stop.is_set():
            coordinator.check()
            for child in children:
                child.check()
            now_ms = coordinator.clock.now_ms()
            if now_ms >= end_ms and options.once:
                return
            _show(bar, day, await asyncio.to_thread(coordinator.now), progress(now_ms))
            with contextlib.suppress(asyncio.TimeoutError):
                await within(asked_to_stop.wait(), REFRESH_S)


def _show(bar: Progress, day: TaskID, now: FleetNow, share: float) -> None:
    modes: dict[str, int] = {}
    for device in now.devices:
        if device.point:
            modes[device.point] = modes.get(device.point, 0) + 1
    against = now.policies.get("max_freq")
    saving = against.saving_share if against else None
    clock = time.strftime("%H:%M", time.gmtime(now.now_ms / 1000))
    sentence = (
        f"{clock}  {now.online}/{len(now.devices)} online  "
        f"{_or_dash(now.requests_rps, '.0f')} rps  {_or_dash(now.watts, '.1f')} W  "
        + " ".join(f"{count}x{mode}" for mode, count in sorted(modes.items()))
        + (f"  saves {saving:.1%} of MaxFreq" if saving is not None else "")
    )
    bar.update(day, completed=share, description=sentence)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


async def _settle(coordinator: Coordinator, devices: list[str]) -> None:
    """Wait, within reason, until every device's goodbye is here: its last report came before it."""
    for _ in range(50):
        known = coordinator.fleet.devices
        if all(name in known and known[name].will is not None for name in devices):
            break
        await asyncio.sleep(0.1)
    await coordinator.ingest.merge()


def _conclude(
    options: Options, now: FleetNow, kept: summary.Conservation, interrupted: bool, console: Console
) -> None:
    tick_s = tick_seconds(options.speed)
    console.print(summary.table(now))
    console.print(
        f"{options.devices} device{'s' if options.devices > 1 else ''} at {options.speed:g}x"
        + (f", the virtual tick stretched from 1 s to {tick_s:g} s" if tick_s > 1.0 else "")
        + f"; energy: devices {kept.devices_mj / 1000:,.3f} J, ledger {kept.ledger_mj / 1000:,.3f} J"
        + ("" if kept.holds else ": THEY DIFFER"),
        highlight=False,
    )
    if options.json:
        set_up = {
            "devices": options.devices,
            "speed": options.speed,
            "tick_s": tick_s,
            "trace": str(options.trace) if options.trace else "bundled day",
            "seed": options.seed,
            "complete": not interrupted,
        }
        options.json.write_text(json.dumps(summary.document(now, kept, set_up), indent=2) + "\n", "utf-8")
