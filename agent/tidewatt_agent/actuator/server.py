"""The socket: a closed vocabulary, one JSON object a line, for one user of the machine.

    {"op": "modes"}             -> {"modes": {"15W": 0, ...}, "default": 1, "clocks": {"gpu": [...]}}
    {"op": "state"}             -> {"mode_id": 1, "fitting": [1], "caps": {"gpu": 918000000}, "changed": true}
    {"op": "set_mode", "id": 3} -> {"kind": "applied", "detail": "", "mode_id": 3, ...}
    {"op": "set_caps", "caps": {"gpu": 408000000, "cpu": null}} -> the same; null takes a cap away
    {"op": "restore"}           -> the same
    {"op": "plan_reboot", "id": 2}, then {"op": "reboot", "id": 2} -> the same; the state tells of it
    {"op": "reboot_seen"}       -> {}: how it ended has been told on
    {"op": "sleep_ready"}       -> {"why_not": "", "boot": "...", "rtc_s": 1795000000}
    {"op": "sleep", "for_s": 900} -> when it is awake again: {"slept_s": 898.0, "late_s": 0.0, ...}
    {"op": "keepalive"}         -> {}

Anything else is answered {"error": "sentence"}. When the connection that changed the board closes
without `restore`, or says nothing for the keepalive time, the board is put back as it was found.
"""

import errno
import logging
import selectors
import socket
import struct
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from tidewatt_agent.actuator import onfile
from tidewatt_agent.actuator.nap import NapRefusedError, Naps
from tidewatt_agent.actuator.reboot import Plan
from tidewatt_agent.actuator.transaction import Actuator, Result

log = logging.getLogger(__name__)

#: A request is some tens of bytes.
LONGEST_REQUEST = 4096
#: The agent has one connection; a person looking in, another.
MOST_CONNECTIONS = 8
BACKLOG = 16
#: Seconds of silence after which a connection makes room for another one.
IDLE_S = 5.0
#: Seconds between two looks at the keepalive.
LOOK_S = 0.5
#: A board that refuses to go anywhere is asked again after this, twice as long each time.
FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 300.0
#: Services may take their time to stop.
REBOOT_COMES_WITHIN_S = 600.0
_CREDENTIALS = struct.Struct("3i")

DAY_S = 86_400.0
HERTZ = onfile.optional(onfile.within(0, 10**12))
ID = {"id": onfile.within(0, 1_000_000)}


def _nap(value: object) -> bool:
    return onfile.number(value) and 0.0 < value <= DAY_S  # type: ignore[operator]


#: What may be asked, and with which words.
REQUESTS: dict[str, onfile.Fields] = {
    "modes": {},
    "state": {},
    "set_mode": ID,
    "set_caps": {"caps": onfile.each_by_name(HERTZ, most=64, longest=32)},
    "restore": {},
    "plan_reboot": ID,
    "reboot": ID,
    "reboot_seen": {},
    "sleep_ready": {},
    "sleep": {"for_s": _nap},
    "keepalive": {},
}


class Request(NamedTuple):
    """One of them: what is asked, and its words, all of them good."""

    op: str
    given: dict[str, Any]


def parse_request(line: bytes) -> Request:
    """The request of a line; ValueError says why it is none."""
    op = onfile.document(line).get("op")
    words = REQUESTS.get(op) if isinstance(op, str) else None
    if words is None:
        raise ValueError("it asks for nothing that is known here")
    fields = {"op": onfile.text, **words}
    given = onfile.read(line, fields, needed=tuple(fields), closed=True)
    return Request(given.pop("op"), given)


class Connection:
    """A peer: what it has said so far, and whether it changed the board."""

    def __init__(self, peer: socket.socket, now_s: float) -> None:
        self.socket = peer
        self.heard = b""
        self.heard_s = now_s
        self.changed = False


