"""The actuator as a process: who may speak, what is understood, and a board that is always put back."""

import contextlib
import fcntl
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.actuators import Process, wait_for

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.reboot import Reboots
from tidewatt_agent.actuator.server import Server
from tidewatt_agent.actuator.tool import MOST_OUTPUT, Nvpmodel
from tidewatt_agent.actuator.transaction import Actuator
from tidewatt_agent.actuator.undofile import UndoFile
from tidewatt_agent.standin import nvpmodel
from tidewatt_agent.standin.board import fail
from tidewatt_agent.sysfs.tree import Tree

NOBODY = 65534


@pytest.fixture
def actuator(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.close()


def test_the_vocabulary(actuator: Process) -> None:
    running = actuator.start()
    found, talk = actuator.nodes(), actuator.talk()
    modes = talk.ask(op="modes")
    assert modes["modes"] == {"15W": 0, "25W": 1, "MAXN_SUPER": 2, "7W": 3}
    assert modes["default"] == 1
    assert modes["clocks"]["gpu"][0] == 306_000_000
    assert talk.ask(op="state")["mode_id"] == 0
    assert talk.ask(op="set_mode", id=1)["kind"] == "applied"
    state = talk.ask(op="state")
    assert (state["mode_id"], state["changed"]) == (1, True)
    assert talk.ask(op="set_caps", caps={"gpu": 408_000_000})["caps"]["gpu"] == 408_000_000
    assert talk.ask(op="keepalive") == {}
    assert talk.ask(op="restore")["kind"] == "applied"
    assert actuator.nodes() == found
    assert talk.ask(op="state")["changed"] is False
    talk.close()
    running.terminate()
    assert running.wait(10) == 0


def test_what_is_not_in_it_changes_nothing(actuator: Process) -> None:
    actuator.start()
    found, talk = actuator.nodes(), actuator.talk()
    for question in (
        {"op": "reboot"},
        {"op": "set_mode"},
        {"op": "set_mode", "id": "1; reboot"},
        {"op": "set_mode", "id": 1, "force": True},
        {"op": "set_mode", "id": 10**30},
        {"op": "set_caps", "caps": {"/etc/passwd": 1}},
        {"op": "set_caps", "caps": {"gpu": 1.5}},
        {"op": "write", "path": "/sys/x", "value": "1"},
    ):
        answer = talk.ask(**question)
        assert "error" in answer or answer["kind"] == "refused", question
    assert actuator.nodes() == found
    talk.close()


NOISE = [b'{"op":', b'"set_mode"', b'"id":', b"1", b"}", b"\n", b"\x00", b"\xff", b"[" * 50, b'"caps":{']
#: What would move the board if anything of it were taken for a request.
NEARLY = [
    b'{"op":"set_mode","id":2,}',
    b'{"op":"set_mode","id":2}}',
    b'{"op":"set_mode","id":2.5}',
    b'{"op":"set_mode","id":true}',
    b'{"op":"set_mode","id":-1}',
    b'{"op":"set_mode","id":NaN}',
    b'{"op":"SET_MODE","id":2}',
    b'{"op":["set_mode"],"id":2}',
    b'[{"op":"set_mode","id":2}]',
    b'{"op":"set_mode","id":2,"id2":3}',
    b'{"op":"set_caps","caps":{"gpu":1}}',
    b'{"op":"set_caps","caps":{"gpu":306000000.5}}',
    b'{"op":"set_caps","caps":[["gpu",306000000]]}',
    b'{"op":"reboot","id":2}',
    b'{"op":"plan_reboot","id":2}',
]


def noise(chance: random.Random) -> bytes:
    """Words of the vocabulary in any order, near misses, and plain bytes; never a whole request that acts."""
    found = b"".join(chance.choice(NOISE) for _ in range(chance.randrange(40)))
    for _ in range(chance.randrange(4)):
        found += b"\n" + chance.choice(NEARLY) + b"\n"
        found += bytes(chance.randrange(256) for _ in range(chance.randrange(300))) + b"\n"
    return found + b'{"op":"set_mode","id":2'[: chance.randrange(22)]


def test_random_bytes_never_hurt(actuator: Process) -> None:
    running = actuator.start()
    found = actuator.nodes()
    chance = random.Random(4)
    for _ in range(150):
        talk = actuator.talk()
        with contextlib.suppress(OSError):
            talk.socket.sendall(noise(chance))
        talk.close()
    huge = actuator.talk()
    huge.socket.sendall(b"x" * 5000)
    assert huge.hear() == {"error": "a request has at most 4096 bytes"}
    assert huge.file.readline() == b"", "and it is closed"
    huge.close()
    crowd = [actuator.talk() for _ in range(8)]
    for number, talk in enumerate(crowd):
        assert talk.ask(op="state")["mode_id"] == 0, number
    one_more = actuator.talk()
    assert one_more.hear() == {"error": "too many connections"}
    for talk in (*crowd, one_more):
        talk.close()
    assert actuator.nodes() == found
    assert running.poll() is None
    assert "applied" not in actuator.log.read_text(), "not even for a moment"


def test_many_at_once_never_hurt_the_one_who_works(actuator: Process) -> None:
    """Noise in pieces from six sides, while one speaks: every answer comes, and is his."""
    running, talk = actuator.start(), actuator.talk()
    done = threading.Event()

    def shout(seed: int) -> None:
        chance = random.Random(seed)
        while not done.is_set():
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(actuator.path))
                text = noise(chance)
                while text and not done.is_set():
                    size = chance.randrange(1, 64)
                    peer.send(text[:size])
                    text = text[size:]

    shouting = [threading.Thread(target=shout, args=(seed,)) for seed in range(6)]
    for thread in shouting:
        thread.start()
    try:
        for mode_id in (1, 2, 3, 1, 2, 3):
            assert talk.ask(op="set_mode", id=mode_id)["kind"] == "applied"
            for _ in range(20):
                assert talk.ask(op="state")["mode_id"] == mode_id
        assert talk.ask(op="restore")["kind"] == "applied"
    finally:
        done.set()
        for thread in shouting:
            thread.join()
        talk.close()
    assert running.poll() is None
    open_files = len(list(Path(f"/proc/{running.pid}/fd").iterdir()))
    assert open_files < 20, "nobody's connection stays behind"


