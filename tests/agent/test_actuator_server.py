"""The actuator as a process: who may speak, what is understood, and a board that is always put back."""

import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.actuators import Process, wait_for

from tidewatt_agent.actuator.board import Board
from tidewatt_agent.actuator.reboot import Reboots
from tidewatt_agent.actuator.server import Server
from tidewatt_agent.actuator.tool import Nvpmodel
from tidewatt_agent.actuator.transaction import Actuator
from tidewatt_agent.actuator.undofile import UndoFile
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