class Server:
    """One thread, one request at a time. `serve` returns when told to stop."""

    def __init__(
        self,
        actuator: Actuator,
        users: Collection[int],
        keepalive_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        naps: Naps | None = None,
    ) -> None:
        """`users`: the user ids that may speak; `naps`: what lets the board sleep, None if nothing does."""
        self._actuator, self._users, self._naps = actuator, users, naps
        self._keepalive_s, self._monotonic = keepalive_s, monotonic
        self._selector = selectors.DefaultSelector()
        self._connections = 0
        self._retry_s = FIRST_RETRY_S
        self._tried_s = monotonic()
        self._asked_s: float | None = None

    def serve(self, listener: socket.socket, stopped: Callable[[], bool]) -> None:
        """Answer until `stopped()`; the board is put back at the end, and first after an earlier life."""
        self._put_back("an earlier life left it changed")
        self._wake()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        try:
            while not stopped():
                waiting = any(b"\n" in peer.heard for peer in self._peers())
                for key, _ in self._selector.select(0.0 if waiting else LOOK_S):
                    if key.data is None:
                        self._accept(listener)
                    else:
                        self._hear(key.data)
                for peer in self._peers():
                    # Told to stop, it stops: what is still to be answered isn't waited for.
                    if b"\n" in peer.heard and not stopped():
                        self._answer_one(peer)
                self._mistrust_silence()
                self._keep_alarm()
                self._free()
                self._give_up_waiting()
        finally:
            for key in list(self._selector.get_map().values()):
                if key.data is not None:
                    key.data.changed = False  # once, below, for all of them
                    self._close(key.data)
            self._put_back("the actuator ends")
            self._selector.close()

    def _mistrust_silence(self) -> None:
        """Put back what was changed by somebody who has not spoken for too long."""
        for peer in self._peers():
            if peer.changed and self._monotonic() - peer.heard_s > self._keepalive_s:
                peer.changed = False
                self._put_back(f"who changed it has been silent for {self._keepalive_s:.0f} s")

    def _peers(self) -> list[Connection]:
        return [key.data for key in self._selector.get_map().values() if key.data is not None]

    def _free(self) -> None:
        """Try again to put back a board that is stuck."""
        if not self._actuator.stuck:
            self._retry_s, self._tried_s = FIRST_RETRY_S, self._monotonic()
        elif self._monotonic() - self._tried_s >= self._retry_s:
            self._put_back("it was stuck")
            self._retry_s, self._tried_s = min(LONGEST_RETRY_S, 2.0 * self._retry_s), self._monotonic()

    def _keep_alarm(self) -> None:
        try:
            if self._naps:
                self._naps.watch()
        except OSError as error:
            log.error("the alarm can't be kept ahead of a suspend that may come: %s", error)  # noqa: TRY400

    def _wake(self) -> None:
        try:
            self._actuator.wake()
        except (OSError, ValueError) as error:
            log.error("what became of the planned reboot isn't known: %s", error)  # noqa: TRY400

    def _give_up_waiting(self) -> None:
        """A reboot that has been asked for and does not come was not meant to be."""
        if self._asked_s is not None and self._monotonic() - self._asked_s > REBOOT_COMES_WITHIN_S:
            log.warning("the reboot did not come: its files are put back")
            self._asked_s = None
            try:
                self._actuator.cancel_reboot()
            except (OSError, ValueError) as error:
                log.error("they can't be: %s", error)  # noqa: TRY400 - a sentence is enough

    def _accept(self, listener: socket.socket) -> None:
        try:
            peer, _ = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(LOOK_S)  # it stays readable: not as fast as we can
            return  # else it has gone already
        peer.setblocking(False)
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, user, _ = _CREDENTIALS.unpack(raw)
        if user in self._users and self._connections >= MOST_CONNECTIONS:
            self._make_room()
        if user not in self._users or self._connections >= MOST_CONNECTIONS:
            why = "too many connections" if user in self._users else f"user {user} may not"
            log.warning("refused a connection: %s", why)
            _send(peer, {"error": why})
            peer.close()
            return
        self._connections += 1
        self._selector.register(peer, selectors.EVENT_READ, Connection(peer, self._monotonic()))

    def _make_room(self) -> None:
        """Hang up on who has been silent longest, if he has changed nothing and has had his time."""
        idle = [peer for peer in self._peers() if not peer.changed]
        longest = min(idle, key=lambda peer: peer.heard_s, default=None)
        if longest and self._monotonic() - longest.heard_s > IDLE_S:
            self._close(longest)

    def _hear(self, peer: Connection) -> None:
        """Take what has come, unless there still is something to answer: one request at a time."""
        if b"\n" in peer.heard:
            return
        try:
            part = peer.socket.recv(LONGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self._close(peer)
            return
        peer.heard += part
        if len(peer.heard) > LONGEST_REQUEST and b"\n" not in peer.heard:
            _send(peer.socket, {"error": f"a request has at most {LONGEST_REQUEST} bytes"})
            self._close(peer)

    def _answer_one(self, peer: Connection) -> None:
        line, _, peer.heard = peer.heard.partition(b"\n")
        if not _send(peer.socket, self._answer(peer, line)):
            self._close(peer)

    def _answer(self, peer: Connection, line: bytes) -> dict[str, Any]:
        try:
            request = parse_request(line)
        except ValueError as error:
            return {"error": f"not a request: {error}"}
        try:
            return self._do(peer, request)
        except (OSError, ValueError) as error:
            log.warning("%s: %s", request.op, error)
            return {"error": str(error)}
        finally:
            peer.heard_s = self._monotonic()  # a long switch is no silence

    def _do(self, peer: Connection, request: Request) -> dict[str, Any]:
        answer: dict[str, Any]
        match request.op:
            case "modes":
                modes = self._actuator.modes()
                names = {mode.name: mode.id for mode in modes.modes}
                answer = {"modes": names, "default": modes.default, "clocks": self._actuator.clocks()}
            case "state":
                state = self._actuator.state()._asdict()
                reboot = _shown(self._actuator.reboot)
                answer = {**state, "changed": self._actuator.changed, "reboot": reboot}
            case "keepalive":
                answer = {}
            case "sleep_ready":
                naps = self._sleeping()
                answer = {"why_not": naps.why_not(), "boot": naps.boot, "rtc_s": naps.rtc_s}
            case "sleep":
                answer = self._sleep(request.given["for_s"])
            case "reboot_seen":
                self._actuator.reboot_seen()
                answer = {}
            case _:
                answer = _told(self._act(peer, request))
        return answer

    def _act(self, peer: Connection, request: Request) -> Result:
        given = request.given
        match request.op:
            case "set_mode":
                return self._changed(peer, self._actuator.set_mode(given["id"]))
            case "set_caps":
                return self._changed(peer, self._actuator.set_caps(given["caps"]))
            case "plan_reboot":
                return self._actuator.plan_reboot(given["id"])
            case "reboot":
                asked = self._actuator.ask_reboot(given["id"])
                self._asked_s = self._monotonic() if asked.kind == "rebooting" else self._asked_s
                return asked
            case _:  # restore
                peer.changed = False
                return self._actuator.restore()

    def _sleeping(self) -> Naps:
        if self._naps is None:
            raise NapRefusedError("this actuator lets no board sleep")
        return self._naps

    def _sleep(self, for_s: float) -> dict[str, Any]:
        naps = self._sleeping()
        if self._actuator.reboot and self._actuator.reboot.stage == "asked":
            raise NapRefusedError("a reboot is under way")
        try:
            slept = naps.nap(for_s)
        finally:
            for peer in self._peers():
                peer.heard_s = self._monotonic()  # nobody was heard meanwhile: that is no silence of theirs
        log.info("slept for %.0f s, awake %.0f s after the alarm", slept.slept_s, slept.late_s)
        return slept._asdict()

    def _changed(self, peer: Connection, result: Result) -> Result:
        """Remember who changed the board last: it goes back when he goes."""
        if result.kind in ("applied", "stuck"):
            for one in self._peers():
                one.changed = one is peer
        return result

    def _close(self, peer: Connection) -> None:
        if peer.socket.fileno() < 0:
            return  # hung up on in the same round, to make room
        self._selector.unregister(peer.socket)
        peer.socket.close()
        self._connections -= 1
        if peer.changed:
            self._put_back("who changed it went away without a word")

    def _put_back(self, why: str) -> None:
        try:
            if self._actuator.changed:
                result = self._actuator.restore()
                log.info("the board is put back (%s): %s %s", why, result.kind, result.detail)
        except (OSError, ValueError) as error:
            log.error("the board can't be put back: %s", error)  # noqa: TRY400 - a sentence is enough


def _told(result: Result) -> dict[str, Any]:
    log.info("%s: mode %s %s", result.kind, result.state.mode_id, result.detail)
    return {"kind": result.kind, "detail": result.detail, **result.state._asdict()}


def _shown(reboot: Plan | None) -> dict[str, Any] | None:
    return None if reboot is None else {"to": reboot.to, "stage": reboot.stage, "seen": reboot.seen}


def _send(peer: socket.socket, answer: dict[str, Any]) -> bool:
    """Whether it could be sent at once: who doesn't listen to his answers isn't waited for."""
    line = onfile.write(answer) + b"\n"
    try:
        return peer.send(line) == len(line)
    except OSError:
        return False
