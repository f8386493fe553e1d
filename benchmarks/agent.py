"""The footprint of one agent at 1 Hz, beside prometheus-node-exporter on the same machine.

Three agents, an actuator and the exporter run at the same time for the same minute, and look at their
machine once a second: one agent by tegrastats lines, one by a recorded board's /sys, and one more so with
the shipped forecaster, which knows three hours of traffic and so forecasts every minute (all tick once a
second and are scraped every 15 s), the actuator because it is asked for the board's state, the exporter
because it is scraped. Each agent has a simulated board behind real doors, an application to read, and a
broker to report to. Only its own process is counted: tegrastats is NVIDIA's, room and broker the world.
Programs start as by the packages' launcher, with modules that are compiled, as the units keep them.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import psutil

from benchmarks.results import Result, publish
from tidewatt_agent.foresight import KeptHistory
from tidewatt_agent.recording import lay_out, load
from tidewatt_coordinator.broker import embedded, free_port
from tidewatt_wire.documents import to_toml

SECONDS = int(os.environ.get("BENCH_SECONDS", "60"))
WARM_UP_S = 10
#: A busy machine may take so long to start everything.
START_S = 60.0
SCRAPED_EVERY_S = 15
#: The agents, by the way they read.
READERS = {"sysfs": "sysfs", "tegrastats": "tegrastats", "sysfs-forecast": "sysfs"}
FORECASTS = "sysfs-forecast"
KNOWN_MINUTES = 180
RECORDING = Path(__file__).parents[1] / "tests/boards/orin-nano-super-jp62"
#: From the footprint targets of the product: an agent without a forecaster and with one, an actuator.
RSS_MB, FORECAST_RSS_MB, ACTUATOR_RSS_MB = 38.0, 70.0, 15.0
CPU_MS, CPU_RATIO = 2.5, 0.3


def program(module: str) -> list[str]:
    """How a program is started, as packaging/deb/launcher.py does."""
    return [sys.executable, "-c", f"from {module} import main; main()"]


AGENT, ACTUATOR = program("tidewatt_agent.cli"), program("tidewatt_agent.actuator.cli")
#: What a unit's second start finds compiled.
MODULES = ("tidewatt_agent.daemon", "tidewatt_agent.actuator.cli", "tidewatt_governor.forecast.forecaster")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def compile_modules() -> None:
    """Have the modules compiled by a process that ends: an interpreter keeps what compiling took."""
    subprocess.run([sys.executable, "-c", f"import {', '.join(MODULES)}"], env=ENVIRONMENT, check=True)


@contextlib.contextmanager
def process(*arguments: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A child process for as long as the context lasts."""
    with log.open("wb") as errors:
        child = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=ENVIRONMENT
        )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(10)


