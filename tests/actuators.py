"""The actuator as a process on a stand-in board, and a connection to it."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.world import recording

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.standin.board import build
from tidewatt_agent.sysfs.tree import Tree

TIMEOUT_S = 30


def wait_for(true: Callable[[], Any], what: str, limit_s: float = TIMEOUT_S) -> Any:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.01)
    pytest.fail(f"waited {limit_s:g} s in vain for {what}")


class Process:
    """An actuator on a stand-in board in 15W, with the stand-in nvpmodel as a real program."""

    def __init__(self, folder: Path) -> None:
        self.root, self.path, self.undo = folder / "root", folder / "a.sock", folder / "undo.json"
        self.root.mkdir()
        build(recording("orin-nano-super-jp62"), self.root, 0)
        self.log = folder / "log"
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *more: str, command: str = "run") -> "subprocess.Popen[bytes]":
        program = [sys.executable, "-m", "tidewatt_agent.actuator.cli", command]
        options = {
            "--root": str(self.root),
            "--socket": str(self.path),
            "--undo": str(self.undo),
            "--user": str(os.getuid()),
            "--nvpmodel": f"{sys.executable} -m tidewatt_agent.standin.nvpmodel {self.root}",
        }
        arguments = [part for pair in options.items() for part in pair]
        with self.log.open("ab") as log:
            process = subprocess.Popen([*program, *arguments, *more], stderr=log, stdout=log)
        self.started.append(process)
        if command == "run":
            wait_for(self.path.exists, "the socket")
        return process

    def talk(self) -> "Talk":
        return Talk(self.path)

    def nodes(self) -> dict[str, int]:
        board = Board(Tree(str(self.root)))
        modes = board.modes()
        return dict(board.readings(modes, board.knobs(modes)))

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.wait()


class Talk:
    """A connection."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(TIMEOUT_S)
        wait_for(lambda: self._connected(path), "the actuator to listen")
        self.file = self.socket.makefile("rb")

    def _connected(self, path: Path) -> bool:
        try:
            self.socket.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError, BlockingIOError):  # its queue may be full
            return False
        return True

    def ask(self, **question: Any) -> dict[str, Any]:
        self.socket.sendall(json.dumps(question).encode() + b"\n")
        return self.hear()

    def hear(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.readline())
        return found

    def close(self) -> None:
        self.file.close()
        self.socket.close()
