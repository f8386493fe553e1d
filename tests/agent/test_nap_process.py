"""The actuator as a process that lets a stand-in board sleep; killed in between, its heir keeps its word."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.actuators import Process, wait_for

from tidewatt_agent.actuator.nap import ALARM, KIND, SINCE_EPOCH, STATES

NOW_S = 1_795_000_000


class Sleeper:
    """A board whose clock stands still, but for a suspend, which is a script."""

    def __init__(self, folder: Path) -> None:
        self.actuator = Process(folder)
        self.script = folder / "suspend"
        for path, text in ((STATES, "mem"), (KIND, "[deep]"), (ALARM, ""), (SINCE_EPOCH, str(NOW_S))):
            node = self.actuator.root / path
            node.parent.mkdir(parents=True, exist_ok=True)
            node.write_text(f"{text}\n")
        self.alarm, self.clock = self.actuator.root / ALARM, self.actuator.root / SINCE_EPOCH

    def start(self, suspend: str) -> None:
        self.script.write_text(f"#!/bin/sh\n{suspend}\n")
        self.script.chmod(0o755)
        self.actuator.start("--allow-sleep", "--sleep-command", str(self.script))

    @property
    def sleeps(self) -> str:
        return f"cat {self.alarm} > {self.clock}"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Sleeper]:
    board = Sleeper(tmp_path)
    yield board
    board.actuator.close()


def test_it_sleeps_and_tells_how(board: Sleeper) -> None:
    board.start(board.sleeps)
    talk = board.actuator.talk()
    assert talk.ask(op="sleep_ready")["why_not"] == ""
    slept = talk.ask(op="sleep", for_s=900)
    assert 895 < slept["slept_s"] <= 900
    assert (slept["late_s"], slept["early_s"]) == (0.0, 0.0)
    assert talk.ask(op="state")["changed"] is False
    talk.close()


def test_what_can_not_be_is_refused_with_a_sentence(board: Sleeper) -> None:
    board.start("echo 'Sleep verb not supported'; exit 1")
    talk = board.actuator.talk()
    assert "it has 60 to 1800 s here" in talk.ask(op="sleep", for_s=1801)["error"]
    assert "at most" not in talk.ask(op="sleep", for_s=1e9)["error"]
    assert "Sleep verb not supported" in talk.ask(op="sleep", for_s=60)["error"]
    assert talk.ask(op="sleep_ready")["why_not"] == "a suspend that was asked for may still come"
    talk.close()


def test_without_leave_there_is_no_sleep(board: Sleeper) -> None:
    board.actuator.start()
    talk = board.actuator.talk()
    assert "--allow-sleep" in talk.ask(op="sleep_ready")["why_not"]
    assert "--allow-sleep" in talk.ask(op="sleep", for_s=600)["error"]
    assert board.alarm.read_text() == "\n"
    talk.close()


def pass_awake(board: Sleeper, seconds: int) -> None:
    """Let time pass between two lives of the actuator, in which the board was awake."""
    file = board.actuator.undo.with_name("nap.json")
    asked = json.loads(file.read_text())
    file.write_text(json.dumps({**asked, "awake_s": asked["awake_s"] - seconds}))
    board.clock.write_text(f"{NOW_S + seconds}\n")


@pytest.mark.parametrize("asked_s", [600, 60])
def test_killed_after_it_asked_the_next_one_keeps_the_alarm_ahead(board: Sleeper, asked_s: int) -> None:
    """The suspend comes late, as services take their time; the alarm must still lie ahead then."""
    board.start("kill -9 $PPID; exit")  # a shell reads on in a file that is changed
    process = board.actuator.started[0]
    talk = board.actuator.talk()
    talk.socket.sendall(b'{"op": "sleep", "for_s": %d}\n' % asked_s)
    assert process.wait(20) == -signal.SIGKILL
    assert int(board.alarm.read_text()) == NOW_S + asked_s
    talk.close()
    board.actuator.path.unlink()
    pass_awake(board, 30)
    board.start(board.sleeps)
    if asked_s == 60:
        wait_for(lambda: "+=120" in board.alarm.read_text(), "the alarm to be pushed")
    else:
        again = board.actuator.talk()
        assert "may still come" in again.ask(op="sleep", for_s=900)["error"]
        again.close()
        assert int(board.alarm.read_text()) == NOW_S + asked_s, "nobody cleared it"
    assert board.actuator.undo.with_name("nap.json").exists()
