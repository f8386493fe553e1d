"""A board of the chaos run: a stand-in tree, the real actuator on it, and what it must look like."""

import contextlib
import json
import socket
from pathlib import Path
from typing import Any

from tests import actuators

#: Real seconds of an agent's silence after which its actuator puts the board back.
KEEPALIVE_S = 5.0


class ActuatorUnit:
    """The actuator of one board as systemd would keep it: put back what a dead one left, then serve."""

    def __init__(self, board: actuators.Process) -> None:
        self._board = board
        said = board.start("--keepalive-s", "1", command="restore")
        if said.wait(60) != 0:
            raise AssertionError(f"the board can't be put back: {board.log.read_text()[-500:]}")
        with contextlib.suppress(FileNotFoundError):
            board.path.unlink()
        self._process = board.start("--keepalive-s", str(KEEPALIVE_S))
        board.started = [one for one in board.started if one.poll() is None]
        self.pid = self._process.pid

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self, longest_s: float) -> int:
        self._process.terminate()
        return self._process.wait(longest_s)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def text(self) -> str:
        return self._board.log.read_text()


class Board:
    """One board and what is kept of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.hands = actuators.Process(folder)
        self.found = self.hands.nodes()

    @property
    def untouched(self) -> bool:
        """Whether every node is as it was found, and nothing is left to undo."""
        return not self.hands.undo.exists() and self.hands.nodes() == self.found

    def stands(self) -> int | None:
        """The mode that the actuator reads from the nodes; None while nobody answers, or it is no mode."""
        if not self.hands.path.exists():
            return None
        try:
            talk = _Talk(self.hands.path)
        except OSError:
            return None
        try:
            return talk.mode_id()
        finally:
            talk.close()

    def modes(self) -> dict[str, int]:
        """The board's modes by name."""
        talk = _Talk(self.hands.path)
        try:
            found: dict[str, int] = talk.ask("modes")["modes"]
            return found
        finally:
            talk.close()

    def close(self) -> None:
        self.hands.close()


class _Talk:
    """A connection that gives up at once."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(5)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def ask(self, op: str) -> dict[str, Any]:
        self._socket.sendall(json.dumps({"op": op}).encode() + b"\n")
        found: dict[str, Any] = json.loads(self._file.readline() or b"{}")
        return found

    def mode_id(self) -> int | None:
        try:
            found = self.ask("state").get("mode_id")
        except (OSError, ValueError):
            return None
        return found if isinstance(found, int) else None

    def close(self) -> None:
        self._file.close()
        self._socket.close()
