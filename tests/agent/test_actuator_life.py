"""The actuator as a command: its start, its end, its next life, and the wrong way."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.actuators import Process, wait_for


@pytest.fixture
def actuator(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.close()


def test_two_at_once_would_undo_each_other(actuator: Process) -> None:
    actuator.start()
    talk = actuator.talk()
    talk.ask(op="set_mode", id=3)
    with (actuator.undo.with_name("actuator.lock")).open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    restoring = actuator.start(command="restore")
    assert talk.ask(op="state")["mode_id"] == 3, "the second waits"
    actuator.started[0].terminate()
    assert restoring.wait(20) == 0
    talk.close()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_its_own_end_leaves_the_board_as_found(actuator: Process, end: signal.Signals) -> None:
    running = actuator.start()
    found, talk = actuator.nodes(), actuator.talk()
    talk.ask(op="set_mode", id=3)
    talk.ask(op="set_caps", caps={"gpu": 306_000_000})
    running.send_signal(end)
    running.wait(10)
    talk.close()
    if end == signal.SIGKILL:
        assert actuator.nodes() != found
        assert actuator.start(command="restore").wait(20) == 0, "what systemd runs after a crash"
    assert actuator.nodes() == found
    assert not actuator.undo.exists()


def test_the_next_life_puts_back_what_the_last_one_left(actuator: Process) -> None:
    running, found = actuator.start(), actuator.nodes()
    talk = actuator.talk()
    talk.ask(op="set_mode", id=2)
    running.kill()
    running.wait()
    talk.close()
    actuator.path.unlink()
    actuator.start()
    talk = actuator.talk()
    assert talk.ask(op="state")["mode_id"] == 0
    assert actuator.nodes() == found
    talk.close()


def test_a_board_that_refuses_to_go_back_stays_on_file(actuator: Process) -> None:
    running = actuator.start()
    talk = actuator.talk()
    talk.ask(op="set_mode", id=2)
    running.kill()
    running.wait()
    talk.close()
    gpu = actuator.root / "sys/class/devfreq/17000000.gpu/max_freq"
    gpu.unlink()
    gpu.mkdir()
    assert actuator.start(command="restore").wait(20) == 1
    assert actuator.undo.exists(), "what couldn't be put back is not forgotten"
    gpu.rmdir()
    gpu.write_text("1020000000\n")
    assert actuator.start(command="restore").wait(20) == 0
    assert not actuator.undo.exists()


def test_a_forged_undo_file_writes_nothing_else(actuator: Process) -> None:
    target = actuator.root / "etc/target"
    target.write_text("5\n")
    actuator.undo.write_text(json.dumps({"mode_id": None, "nodes": {"etc/target": 1, "../outside": 1}}))
    assert actuator.start(command="restore").wait(20) == 1
    assert target.read_text() == "5\n"
    assert "no node of a mode or a cap" in actuator.log.read_text()
    actuator.undo.write_text("{")
    assert actuator.start(command="restore").wait(20) == 2
    assert "can't be read" in actuator.log.read_text()


def test_it_is_light() -> None:
    script = (
        "import sys, tidewatt_agent.actuator.cli; "
        "heavy = {'asyncio', 'prometheus_client', 'psutil', 'aiomqtt', 'http', 'ssl'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_nvpmodel_that_outlives_the_actuator_is_waited_for(actuator: Process, tmp_path: Path) -> None:
    """Killed in the middle of a switch, the tool lives on and writes: what comes next holds its breath."""
    slow, started = tmp_path / "slow", tmp_path / "started"
    real = f"{sys.executable} -m tidewatt_agent.standin.nvpmodel {actuator.root}"
    slow.write_text(f'#!/bin/sh\n[ "$1" = -m ] && {{ touch {started}; sleep 1; }}\nexec {real} "$@"\n')
    slow.chmod(0o755)
    running = actuator.start("--nvpmodel", str(slow))
    found, talk = actuator.nodes(), actuator.talk()
    talk.socket.sendall(b'{"op":"set_mode","id":3}\n')
    wait_for(started.exists, "the switch")
    running.kill()
    running.wait()
    talk.close()
    assert actuator.start(command="restore").wait(30) == 0
    assert actuator.nodes() == found
    assert not actuator.undo.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--keepalive-s", "nan"], "'nan' is no number of seconds from 0.1 to 86400"),
        (["--keepalive-s", "-1"], "'-1' is no number of seconds"),
        (["--nvpmodel", ""], "argument --nvpmodel: it is empty"),
        (["--undo", " "], "argument --undo: it is empty"),
        (["--user", "nobody-of-that-name"], "there is no such user"),
        (["--user", "99999999999999999999"], "there is no such user"),
        (
            ["--socket", "/no/such/folder/a.sock"],
            "--socket /no/such/folder/a.sock: No such file or directory",
        ),
        (["--undo", "/no/such/folder/undo.json"], "/no/such/folder/actuator.lock: No such file or directory"),
    ],
)
def test_the_wrong_way(actuator: Process, arguments: list[str], sentence: str) -> None:
    program = [sys.executable, "-m", "tidewatt_agent.actuator.cli", "run", "--root", str(actuator.root)]
    usual = ["--undo", str(actuator.undo), "--socket", str(actuator.path), "--user", str(os.getuid())]
    done = subprocess.run(
        [*program, *usual, *arguments], capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_in_the_sockets_place_is_not_removed(actuator: Process) -> None:
    actuator.path.write_text("somebody's")
    running = actuator.start()
    assert running.wait(20) == 2
    assert actuator.path.read_text() == "somebody's"
    assert "Address already in use" in actuator.log.read_text()
