"""The actuator's socket, with a stand-in board behind it: whatever comes, the board is put back."""

import contextlib
import json
import os
import socket
import tempfile
import threading
from functools import cache
from pathlib import Path

from tests.fuzz.target import Target
from tests.world import recording

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.reboot import Reboots
from tidewatt_agent.actuator.server import Server
from tidewatt_agent.actuator.tool import Nvpmodel
from tidewatt_agent.actuator.transaction import Actuator
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.standin.board import build
from tidewatt_agent.sysfs.tree import Tree

PATIENCE_S = 30.0


class Room:
    """An actuator in a thread, and how its board was found. Its nvpmodel isn't there: modes are refused."""

    def __init__(self, folder: Path) -> None:
        root = folder / "root"
        root.mkdir()
        build(recording("orin-nano-super-jp62"), root, 0)
        tree = Tree(str(root))
        self.board = Board(tree)
        tool = Nvpmodel([str(folder / "nowhere")])
        hands = Actuator(self.board, tool, UndoFile(folder / "u.json"), Reboots(tree, folder / "r.json"))
        self.path = folder / "a.sock"
        self.found = self.nodes()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(16)
        server = Server(hands, {os.getuid()}, PATIENCE_S)
        self.thread = threading.Thread(target=server.serve, args=(listener, lambda: False), daemon=True)
        self.thread.start()

    def nodes(self) -> dict[str, int]:
        """What of the board can be changed, as it stands."""
        modes = self.board.modes()
        return dict(self.board.readings(modes, self.board.knobs(modes)))

    def talk(self) -> socket.socket:
        """A connection to it."""
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(PATIENCE_S)
        peer.connect(str(self.path))
        return peer


@cache
def room() -> Room:
    """One for all inputs."""
    return Room(Path(tempfile.mkdtemp(prefix="tidewatt-fuzz-")))


def actuator(data: bytes) -> None:
    """Send it, read what is answered, ask for a sign of life, and see the board put back."""
    here = room()
    with here.talk() as peer, contextlib.suppress(ConnectionError):
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        with peer.makefile("rb") as answers:
            for line in answers:
                assert isinstance(json.loads(line), dict)
    with here.talk() as peer, peer.makefile("rb") as answers:
        peer.sendall(b'{"op":"restore"}\n')
        assert json.loads(answers.readline())["kind"] in ("applied", "unchanged", "refused")
    assert here.thread.is_alive()
    assert here.nodes() == here.found


def _requests() -> list[bytes]:
    lines = [
        b'{"op":"state"}', b'{"op":"modes"}', b'{"op":"set_mode","id":1}', b'{"op":"restore"}',
        b'{"op":"set_caps","caps":{"gpu":408000000,"cpu":null}}', b'{"op":"plan_reboot","id":2}',
        b'{"op":"reboot","id":2}', b'{"op":"sleep","for_s":900}', b'{"op":"sleep_ready"}',
        b'{"op":"keepalive"}',
    ]  # fmt: skip
    return [*(line + b"\n" for line in lines), b"\n".join(lines) + b"\n"]


TARGETS = {"actuator": Target(actuator, _requests, 40, 6000)}
