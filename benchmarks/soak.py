"""An hour of one agent, in real time: `make soak` (SOAK_SECONDS=600 for less).

What it holds at the end is judged by what it held after the first sixth, when caches are warm. tests/agent
has the same for a week of virtual time.
"""

import contextlib
import json
import os
import sys
import tempfile
import time
import urllib.request
from itertools import count
from pathlib import Path

import psutil

from benchmarks.agent import AGENT, RECORDING, agent_config, compile_modules, process, until_served
from benchmarks.results import Result, publish
from tidewatt_agent.recording import lay_out, load
from tidewatt_coordinator.broker import embedded, free_port
from tidewatt_wire.documents import to_toml

SECONDS = int(os.environ.get("SOAK_SECONDS", "3600"))
SCRAPED_EVERY_S = 15
#: Beyond this it would be 100 MB in a week.
GROWTH_MB = 0.5
NAME = "sysfs"


def main() -> None:
    """Watch and publish."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidewatt-soak-")))
        lay_out(load(RECORDING).tree, folder / "root")
        broker = stack.enter_context(embedded(free_port())).address
        compile_modules()
        clock = {"origin_unix_ms": int(time.time() * 1000), "origin_monotonic_s": time.monotonic()}
        room_file, port = folder / "room.toml", free_port()
        room_file.write_text(
            to_toml({"fleet": "bench", "devices": [NAME], "folder": str(folder), "clock": clock})
        )
        room = stack.enter_context(process(*AGENT, "simulate", str(room_file), log=folder / "room.log"))
        assert room.stdout is not None  # noqa: S101 - asked for a pipe
        board = json.loads(room.stdout.readline())[NAME]
        config = agent_config(folder, NAME, board, broker, port)
        agent = stack.enter_context(process(*AGENT, "run", "--config", str(config), log=folder / "agent.log"))
        page = f"http://127.0.0.1:{port}/metrics"
        until_served([page])
        rss_mb, files = _watch(psutil.Process(agent.pid), page)
    sys.exit(0 if publish("soak", _results(rss_mb, files)) else 1)


def _watch(agent: psutil.Process, page: str) -> tuple[list[float], list[int]]:
    rss_mb, files, start_s = [], [], time.monotonic()
    for scrape in count(1):
        time.sleep(max(0.0, start_s + scrape * SCRAPED_EVERY_S - time.monotonic()))
        with urllib.request.urlopen(page, timeout=5) as answer:
            answer.read()
        rss_mb.append(agent.memory_info().rss / 1e6)
        files.append(agent.num_fds())
        if scrape * SCRAPED_EVERY_S >= SECONDS:
            break
    return rss_mb, files


def _results(rss_mb: list[float], files: list[int]) -> list[Result]:
    warm = len(rss_mb) // 6
    return [
        Result.judged("RSS after the first sixth", rss_mb[warm], "MB"),
        Result.judged("RSS at the end", rss_mb[-1], "MB"),
        Result.judged("RSS grown since", rss_mb[-1] - rss_mb[warm], "MB", target=GROWTH_MB, against="limit"),
        Result.judged("open files, grown since", files[-1] - files[warm], "files", target=2, against="limit"),
        Result.judged("time", len(rss_mb) * SCRAPED_EVERY_S, "s"),
    ]


if __name__ == "__main__":
    main()
