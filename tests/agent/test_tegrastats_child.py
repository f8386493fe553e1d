"""The reader's child process: restarted when it dies or falls silent, and never believed too much."""

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.world import until

from tidewatt_agent.readers import TimedSample
from tidewatt_agent.tegrastats import child
from tidewatt_agent.tegrastats.child import TegrastatsChild
from tidewatt_link.ending import ended
from tidewatt_wire.clock import Clock

LINE = "RAM 1/2MB (lfb 1x2MB) CPU [3%@100] VDD_IN 5000/5000"


@contextlib.asynccontextmanager
async def reading(folder: Path, program: str, interval_s: float = 0.05) -> AsyncIterator[TegrastatsChild]:
    """A reader of a tegrastats whose Python text is `program`; it finds its start count in COUNT."""
    script = folder / "tegrastats.py"
    script.write_text(
        "import sys, time, pathlib\n"
        f"file = pathlib.Path({str(folder / 'starts')!r})\n"
        "COUNT = int(file.read_text()) + 1 if file.exists() else 1\n"
        "file.write_text(str(COUNT))\n"
        "def say(text): sys.stdout.write(text); sys.stdout.flush()\n" + program
    )
    clock = Clock(time.monotonic, time.time)
    reader = TegrastatsChild([sys.executable, "-I", "-S", str(script)], interval_s, clock)
    task = asyncio.create_task(reader.run())
    try:
        yield reader
    finally:
        await ended(task)


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_BACKOFF_S", 0.01)


@pytest.fixture
def short_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """For those who wait for it: elsewhere a child that a busy machine starts late would be replaced."""
    monkeypatch.setattr(child, "SHORTEST_SILENCE_S", 0.3)


async def test_lines_come_with_our_own_clock_and_the_wanted_interval(tmp_path: Path) -> None:
    program = (
        f"say({LINE!r} + '\\n')\n"
        "(pathlib.Path(__file__).parent / 'args').write_text(' '.join(sys.argv[1:]))\ntime.sleep(60)"
    )
    async with reading(tmp_path, program, 1.5) as reader:
        taken: list[TimedSample] = []
        await until(lambda: taken or taken.extend(reader.take()))  # type: ignore[func-returns-value]
        await until((tmp_path / "args").exists)
        assert taken[0].sample.rails[0].now == 5.0
        assert abs(taken[0].at_s - time.monotonic()) < 20
        assert (tmp_path / "args").read_text() == "--interval 1500"
        assert reader.take() == []


async def test_a_dead_child_is_started_again(tmp_path: Path) -> None:
    async with reading(tmp_path, f"say({LINE!r} + '\\n')") as reader:
        await until(lambda: reader.counts.starts >= 3)
        assert reader.counts.samples >= 2


@pytest.mark.usefixtures("short_silence")
async def test_a_silent_child_is_replaced(tmp_path: Path) -> None:
    program = f"if COUNT > 1: say({LINE!r} + '\\n')\ntime.sleep(60)"
    async with reading(tmp_path, program) as reader:
        await until(lambda: reader.counts.samples >= 1)
        assert reader.counts.starts >= 2, "the first of them never says anything"


async def test_garbage_is_counted_and_skipped(tmp_path: Path) -> None:
    program = (
        f"say('garbage\\n' + 'x' * 100_000 + '\\n' + {LINE!r} + ' ??\\n')\n"
        f"sys.stdout.buffer.write(b'\\xff\\xfe\\n'); say({LINE!r} + '\\n'); time.sleep(60)"
    )
    async with reading(tmp_path, program) as reader:
        await until(lambda: reader.counts.samples == 2)
        assert len(reader.take()) == 2
        assert reader.counts.skipped >= 3
        assert reader.counts.unknown_tokens == 1
        assert reader.counts.starts == 1


async def test_a_line_cut_by_death_is_not_believed(tmp_path: Path) -> None:
    async with reading(tmp_path, f"if COUNT == 1: say({LINE!r})\nelse: time.sleep(60)") as reader:
        await until(lambda: reader.counts.starts >= 2)
        assert reader.counts.skipped == 1
        assert reader.take() == []


async def test_a_missing_program_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = TegrastatsChild([str(tmp_path / "none")], 1.0, Clock(time.monotonic, time.time))
    task = asyncio.create_task(reader.run())
    await until(lambda: reader.counts.starts >= 2)
    await ended(task)
    assert "can't be started" in caplog.text
    assert "No such file" in caplog.text


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("while True: say('garbage\\n' * 100)", "lines in a second|makes sense"),
        (f"while True: say({LINE!r} + '\\n')", "more than 1000 lines in a second"),
        ("while True: say('x' * 65536)", "lines in a second|makes sense"),
        ("while True: say('slow garbage\\n'); time.sleep(0.01)", "nothing that makes sense"),
    ],
)
@pytest.mark.usefixtures("short_silence")
async def test_a_flood_is_ended_and_keeps_nobody_waiting(
    tmp_path: Path, program: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with reading(tmp_path, program) as reader:
        await until(lambda: reader.counts.starts >= 2)
        assert re.search(why, caplog.text)
        start = time.monotonic()
    assert time.monotonic() - start < 10, "told to stop, it stops"


@pytest.mark.usefixtures("short_silence")
async def test_a_grandchild_that_holds_the_pipe_holds_nobody(tmp_path: Path) -> None:
    program = (
        "import subprocess\n"
        "subprocess.Popen(['/bin/sh', '-c', 'sleep 60'], start_new_session=(COUNT > 1))\n"
        f"say({LINE!r} + '\\n'); time.sleep(60)"
    )
    async with reading(tmp_path, program) as reader:
        await until(lambda: reader.counts.starts >= 2 or reader.counts.samples)
        await until(lambda: reader.counts.starts >= 2)
        start = time.monotonic()
    assert time.monotonic() - start < 10