def agent_config(
    folder: Path, name: str, board: dict[str, object], broker: tuple[str, int], port: int
) -> Path:
    """The configuration of the agent that reads by `name`: everything on, one tick a second."""
    state = folder / name
    state.mkdir()
    document = {
        "agent": {"fleet": "bench", "device": name, "control": "enforce"},
        "board": {"profile": "orin-nano-super", "actuator_socket": board["actuator_socket"]},
        "reader": {"kind": READERS[name], "root": str(folder / "root")},
        "tegrastats": {"command": board["tegrastats"]},
        "load": [{"url": board["metrics_url"]}],
        "link": {"broker": f"mqtt://{broker[0]}:{broker[1]}"},
        "metrics": {"listen": f"127.0.0.1:{port}"},
        "state": {"folder": str(state)},
        "forecast": {"model": "shipped" if name == FORECASTS else ""},
    }
    if name == FORECASTS:
        rates = array("f", (10.0 + minute % 7 for minute in range(KNOWN_MINUTES)))
        known = KeptHistory(int(time.time() // 60) - 1, rates.tobytes())
        (state / "traffic.history").write_bytes(msgspec.msgpack.encode(known))
    path = state / "agent.toml"
    path.write_text(to_toml(document))
    return path


@contextlib.contextmanager
def actuator(folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", socket.socket]]:
    """An actuator over the recorded board, and a connection to ask it by."""
    path = folder / "actuator.sock"
    options = {
        "--root": folder / "root",
        "--socket": path,
        "--undo": folder / "undo.json",
        "--user": os.getuid(),
    }
    arguments = [str(part) for pair in options.items() for part in pair]
    with (
        process(*ACTUATOR, "run", *arguments, log=folder / "actuator.log") as child,
        socket.socket(socket.AF_UNIX) as door,
    ):
        door.settimeout(START_S)
        for _ in range(round(START_S / 0.1)):
            if path.exists():
                break
            time.sleep(0.1)
        door.connect(str(path))
        yield child, door


def measure(
    processes: dict[str, psutil.Process], pages: dict[str, int], door: socket.socket
) -> dict[str, tuple[float, float]]:
    """Peak RSS in MB and CPU milliseconds per second of each process; `pages` are scraped every so many s."""
    before = {name: sum(one.cpu_times()[:2]) for name, one in processes.items()}
    peak = dict.fromkeys(processes, 0.0)
    start = time.monotonic()
    for second in range(1, SECONDS + 1):
        for page, every_s in pages.items():
            if second % every_s:
                continue
            with urllib.request.urlopen(page, timeout=5) as answer:
                answer.read()
        door.sendall(b'{"op":"state"}\n')
        door.recv(65_536)
        for name, one in processes.items():
            peak[name] = max(peak[name], one.memory_info().rss / 1e6)
        time.sleep(max(0.0, start + second - time.monotonic()))
    elapsed = time.monotonic() - start
    return {
        name: (peak[name], (sum(one.cpu_times()[:2]) - before[name]) * 1000 / elapsed)
        for name, one in processes.items()
    }


def until_served(pages: Iterable[str]) -> None:
    """Return when every page is served; OSError if one isn't in time."""
    deadline_s = time.monotonic() + START_S
    for page in pages:
        while True:
            try:
                urllib.request.urlopen(page, timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.2)


def main() -> None:
    """Measure and publish."""
    exporter = shutil.which("prometheus-node-exporter", path=os.environ["PATH"] + ":/usr/sbin")
    if exporter is None:
        sys.exit("bench-agent: the peer is missing: apt install prometheus-node-exporter")
    ports = {name: free_port() for name in ("peer", *READERS)}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidewatt-bench-")))
        lay_out(load(RECORDING).tree, folder / "root")
        broker = stack.enter_context(embedded(free_port())).address
        compile_modules()
        timebase = {"origin_unix_ms": int(time.time() * 1000), "origin_monotonic_s": time.monotonic()}
        room_file = folder / "room.toml"
        room_file.write_text(
            to_toml({"fleet": "bench", "devices": list(READERS), "folder": str(folder), "clock": timebase})
        )
        room = stack.enter_context(process(*AGENT, "simulate", str(room_file), log=folder / "room.log"))
        assert room.stdout is not None  # noqa: S101 - asked for a pipe
        boards = json.loads(room.stdout.readline())
        measured = {}
        for name in READERS:
            config = agent_config(folder, name, boards[name], broker, ports[name])
            agent = stack.enter_context(
                process(*AGENT, "run", "--config", str(config), log=folder / f"{name}.log")
            )
            measured[name] = psutil.Process(agent.pid)
        peer = stack.enter_context(
            process(exporter, f"--web.listen-address=127.0.0.1:{ports['peer']}", log=folder / "peer.log")
        )
        measured["peer"] = psutil.Process(peer.pid)
        every_s = {"peer": 1} | dict.fromkeys(READERS, SCRAPED_EVERY_S)
        pages = {f"http://127.0.0.1:{ports[name]}/metrics": every_s[name] for name in every_s}
        acting, door = stack.enter_context(actuator(folder))
        measured["actuator"] = psutil.Process(acting.pid)
        until_served(pages)
        time.sleep(WARM_UP_S)
        figures = measure(measured, pages, door)
    sys.exit(0 if publish("agent", results(figures)) else 1)


def results(figures: dict[str, tuple[float, float]]) -> list[Result]:
    """The table: each agent against the limits and the peer."""
    beside = "node_exporter at 1 Hz"
    peer_rss, peer_cpu = figures["peer"]
    table = []
    for name in READERS:
        rss, cpu = figures[name]
        limit = FORECAST_RSS_MB if name == FORECASTS else RSS_MB
        table += [
            Result.judged(f"agent by {name}: RSS, peak", rss, "MB", target=limit, against="limit"),
            Result.judged(f"agent by {name}: CPU", cpu, "ms/s", target=CPU_MS, against="limit"),
            Result.judged(
                f"agent by {name}: CPU / peer CPU", cpu / peer_cpu, "ratio", target=CPU_RATIO, against=beside
            ),
            Result.judged(f"agent by {name}: RSS / peer RSS", rss / peer_rss, "ratio", against=beside),
        ]
    rss, cpu = figures["actuator"]
    return [
        *table,
        Result.judged("actuator: RSS, peak", rss, "MB", target=ACTUATOR_RSS_MB, against="limit"),
        Result.judged("actuator: CPU", cpu, "ms/s", against="asked once a second"),
        Result.judged("peer RSS, peak", peer_rss, "MB", against=beside),
        Result.judged("peer CPU", peer_cpu, "ms/s", against=beside),
    ]


if __name__ == "__main__":
    main()
