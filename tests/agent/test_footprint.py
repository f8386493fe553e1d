"""What keeps the agent small: files kept open, threads used again, nothing loaded that isn't needed."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import aiomqtt
import pytest
from tests.world import until

from tidewatt_agent.resident import SMAPS, clean_code
from tidewatt_agent.sysfs.tree import MOST, PAGE, Tree
from tidewatt_agent.threads import MOST_FREE, in_thread, repeated
from tidewatt_link.ending import ended, within


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


def test_a_node_that_was_taken_away_says_nothing(tmp_path: Path) -> None:
    label, value, tree = tmp_path / "label", tmp_path / "value", Tree(str(tmp_path)).keeping()
    label.write_text("VDD_IN\n")
    value.write_text("7\n")
    assert tree.says("label", "VDD_IN")
    assert tree.number("value") == 7
    label.unlink()
    value.unlink()
    assert not tree.says("label", "VDD_IN")
    assert tree.number("value") is None, "nor does what went with it"


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


async def test_work_is_repeated_in_its_own_thread_until_it_fails_or_nobody_waits() -> None:
    threads: list[int] = []

    def work() -> None:
        threads.append(threading.get_ident())
        if len(threads) == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await within(repeated(0.001, 5.0, work), 30)
    assert len(threads) == 3
    assert set(threads) != {threading.get_ident()}
    known = set(threading.enumerate())
    waiting = asyncio.create_task(repeated(3600.0, 5.0, work))
    await until(lambda: set(threading.enumerate()) - known)
    await ended(waiting)
    await until(lambda: not set(threading.enumerate()) - known)
    assert len(threads) == 3, "a pause is cut short, and nothing is done after it"


async def test_repeated_work_may_pause_for_long_and_take_none() -> None:
    let_go, began = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        let_go.wait(30.0)

    waiting = asyncio.create_task(repeated(3600.0, 0.05, work))
    await asyncio.sleep(0.3)
    assert not waiting.done(), "a pause holds nobody, however long"
    await ended(waiting)
    assert not began.is_set()
    with pytest.raises(asyncio.TimeoutError):
        await within(repeated(0.01, 0.1, work), 30)
    assert began.is_set()
    let_go.set()


def test_aiomqtt_has_the_loop_that_is_replaced() -> None:
    assert asyncio.iscoroutinefunction(getattr(aiomqtt.Client, "_misc_loop", None)), (
        "else it wakes us as before"
    )


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("tidewatt_agent.daemon", {"cryptography", "numpy", "onnxruntime", "httpx", "calibrate", "metadata"}),
        (
            "tidewatt_agent.actuator.cli",
            {
                "cryptography",
                "aiomqtt",
                "psutil",
                "email",
                "asyncio",
                "msgspec",
                "pathlib",
                "subprocess",
                "typing_extensions",
                "shutil",
                "inspect",
            },
        ),
    ],
)
def test_what_is_not_needed_is_not_loaded(module: str, absent: set[str]) -> None:
    program = f"import sys, {module}; print(*{{part for name in sys.modules for part in name.split('.')}})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert not absent & set(loaded.stdout.decode().split())


def test_only_code_that_nobody_changed_is_given_back() -> None:
    smaps = [
        "7f0000001000-7f0000003000 r-xp 00001000 08:01 42                /usr/lib/libonnxruntime.so\n",
        "Rss:                   8 kB\n",
        "Anonymous:             0 kB\n",
        "7f0000003000-7f0000004000 rw-p 00003000 08:01 42                /usr/lib/libonnxruntime.so\n",
        "Anonymous:             0 kB\n",
        "7f0000005000-7f0000006000 r-xp 00001000 08:01 43                /usr/lib/patched by somebody.so\n",
        "Anonymous:             4 kB\n",
        "7f0000006000-7f0000007000 r-xp 00000000 00:00 0                 [vdso]\n",
        "Anonymous:             0 kB\n",
        "7f0000007000-7f0000008000 r-xp 00000000 00:00 0\n",
        "Anonymous:             0 kB\n",
        "7f0000008000-7f0000009000 r-xp 00000000 08:01 44                /usr/lib/says nothing.so\n",
        "VmFlags: rd ex\n",
    ]
    assert list(clean_code(smaps)) == [(0x7F0000001000, 0x7F0000003000, "/usr/lib/libonnxruntime.so")]
    with open(SMAPS) as file:  # noqa: PTH123
        assert any("python" in one.file for one in clean_code(file)), "this very process has some"


def test_a_forecast_runs_in_code_that_was_given_back() -> None:
    program = """
import datetime
from tidewatt_agent.resident import Forecasting
from tidewatt_governor.forecast.forecaster import Forecaster
from tidewatt_governor.forecast.model import Model
from tidewatt_governor.forecast.shipped import shipped_model

def resident():
    return int(open("/proc/self/statm").read().split()[1])

forecaster, code = Forecaster(Model(shipped_model(), name="shipped")), Forecasting()
code.loaded()
when = datetime.datetime(2026, 11, 2)
for minute in range(130):
    made = forecaster.minute(minute, 10.0 + minute % 7, when + datetime.timedelta(minutes=minute))
    ran = resident()
    code.rests()
assert made and all(p50 <= p90 <= p99 for p50, p90, p99 in made.rps), made
print(ran - resident())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert int(done.stdout) > 0, "pages that it leaves the kernel between two minutes"
