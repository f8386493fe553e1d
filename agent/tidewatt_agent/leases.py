"""Leases over the agent's local socket: `tidewatt-agent hold`, or any program that writes one JSON line.

    {"op": "hold", "min_mode": "25W", "for_s": 600, "reason": "batch"}   -> {"id": "1", "for_s": 600}
    {"op": "hold", ..., "while_connected": true}    the same, released when the connection closes
    {"op": "leases"}                                -> {"leases": [{"id": "1", "min_mode": "25W", ...}]}
    {"op": "release", "id": "1"}                    -> {}

Anything else is answered {"error": "sentence"}. Leases expire, and end with the agent: who still needs
the floor asks again.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Union

import msgspec

from tidewatt_governor.leases import Lease
from tidewatt_wire.clock import Clock
from tidewatt_wire.messages import Policy

log = logging.getLogger(__name__)

LONGEST_REQUEST = 4096
MOST_LEASES = 100
#: Connections at once: in all, and of one user.
MOST_CONNECTIONS = 64
MOST_OF_ONE = 16
_CREDENTIALS = struct.Struct("3i")


#: What is shown on terminals and in logs has no control characters.
PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]*$"


class Hold(msgspec.Struct, tag="hold", tag_field="op", forbid_unknown_fields=True):
    """Ask for a floor."""

    min_mode: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    for_s: Annotated[float, msgspec.Meta(gt=0, le=31_536_000)] = 600.0
    reason: Annotated[str, msgspec.Meta(max_length=200, pattern=PRINTABLE)] = "no reason given"
    while_connected: bool = False


class List(msgspec.Struct, tag="leases", tag_field="op", forbid_unknown_fields=True):
    """Ask which there are."""


class Release(msgspec.Struct, tag="release", tag_field="op", forbid_unknown_fields=True):
    """Give a floor back before its time."""

    id: Annotated[str, msgspec.Meta(max_length=63)]


Request = Union[Hold, List, Release]  # noqa: UP007 - evaluated by msgspec


class Given(msgspec.Struct, frozen=True):
    """When a lease was given (monotonic seconds), and to which user."""

    at_s: float
    user: int


class LeaseRefusedError(ValueError):
    """A lease can't be given; the sentence says why."""


class Leases:
    """The leases in force."""

    def __init__(self, points: Sequence[str], clock: Clock) -> None:
        """`points`: the names that can be held."""
        self._points, self._clock = list(points), clock
        self._leases: dict[str, Lease] = {}
        self._given: dict[str, Given] = {}
        self._peers: list[int] = []
        self._number = 0
        self.policy = Policy()
        """What caps leases: set by the tick."""

    def active(self) -> list[Lease]:
        """The leases that haven't expired, the oldest first."""
        now_s = self._clock.monotonic_s()
        for lease in list(self._leases.values()):
            # A policy that comes later caps what was given before it, too.
            until_s = min(lease.until_s, self._given[lease.id].at_s + self.policy.max_lease_s)
            self._leases[lease.id] = msgspec.structs.replace(lease, until_s=until_s)
            if until_s <= now_s:
                log.info("lease %s (%s) expired", lease.id, lease.reason)
                self._end(lease.id)
        return list(self._leases.values())

    def _end(self, lease_id: str) -> None:
        del self._leases[lease_id], self._given[lease_id]

    def hold(self, wanted: Hold, user: int = 0) -> Lease:
        """A new lease; LeaseRefusedError says why not. The policy caps its time."""
        if wanted.min_mode not in self._points:
            known = ", ".join(self._points) or "none on this board"
            raise LeaseRefusedError(f"no mode {wanted.min_mode!r} can be held; there are {known}")
        if len(self.active()) >= MOST_LEASES:
            raise LeaseRefusedError(f"there are {MOST_LEASES} leases already")
        seconds = min(wanted.for_s, self.policy.max_lease_s)
        if seconds <= 0.0:
            raise LeaseRefusedError("the policy allows no leases (max_lease_s = 0)")
        self._number += 1
        lease = Lease(
            id=str(self._number),
            point=wanted.min_mode,
            until_s=self._clock.monotonic_s() + seconds,
            reason=wanted.reason,
        )
        self._leases[lease.id] = lease
        self._given[lease.id] = Given(self._clock.monotonic_s(), user)
        log.info("lease %s: %s or more for %.0f s (%s)", lease.id, lease.point, seconds, lease.reason)
        return lease

    def release(self, lease_id: str, user: int = 0) -> None:
        """End a lease of that user's, or as root any; LeaseRefusedError when there is none of that id."""
        given = self._given.get(lease_id)
        if given is None:
            raise LeaseRefusedError(f"there is no lease {lease_id!r}")
        if user not in (0, given.user):
            raise LeaseRefusedError(f"lease {lease_id!r} is another user's")
        self._end(lease_id)

    async def serve(self, path: str) -> asyncio.AbstractServer:
        """Listen on a Unix socket; OSError if that can't be."""
        with contextlib.suppress(FileNotFoundError):
            Path(path).unlink()
        server = await asyncio.start_unix_server(self._talk, path, limit=LONGEST_REQUEST)
        Path(path).chmod(0o666)  # any program of the board may ask for a floor; the policy caps it
        return server

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, user, _ = _CREDENTIALS.unpack(raw)
        if len(self._peers) >= MOST_CONNECTIONS or self._peers.count(user) >= MOST_OF_ONE:
            writer.write(b'{"error": "too many connections"}\n')
            writer.close()
            return
        self._peers.append(user)
        try:
            await self._listen(reader, writer, user)
        finally:
            self._peers.remove(user)
            writer.close()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, user: int) -> None:
        tied: list[str] = []
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(self._answer(line, tied, user)) + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass  # it went away, or sent a line without an end
        finally:
            for lease_id in tied:
                with contextlib.suppress(LeaseRefusedError):
                    self.release(lease_id)

    def _answer(self, line: bytes, tied: list[str], user: int) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=Request)
            if isinstance(request, Hold):
                lease = self.hold(request, user)
                tied += [lease.id] if request.while_connected else []
                return {"id": lease.id, "for_s": self._left_s(lease)}
            if isinstance(request, Release):
                self.release(request.id, user)
                return {}
        except LeaseRefusedError as error:
            return {"error": str(error)}
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return {"error": f"not a request: {error}"}
        return {"leases": [self._shown(lease) for lease in self.active()]}

    def _shown(self, lease: Lease) -> dict[str, Any]:
        return {
            "id": lease.id,
            "min_mode": lease.point,
            "for_s": self._left_s(lease),
            "reason": lease.reason,
        }

    def _left_s(self, lease: Lease) -> float:
        return round(max(0.0, lease.until_s - self._clock.monotonic_s()), 1)
