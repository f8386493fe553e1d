"""nvpmodel that hangs, babbles or leaves children behind is ended, and never waited for."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.actuators import Process

from tidewatt_agent.actuator.tool import MOST_OUTPUT, Nvpmodel
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.board import fail


@pytest.fixture
def actuator(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.close()


def test_a_tool_that_hangs_is_ended(actuator: Process) -> None:
    fail(actuator.root, "hang")
    command = [sys.executable, "-m", "tidewatt_agent.standin.nvpmodel", str(actuator.root)]
    said = Nvpmodel(command, 0.5).set_mode(1)
    assert (said.returncode, said.text) == (None, "")
    fail(actuator.root, "prompt")
    tool = Nvpmodel(command, 60.0)  # it ends by itself, also on a busy machine
    said = tool.set_mode(1)
    assert said.prompted
    assert said.returncode == 255
    assert tool.query() == 0, "noise around the answer is noise"
    assert nvpmodel.run(actuator.root, ["-m", "77"]).code == 255


def test_a_tool_that_babbles_or_leaves_children_behind_is_not_waited_for(tmp_path: Path) -> None:
    babbler = [sys.executable, "-c", "while True: print('NV Power Mode: 15W' * 100)"]
    assert len(Nvpmodel(babbler, 0.5).set_mode(1).text) == MOST_OUTPUT
    parent = tmp_path / "parent"
    parent.write_text("#!/bin/sh\nsetsid sleep 60 &\necho NV Power Mode: 15W\necho 0\n")
    parent.chmod(0o755)
    began_s = time.monotonic()
    assert Nvpmodel([str(parent)], 20.0).query() == 0
    assert time.monotonic() - began_s < 10, "its child still holds the pipe"


def test_what_the_tool_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    late, done = tmp_path / "late", tmp_path / "done"
    late.write_text(f"#!/bin/sh\n(sleep 1; touch {done}) >/dev/null 2>&1 </dev/null &\nexit 0\n")
    late.chmod(0o755)
    assert Nvpmodel([str(late)], 10.0).set_mode(1).returncode == 0
    while subprocess.run(["pgrep", "-f", str(late)], capture_output=True, check=False).stdout:
        pass  # one that is killed needs a moment; one that isn't ends by itself, and has done its work then
    assert not done.exists()
