"""Ingest: reports a second from the broker into the ledger, beside a plain consumer; memory of a device.

A real Mosquitto with the shipped limits, on a plain port; the load in a process of its own, of
so many devices in turn; the consumer in another. Ours reads, looks at, merges and commits each report in
SQLite, and acknowledges it after that; aiomqtt's counts messages and does nothing else. Both alternate, so
that a machine that is busy is busy for both. Every message must come: none missing in any device's sequence.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.world import Mosquitto

from benchmarks.ingest.consumer import AT_MS
from benchmarks.results import Result, publish

LIMITS = Path(__file__).parents[2] / "packaging/mosquitto/tidewatt.conf"
#: A consumer that is this long without its messages has lost some.
LIMIT_S = 300
MILLION = 1_000_000
SEARCH = "/usr/sbin:/usr/local/sbin:/usr/bin"

Figures = dict[str, float]


def program(*arguments: object) -> "subprocess.Popen[str]":
    """One of this benchmark's processes, whose lines are read."""
    command = [sys.executable, "-m", *(str(one) for one in arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def told(process: "subprocess.Popen[str]") -> str:
    """The next line that it says."""
    return process.stdout.readline().strip() if process.stdout else ""


@contextlib.contextmanager
def broker_of(mosquitto: str) -> Iterator[Mosquitto]:
    """A new one for each run: it would keep, for the session of one that is over, what the next publishes."""
    with tempfile.TemporaryDirectory() as made:
        broker = Mosquitto(mosquitto, Path(made))
        broker.settings = "\n".join(re.findall(r"^max_.*$", LIMITS.read_text(), re.MULTILINE))
        broker.start()
        try:
            yield broker
        finally:
            broker.kill()


def run(mosquitto: str, kind: str, names: int, each: int, size: str = "short") -> Figures:
    """One consumer and its load; CPU seconds of them and of the broker, too."""
    with broker_of(mosquitto) as broker, tempfile.TemporaryDirectory() as made:
        count, process = names * each, broker.process()
        before_s = sum(process.cpu_times()[:2])
        load = program("benchmarks.ingest.load", *broker.address, names, each, AT_MS, size)
        consumer = program("benchmarks.ingest.consumer", kind, broker.url, count, made)
        try:
            if (told(load), told(consumer)) != ("ready", "ready"):
                raise SystemExit(f"the {kind} consumer or its load did not begin")
            load_s, _ = load.communicate("go\n", timeout=LIMIT_S)
            said, _ = consumer.communicate("go\n", timeout=LIMIT_S)
        finally:
            load.kill()
            consumer.kill()
        used_s = sum(process.cpu_times()[:2]) - before_s
    return dict(json.loads(said)) | {"count": count, "load_s": float(load_s), "broker_s": used_s}


def rates(mosquitto: str, asked: argparse.Namespace) -> list[Result]:
    """Ours and theirs in turn."""
    each = {"ours": asked.each, "line": asked.each, "queued": asked.each, "aiomqtt": asked.theirs}
    found: dict[str, list[Figures]] = {kind: [] for kind in each}
    for _ in range(asked.rounds):
        for kind, some in found.items():
            some.append(run(mosquitto, kind, asked.names, each[kind]))
    mine, ceiling, waited, other = ([one["count"] / one["wall_s"] for one in some] for some in found.values())
    rate, spread = statistics.median(mine), f"{min(mine):,.0f} to {max(mine):,.0f} in {asked.rounds} rounds"
    ratios, shares = _ratios(mine, other), _ratios(mine, ceiling)
    full = run(mosquitto, "ours", asked.names, asked.each // 2, "full")
    costs = [_costs(found["ours"], part) for part in ("cpu_s", "broker_s", "load_s")]
    theirs = _costs(found["aiomqtt"], "cpu_s")
    missed = full["missed"] + sum(one["missed"] for one in found["ours"] + found["queued"])
    load = f"343 bytes, {asked.names:,} devices; {spread}"
    return [
        Result.judged("reports in the ledger", rate, "/s", better="higher", target=40_000, against=load),
        Result.judged(
            "the same, acknowledged only after the commit", rate, "/s", better="higher", target=20_000,
            against="there is no other way: every report is",
        ),
        Result.judged(
            "beside a plain aiomqtt consumer", statistics.median(ratios), "x", better="higher", target=2.5,
            against=f"{statistics.median(other):,.0f}/s; {min(ratios):.2f} to {max(ratios):.2f}",
        ),
        Result.judged(
            "beside a consumer that only reads and acknowledges", statistics.median(shares), "x",
            better="higher",
            against=f"{statistics.median(ceiling):,.0f}/s, the most that is possible here; "
            f"{min(shares):.2f} to {max(shares):.2f}",
        ),
        Result.judged(
            "reports in the ledger, queued at the broker before", statistics.median(waited), "/s",
            better="higher", against="as after an absence: nobody publishes meanwhile",
        ),
        Result.judged("missing in the devices' sequences", missed, "reports", target=0, against="all"),
        Result.judged("CPU of a report, ours", costs[0], "us", against="all of it, in SQLite"),
        Result.judged("the same, the broker", costs[1], "us", against="in and out"),
        Result.judged("the same, the load", costs[2], "us", against="packets that were encoded before"),
        Result.judged("CPU of a message, aiomqtt", theirs, "us", against="counted only"),
        Result.judged(
            "full reports in the ledger", full["count"] / full["wall_s"], "/s", better="higher",
            against="531 bytes, as agents encode them today",
        ),
    ]  # fmt: skip


def _ratios(some: list[float], others: list[float]) -> list[float]:
    return [one / two for one, two in zip(some, others, strict=True)]


def _costs(found: list[Figures], part: str) -> float:
    """CPU microseconds of a message."""
    return statistics.median(1e6 * one[part] / one["count"] for one in found)


def memory(count: int) -> list[Result]:
    """What so many known devices take."""
    with tempfile.TemporaryDirectory() as made:
        process = program("benchmarks.ingest.consumer", "devices", count, made)
        said, _ = process.communicate()
    found = json.loads(said)
    results = [
        Result.judged(
            f"memory of a device, {count:,} known", found["bytes"], "bytes", target=1024,
            against="born, reporting, in the ledger",
        )
    ]  # fmt: skip
    if count >= MILLION:
        results.append(
            Result.judged(f"{count:,} known devices", found["rss_mb"], "MB", target=1200, against="all of it")
        )
    return results


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=10_000, help="devices that report")
    parser.add_argument("--each", type=int, default=20, help="reports of each")
    parser.add_argument("--theirs", type=int, default=3, help="the same, for the plain consumer")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--known", type=int, nargs="*", default=[100_000, 1_000_000])
    asked = parser.parse_args()
    found = shutil.which("mosquitto", path=SEARCH)
    if not found:
        sys.exit("needs Mosquitto: sudo apt install --no-install-recommends mosquitto")
    busy = os.getloadavg()[0]
    results = [
        Result.judged(
            "processes that want a processor, before",
            busy,
            "",
            against=f"{os.cpu_count()} processors, all told",
        )
    ]
    results += rates(found, asked)
    try:
        for count in asked.known:
            results += memory(count)
    finally:  # who ends it early has what was measured
        met = publish("ingest", results)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
