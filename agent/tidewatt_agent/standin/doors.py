"""The doors of the stand-in boards: tegrastats stream, actuator socket, application page."""

import asyncio
import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tidewatt_agent.standin import tegrastats
from tidewatt_agent.standin.actuator import BoardActuator
from tidewatt_agent.standin.board import compose
from tidewatt_agent.standin.room import Room
from tidewatt_agent.standin.slumber import Slumber
from tidewatt_agent.standin.uplink import Uplink
from tidewatt_governor.simulate.printing import application_metrics, tegrastats_line
from tidewatt_wire.brokers import parse_broker_url
from tidewatt_wire.clock import Clock

#: Real seconds between two lines at the least, however fast virtual time runs.
SHORTEST_INTERVAL_S = 0.1
#: Real seconds that a switch may wait for the room.
SWITCH_TIMEOUT_S = 10.0
LONGEST_INTERVAL_MS = 3_600_000


class BoardDoors(msgspec.Struct, frozen=True):
    """Where an agent enters one board: the same three doors as on a real one."""

    tegrastats: list[str]
    """The command that prints tegrastats lines."""
    actuator_socket: str
    metrics_url: str
    broker_url: str = ""
    """The broker through the board's own network, which fails with it; empty where the room has no broker."""


class Doors:
    """Serves every board of a room; `open` and `close` once each."""

    def __init__(self, room: Room, clock: Clock, folder: Path, broker: str = "") -> None:
        """`broker`: the URL of what the boards' networks lead to."""
        self._room, self._clock, self._folder, self._broker = room, clock, folder, broker
        self._servers: list[asyncio.AbstractServer] = []
        self._actuators: list[BoardActuator] = []
        self._slumbers: dict[str, Slumber] = {}
        self._uplinks: dict[str, Uplink] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self, host: str, port: int) -> dict[str, BoardDoors]:
        """Listen, and say where each board's doors are; OSError if a port or path is taken."""
        self._loop = asyncio.get_running_loop()
        for device in self._room.boards:
            self._servers.append(
                await asyncio.start_unix_server(
                    lambda r, w, d=device: self._guard(self._tegrastats(d, r, w), w),  # type: ignore[misc]
                    self._path(device, "tegrastats"),
                )
            )
            root = self._path(device, "root")
            compose(self._room.profile, root)
            slumber = self._slumbers[device] = Slumber(root, self._clock, partial(self._heard_sleep, device))
            self._actuators.append(
                BoardActuator(
                    root,
                    self._path(device, "actuator"),
                    partial(self._heard, device),
                    partial(self._heard_caps, device),
                    slumber,
                )
            )
        page = await asyncio.start_server(lambda r, w: self._guard(self._page(r, w), w), host, port)
        self._servers.append(page)
        port = page.sockets[0].getsockname()[1]
        return {
            device: BoardDoors(
                tegrastats=[
                    sys.executable,
                    "-I",
                    "-S",
                    tegrastats.__file__,
                    str(self._path(device, "tegrastats")),
                ],
                actuator_socket=str(self._path(device, "actuator")),
                metrics_url=f"http://{host}:{port}/{device}/metrics",
                broker_url=await self._connect(device),
            )
            for device in self._room.boards
        }

    async def close(self) -> None:
        """Stop listening, and put the boards back."""
        for server in self._servers:
            server.close()
        for uplink in self._uplinks.values():
            uplink.close()
        # Beside the loop, which the boards need to be put back.
        await asyncio.gather(*(asyncio.to_thread(actuator.stop) for actuator in self._actuators))

    async def _connect(self, device: str) -> str:
        """The board's uplink, if there is something to connect to."""
        if not self._broker:
            return ""
        url, slumber = parse_broker_url(self._broker, "broker"), self._slumbers[device]
        uplink = self._uplinks[device] = Uplink(url.host, url.port, lambda: slumber.cut_off)
        return str(msgspec.structs.replace(url, host="127.0.0.1", port=await uplink.listen()))

    def _path(self, device: str, door: str) -> Path:
        return self._folder / f"{device}.{door}"

    async def _guard(self, talk: Any, writer: asyncio.StreamWriter) -> None:
        # A peer that goes away in the middle of a talk ends the talk, nothing else. So does our
        # own end, which asyncio would otherwise log as an error of this callback.
        try:
            with contextlib.suppress(
                OSError, asyncio.IncompleteReadError, ValueError, asyncio.CancelledError
            ):
                await talk
        finally:
            writer.close()

    async def _tegrastats(
        self, device: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """The peer says its interval in virtual ms, then gets a line per interval."""
        interval_ms = min(LONGEST_INTERVAL_MS, max(1, int(await reader.readline())))
        pause_s = max(SHORTEST_INTERVAL_S, self._clock.real_seconds(interval_ms / 1000.0))
        state = self._room.boards[device].state
        first_energy_j = energy_j = state.energy_j
        first_s = at_s = state.clock_s
        while True:
            await asyncio.sleep(pause_s)
            self._room.advance(self._clock.now_ms())
            state = self._room.boards[device].state
            if state.clock_s <= at_s:
                continue
            if self._slumbers[device].asleep:
                # Nothing prints while everything stands still; what it drew meanwhile nobody on it measured.
                energy_j, at_s = state.energy_j, state.clock_s
                continue
            line = tegrastats_line(
                state,
                self._room.profile,
                self._room.now_ms,
                watts=(state.energy_j - energy_j) / (state.clock_s - at_s),
                average_watts=(state.energy_j - first_energy_j) / (state.clock_s - first_s),
            )
            energy_j, at_s = state.energy_j, state.clock_s
            writer.write(line.encode() + b"\n")
            await writer.drain()

    def _heard(self, device: str, mode_id: int) -> None:
        """In the actuator's thread: let the board switch, at this moment of its time."""
        assert self._loop  # noqa: S101 - open has been called
        asyncio.run_coroutine_threadsafe(self._switch(device, mode_id), self._loop).result(SWITCH_TIMEOUT_S)

    def _heard_caps(self, device: str, shown: dict[str, int]) -> None:
        """In the actuator's thread, like a mode."""
        assert self._loop  # noqa: S101 - open has been called
        asyncio.run_coroutine_threadsafe(self._cap(device, shown), self._loop).result(SWITCH_TIMEOUT_S)

    def _heard_sleep(self, device: str, asleep: bool) -> None:
        """In the actuator's thread: the board falls asleep, or wakes."""
        assert self._loop  # noqa: S101 - open has been called
        asyncio.run_coroutine_threadsafe(self._sleep(device, asleep), self._loop).result(SWITCH_TIMEOUT_S)

    async def _sleep(self, device: str, asleep: bool) -> None:
        self._room.advance(self._clock.now_ms())
        self._room.set_asleep(device, asleep=asleep)
        if self._slumbers[device].cut_off and device in self._uplinks:
            self._uplinks[device].cut()

    async def _cap(self, device: str, shown: dict[str, int]) -> None:
        self._room.advance(self._clock.now_ms())
        self._room.set_caps(device, shown)

    async def _switch(self, device: str, mode_id: int) -> None:
        self._room.advance(self._clock.now_ms())
        self._room.set_mode(device, mode_id)

    async def _embed(self, device: str) -> bytes:
        """The status of the answer, when it is time for it."""
        latency_s = self._room.ask(device)
        if latency_s is None:
            return b"503 Service Unavailable"
        await asyncio.sleep(self._clock.real_seconds(latency_s))
        return b"200 OK"

    async def _page(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """HTTP/1.1 with keep-alive: GET /<device>/metrics, and /<device>/embed, which is a request."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            device, _, page = head.split(b" ", 2)[1].decode().strip("/").partition("/")
            board = self._room.boards.get(device)
            if board and self._slumbers[device].silent:
                status, body = b"503 Service Unavailable", b"the application is not there\n"
            elif board and page == "embed":
                status, body = await self._embed(device), b"{}"
            else:
                self._room.advance(self._clock.now_ms())
                body = application_metrics(board.state).encode() if board else b"no such board\n"
                status = b"200 OK" if board else b"404 Not Found"
            writer.write(
                b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain; version=0.0.4\r\n"
                b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
            )
            await writer.drain()
