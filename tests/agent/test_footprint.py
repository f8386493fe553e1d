"""What keeps the agent small: files kept open, threads used again, nothing loaded that isn't needed."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.world import until

from tidewatt_agent.sysfs.tree import MOST, PAGE, Tree
from tidewatt_agent.threads import MOST_FREE, in_thread


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_a_keeping_tree_reads_anew_and_opens_once(tmp_path: Path) -> None:
    node, tree = tmp_path / "node", Tree(str(tmp_path)).keeping()
    node.write_text("1\n")
    before = open_files()
    for value in (1, 22, 3):
        node.write_text(f"{value}\n")
        assert tree.number("node") == value
    assert open_files() == before + 1
    for length in (PAGE - 1, PAGE, 3 * PAGE + 1, MOST + PAGE):
        node.write_text("x" * length)
        assert tree.exact("node") == "x" * min(length, MOST), "to its end, however long"
    tree.let_go()
    assert open_files() == before


def test_a_keeping_tree_follows_the_node_until_it_lets_go(tmp_path: Path) -> None:
    node, tree = tmp_path / "node", Tree(str(tmp_path)).keeping()
    assert tree.read("node") is None, "what isn't there yet"
    node.write_text("old")
    assert tree.read("node") == "old", "is found as soon as it is"
    node.rename(tmp_path / "aside")
    node.write_text("new")
    assert tree.read("node") == "old"
    tree.let_go()
    assert tree.read("node") == "new"
    assert Tree(str(tmp_path)).read("node") == "new"


def test_a_node_that_breaks_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, broken = Tree(str(tmp_path)).keeping(), OSError(19, "No such device")
    (tmp_path / "node").write_text("7")
    assert tree.number("node") == 7
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", lambda *_: (_ for _ in ()).throw(broken))
        assert tree.number("node") is None
    (tmp_path / "node").unlink()
    (tmp_path / "node").write_text("8")
    assert tree.number("node") == 8


async def test_one_thread_serves_call_after_call_and_one_that_hangs_serves_nobody() -> None:
    first = await in_thread(5.0, threading.get_ident)
    await until(lambda: True)
    for _ in range(20):
        await asyncio.sleep(0)
        await in_thread(5.0, threading.get_ident)
    known = threading.active_count()
    assert first
    let_go = threading.Event()
    with pytest.raises(asyncio.TimeoutError):
        await in_thread(0.01, let_go.wait, 30.0)
    assert await in_thread(5.0, lambda: "another does it") == "another does it"
    with pytest.raises(ZeroDivisionError):
        await in_thread(5.0, lambda: 1 // 0)
    let_go.set()
    await asyncio.gather(*(in_thread(5.0, threading.get_ident) for _ in range(8)))
    await until(lambda: threading.active_count() <= max(known, MOST_FREE) + MOST_FREE)


async def test_a_cancelled_wait_for_a_thread_ends_at_once() -> None:
    let_go = threading.Event()
    waiting = asyncio.create_task(in_thread(30.0, let_go.wait, 30.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    let_go.set()


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("tidewatt_agent.daemon", {"cryptography", "numpy", "onnxruntime", "httpx", "calibrate"}),
        (
            "tidewatt_agent.actuator.cli",
            {"cryptography", "aiomqtt", "psutil", "email", "asyncio"},
        ),
    ],
)
def test_what_is_not_needed_is_not_loaded(module: str, absent: set[str]) -> None:
    program = f"import sys, {module}; print(*{{part for name in sys.modules for part in name.split('.')}})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert not absent & set(loaded.stdout.decode().split())
