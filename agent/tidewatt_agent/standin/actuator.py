"""The product's own actuator on a simulated board: a tree of files, a stand-in nvpmodel, a thread.

nvpmodel runs inside the process, as starting a program for every switch would take longer than a
switch does in fast virtual time. All else is what runs on a board.
"""

import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.nap import Naps
from tidewatt_agent.actuator.reboot import Reboots
from tidewatt_agent.actuator.server import BACKLOG, Server
from tidewatt_agent.actuator.tool import Nvpmodel, Said
from tidewatt_agent.actuator.transaction import Actuator, Result
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.slumber import Slumber
from tidewatt_agent.sysfs.tree import Tree

#: Real seconds of silence before the board is put back, as on a board.
KEEPALIVE_S = 30.0
#: Virtual seconds.
LONGEST_NAP_S = 1800.0


class InProcess(Nvpmodel):
    """The stand-in nvpmodel, called instead of started; `on_mode` hears of every mode that it has set."""

    def __init__(self, root: Path, on_mode: Callable[[int], None] = lambda _mode: None) -> None:
        super().__init__()
        self.root, self._on_mode = root, on_mode
        self.last = nvpmodel.Answer("", 0)
        """What it said last, and which nodes are still to follow."""

    def _run(self, *arguments: str) -> Said:
        answer = self.last = nvpmodel.run(self.root, list(arguments))
        if arguments[0] == "-m" and answer.code == 0:
            self._on_mode(int(arguments[1]))
        return Said(answer.text, None if answer.code < 0 else answer.code)


class Telling(Actuator):
    """An actuator that tells of the caps after every deed that may have touched them."""

    def __init__(
        self,
        board: Board,
        tool: Nvpmodel,
        undo: UndoFile,
        reboots: Reboots,
        on_caps: Callable[[dict[str, int]], None],
    ) -> None:
        super().__init__(board, tool, undo, reboots)
        self._on_caps = on_caps
        self._told = self.state().caps

    def set_mode(self, mode_id: int) -> Result:
        """See Actuator."""
        return self._tell(super().set_mode(mode_id))

    def set_caps(self, caps: Mapping[str, int | None]) -> Result:
        """See Actuator."""
        return self._tell(super().set_caps(caps))

    def restore(self) -> Result:
        """See Actuator."""
        return self._tell(super().restore())

    def _tell(self, result: Result) -> Result:
        if result.state.caps != self._told:
            self._told = result.state.caps
            policies = {
                "cpu" if name.startswith("policy") else name: hertz for name, hertz in self._told.items()
            }
            self._on_caps(policies)
        return result


class BoardActuator:
    """An actuator for the board below `root`, listening at `path` until `stop`."""

    def __init__(
        self,
        root: Path,
        path: Path,
        on_mode: Callable[[int], None],
        on_caps: Callable[[dict[str, int]], None] = lambda _caps: None,
        slumber: Slumber | None = None,
    ) -> None:
        """`on_mode` and `on_caps` (hertz by clock) are called in the actuator's thread.

        `slumber`: how the board sleeps; None: it can't.
        """
        tree = Tree(str(root))
        actuator = Telling(
            Board(tree),
            InProcess(root, on_mode),
            UndoFile(root / "undo.json"),
            Reboots(tree, root / "reboot.json"),
            on_caps,
        )
        self._stopped = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(BACKLOG)
        self._slumber = slumber
        naps = _naps(slumber, root / "nap.json") if slumber else None
        server = Server(actuator, {0, os.getuid()}, KEEPALIVE_S, naps=naps)
        self._thread = threading.Thread(
            target=server.serve, args=(self._listener, self._stopped.is_set), name=path.name, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End, which puts the board back; takes up to half a second."""
        self._stopped.set()
        if self._slumber:
            self._slumber.end()
        self._thread.join()
        self._listener.close()


def _naps(board: Slumber, path: Path) -> Naps:
    return Naps(board.tree, path, board.suspend, LONGEST_NAP_S, board.awake_s, board.wait)
