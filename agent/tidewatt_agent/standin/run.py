"""The machine room as a process: boards, traffic, and the proxy that shares it out.

It reads one TOML file, follows the dispatch table on MQTT as a real proxy would, prints one
line of JSON that says where its boards' doors are, and lives until SIGTERM or the end of
its standard input.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import aiomqtt
import msgspec

from tidewatt_agent.standin.doors import BoardDoors, Doors
from tidewatt_agent.standin.room import Room
from tidewatt_governor.boards import load_profile
from tidewatt_governor.traffic import parse_trace, scaled, shipped_day
from tidewatt_link.connection import Connection
from tidewatt_link.ending import ended
from tidewatt_link.stopping import stop_asked
from tidewatt_wire.clock import Clock, Timebase
from tidewatt_wire.codec import Refused, decode
from tidewatt_wire.documents import decode_text, to_toml
from tidewatt_wire.keys import trusted_key
from tidewatt_wire.messages import DispatchTable, TrustedKey
from tidewatt_wire.signing import DISPATCH_TYPE, EnvelopeRefused, open_envelope
from tidewatt_wire.topics import FleetTopic

log = logging.getLogger(__name__)

#: Real seconds between two advances when nobody looks in.
STEP_S = 0.1


class RoomConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the machine room holds."""

    fleet: str
    devices: list[str]
    folder: str
    """Where the boards' sockets are made."""
    clock: Timebase | None = None
    """A virtual timebase, shared with the agents; absent: the machine's own time."""
    broker: str = ""
    """mqtt://host:port of the dispatch table; empty means equal shares."""
    policy_keys: list[str] = msgspec.field(default_factory=list)
    """Public keys that dispatch tables may be signed with, in base64; without one none is taken."""
    profile: str = "orin-nano-super"
    trace: str = ""
    """A `timestamp,requests_per_minute` CSV file; empty means the bundled day."""
    peak_rps_per_board: float = 300.0
    """The trace's 99.5th percentile, per board."""
    repeat: bool = False
    """Whether the trace begins anew when it is over."""
    seed: int = 1
    page: str = "127.0.0.1:0"
    """host:port of the applications' metrics pages; port 0 takes a free one."""


async def run(config: RoomConfig, configs: Path | None = None) -> None:
    """Be the machine room until SIGTERM or SIGINT, or the end of standard input.

    `configs`: a folder for a configuration of each board's agent; then standard input may end.
    """
    trace = (
        parse_trace(decode_text(Path(config.trace).read_bytes(), config.trace), name=config.trace)
        if config.trace
        else shipped_day()
    )
    trace = msgspec.structs.replace(trace, repeat=config.repeat)
    clock = Clock(time.monotonic, time.time, config.clock)
    room = Room(
        config.devices,
        load_profile(config.profile),
        scaled(trace, config.peak_rps_per_board * len(config.devices)),
        clock.now_ms(),
        config.seed,
    )
    Path(config.folder).mkdir(parents=True, exist_ok=True)
    doors = Doors(room, clock, Path(config.folder), config.broker)
    host, _, port = config.page.rpartition(":")
    boards = await doors.open(host, int(port))
    if configs is not None:
        for device, door in boards.items():
            _write(configs, device, config, door)
    print(msgspec.json.encode(boards).decode(), flush=True)  # noqa: T201 - the ready line

    keys = [trusted_key(key) for key in config.policy_keys]
    tasks = [asyncio.create_task(_live(room, clock))]
    if config.broker:
        tasks.append(
            asyncio.create_task(follow_dispatch(Connection(config.broker), config.fleet, room, keys))
        )
    await stop_asked(until_eof=configs is None)
    await ended(*tasks)
    await doors.close()


def _write(configs: Path, device: str, config: RoomConfig, door: BoardDoors) -> None:
    """The configuration of a board's agent: DEVICE.toml, unless it is there already."""
    configs.mkdir(parents=True, exist_ok=True)
    path = configs / f"{device}.toml"
    if path.exists():
        return  # enrolment may have written into it
    here = Path.cwd()
    document = {
        "agent": {"fleet": config.fleet, "device": device, "control": "enforce"},
        "board": {"profile": config.profile, "actuator_socket": str(here / door.actuator_socket)},
        "reader": {"kind": "tegrastats"},
        "tegrastats": {"command": [*door.tegrastats[:-1], str(here / door.tegrastats[-1])]},
        "load": [{"url": door.metrics_url, "labels": {"cluster": "jetson"}}],
        "metrics": {"listen": ""},
        "state": {"folder": str(here / configs / f"{device}.state")},
    }
    if config.clock:
        document["clock"] = msgspec.to_builtins(config.clock)
    path.write_text(to_toml(document), "utf-8")


async def _live(room: Room, clock: Clock) -> None:
    while True:
        room.advance(clock.now_ms())
        await asyncio.sleep(STEP_S)


async def follow_dispatch(broker: Connection, fleet: str, room: Room, trusted: Sequence[TrustedKey]) -> None:
    """Hand every dispatch table of the fleet that a trusted key signed to the room, for ever."""
    while True:
        try:
            async with broker.client() as client:
                await client.subscribe(str(FleetTopic(fleet, "dispatch")), qos=1)
                async for message in client.messages:
                    try:
                        envelope = bytes(message.payload)
                        table = decode(DispatchTable, open_envelope(envelope, trusted, DISPATCH_TYPE))
                    except (EnvelopeRefused, Refused) as error:
                        log.warning("dispatch table refused: %s", error)
                        continue
                    if table.fleet == fleet:
                        room.offer(table)
        except aiomqtt.MqttError as error:
            log.warning("dispatch: %s", error)
            await asyncio.sleep(1.0)