def test_only_the_agents_user_may_speak(actuator: Process) -> None:
    if os.getuid() != 0:
        # Not root ourselves: let nobody but root speak.
        actuator.start("--user", "0")
        assert actuator.talk().hear() == {"error": f"user {os.getuid()} may not"}
        return
    actuator.start()
    actuator.path.chmod(0o666)
    for folder in actuator.path.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)
    script = (
        f"import os, socket; os.setgid({NOBODY}); os.setuid({NOBODY}); s = socket.socket(socket.AF_UNIX); "
        f"s.connect({str(actuator.path)!r}); print(s.makefile().readline())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout) == {"error": f"user {NOBODY} may not"}


def test_who_changed_it_and_vanishes_leaves_a_board_that_is_put_back(actuator: Process) -> None:
    actuator.start()
    found = actuator.nodes()
    watching, talk = actuator.talk(), actuator.talk()
    assert talk.ask(op="set_mode", id=3)["kind"] == "applied"
    onlooker = actuator.talk()
    onlooker.ask(op="state")
    onlooker.close()
    assert watching.ask(op="state")["mode_id"] == 3, "one who only looked may leave"
    talk.close()
    wait_for(lambda: actuator.nodes() == found, "the board to be put back")
    assert watching.ask(op="state")["changed"] is False
    watching.close()


def test_silence_is_not_trusted(actuator: Process) -> None:
    actuator.start("--keepalive-s", "0.3")
    found, talk = actuator.nodes(), actuator.talk()
    talk.ask(op="set_mode", id=3)
    wait_for(lambda: actuator.nodes() == found, "the board to be put back")
    talk.close()


def test_an_onlooker_does_not_speak_for_who_changed_it(actuator: Process) -> None:
    actuator.start("--keepalive-s", "0.3")
    found, talk, onlooker = actuator.nodes(), actuator.talk(), actuator.talk()
    talk.ask(op="set_mode", id=3)

    def back() -> bool:
        onlooker.ask(op="state")
        return actuator.nodes() == found

    wait_for(back, "the board to be put back, whoever else speaks")
    talk.close()
    onlooker.close()


def test_a_switch_that_takes_long_is_no_silence(actuator: Process) -> None:
    actuator.start("--keepalive-s", "0.6")
    fail(actuator.root, "slow")
    talk = actuator.talk()
    answers = [talk.ask(op="set_mode", id=3), *(talk.ask(op="state") for _ in range(10))]
    talk.close()
    assert answers[0]["kind"] == "applied"
    assert {answer["mode_id"] for answer in answers} == {3}


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


def test_a_tool_that_hangs_is_ended(actuator: Process) -> None:
    fail(actuator.root, "hang")
    tool = Nvpmodel([sys.executable, "-m", "tidewatt_agent.standin.nvpmodel", str(actuator.root)], 0.5)
    said = tool.set_mode(1)
    assert (said.returncode, said.text) == (None, "")
    fail(actuator.root, "prompt")
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


def test_it_is_light() -> None:
    script = (
        "import sys, tidewatt_agent.actuator.cli; "
        "heavy = {'asyncio', 'prometheus_client', 'psutil', 'aiomqtt', 'http', 'ssl'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_another_is_refused_takes_nothing_from_who_changed_it(actuator: Process) -> None:
    actuator.start()
    talk, other = actuator.talk(), actuator.talk()
    first = talk.ask(op="set_mode", id=1)["kind"]
    refused = [other.ask(op="set_mode", id=99), other.ask(op="set_caps", caps={"gpu": 1})]
    other.close()
    later = talk.ask(op="state")["mode_id"]
    # Who set it last is who it belongs to.
    last = actuator.talk()
    last.ask(op="set_mode", id=2)
    talk.close()
    watching = actuator.talk()
    after_first = watching.ask(op="state")["mode_id"]
    last.close()
    found = wait_for(lambda: watching.ask(op="state")["mode_id"] == 0, "the board to be put back")
    watching.close()
    assert (first, {answer["kind"] for answer in refused}, later) == ("applied", {"refused"}, 1)
    assert (after_first, found) == (2, True)


def test_told_to_stop_it_stops_between_two_requests(actuator: Process) -> None:
    running, talk = actuator.start(), actuator.talk()
    many = b"".join(b'{"op":"set_mode","id":%d}\n' % (1 + number % 2) for number in range(60))
    talk.socket.sendall(many)
    talk.hear()
    running.terminate()
    code = running.wait(20)
    talk.close()
    assert code == 0
    assert actuator.log.read_text().count("applied: mode") < 60


def test_who_is_idle_makes_room(actuator: Process, tmp_path: Path) -> None:
    now_s = [0.0]
    root = actuator.root
    tree = Tree(str(root))
    hands = Actuator(
        Board(tree), Nvpmodel(), UndoFile(tmp_path / "u.json"), Reboots(tree, tmp_path / "r.json")
    )
    server = Server(hands, {os.getuid()}, 30.0, lambda: now_s[0])
    stopped = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(actuator.path))
        listener.listen()
        serving = threading.Thread(target=server.serve, args=(listener, stopped.is_set))
        serving.start()
        crowd = [actuator.talk() for _ in range(8)]
        answers = [talk.ask(op="state")["mode_id"] for talk in crowd]
        now_s[0] = 10.0
        answers += [talk.ask(op="state")["mode_id"] for talk in crowd[1:]]
        newcomer = actuator.talk()
        answers.append(newcomer.ask(op="state")["mode_id"])
        gone = crowd[0].file.readline()
        stopped.set()
        serving.join()
    for talk in (*crowd, newcomer):
        talk.close()
    assert (set(answers), gone) == ({0}, b""), "the first, who said nothing since, had to go"


def test_who_speaks_while_being_hung_up_on_breaks_nothing(actuator: Process) -> None:
    """In one round: a newcomer takes the place of an idle one, whose words have just arrived, too."""
    tree = Tree(str(actuator.root))
    folder = actuator.root.parent
    hands = Actuator(Board(tree), Nvpmodel(), UndoFile(folder / "u.json"), Reboots(tree, folder / "r.json"))
    now_s, looks, newcomer_at = [0.0], 0, 0
    server = Server(hands, {os.getuid()}, 30.0, lambda: now_s[0])
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as stack:
        listener.bind(str(actuator.path))
        listener.listen(16)
        crowd = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(9)]
        for peer in crowd[:8]:
            peer.connect(str(actuator.path))

        def stopped() -> bool:
            nonlocal looks, newcomer_at
            looks += 1
            if not newcomer_at and server._connections == 8:
                newcomer_at, now_s[0] = looks, 100.0
                crowd[8].connect(str(actuator.path))  # heard of first
                crowd[0].sendall(b'{"op":"keepalive"}\n')
            return bool(newcomer_at) and looks > newcomer_at + 3

        server.serve(listener, stopped)
    assert newcomer_at, "it lived to be told to stop"


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


def test_what_the_tool_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    late, done = tmp_path / "late", tmp_path / "done"
    late.write_text(f"#!/bin/sh\n(sleep 1; touch {done}) >/dev/null 2>&1 </dev/null &\nexit 0\n")
    late.chmod(0o755)
    assert Nvpmodel([str(late)], 10.0).set_mode(1).returncode == 0
    left = subprocess.run(["pgrep", "-f", str(late)], capture_output=True, text=True, check=False)
    assert left.stdout == ""


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
