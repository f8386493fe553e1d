"""A week of the agent in virtual time: on the last day it holds as much memory as on the second."""

import asyncio
import gc
import sys
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry

from tidewatt_agent.body import Body
from tidewatt_agent.config import parse_config
from tidewatt_agent.daemon import _shown, _tick
from tidewatt_agent.mind import Mind
from tidewatt_agent.outbox import MOST_IN_MEMORY, Outbox
from tidewatt_agent.readers import Probe, ReaderCounts, Readers, TimedSample
from tidewatt_agent.setup import policies_of
from tidewatt_agent.tegrastats.parse import parse_line
from tidewatt_governor.sample import Load
from tidewatt_wire.clock import Clock
from tidewatt_wire.documents import to_toml

DAY_S, STEP_S = 86_400, 30
LINE = "RAM 2513/7620MB (lfb 2x4MB) CPU [{cpu}%@1510,off] GR3D_FREQ {gpu}% tj@{heat}C VDD_IN {mw}/{mw}"


class Board:
    """Readings and requests that follow the hour."""

    name = "board"

    def __init__(self) -> None:
        self.now_s = 0.0
        self.counts = ReaderCounts()

    def probe(self) -> Probe:
        return Probe("ok", "")

    async def run(self) -> None:
        """Readings are made when they are taken; like every reader it ends by cancellation only."""
        self.counts.starts += 1
        await asyncio.Event().wait()

    def take(self) -> list[TimedSample]:
        self.counts.samples += 1
        hour, at = int(self.now_s // 3600) % 24, int(self.now_s // STEP_S)
        line = LINE.format(cpu=at % 101, gpu=hour * 4, heat=40 + hour, mw=4000 + at % 3000)
        return [TimedSample(self.now_s, parse_line(line), "tegrastats")]

    def ask(self) -> None:
        pass

    async def read(self, now_s: float) -> Load | None:
        return Load(requests=int(now_s / 60) % 900, interval_s=STEP_S, p95_ms=20.0 + int(now_s) % 30)


async def test_a_week_leaves_nothing_behind(tmp_path: Path) -> None:
    board = Board()
    clock = Clock(lambda: board.now_s, lambda: 1_800_000_000.0 + board.now_s)
    document = {
        "agent": {"fleet": "f", "device": "d", "gap_s": 3.0 * STEP_S},
        "board": {"profile": "orin-nano-super"},
        "reader": {"root": str(tmp_path)},
        "state": {"folder": str(tmp_path)},
    }
    config = parse_config(to_toml(document), name="soak", overrides={})
    policies = policies_of(config)
    body = Body(config, clock, policies)
    body.readers = Readers([board], clock)
    body.load = board  # type: ignore[assignment] # all that the tick needs of it
    mind = Mind(config, clock, policies, body.profile)
    shown, away = _shown(clock, body, mind, None), Outbox(None, now_s=lambda: board.now_s)
    page = CollectorRegistry()
    page.register(shown)
    with (tmp_path / "journal").open("w") as journal:
        tick = _tick(clock, body, mind, None, journal)
        blocks = []
        for _ in range(7):
            for step in range(DAY_S // STEP_S):
                board.now_s += STEP_S
                report = await tick()
                shown.show(report, tick.seen)
                away.put(report)  # no broker for a week
                if step % 180 == 0:
                    generate_latest(page)
            gc.collect()
            blocks.append(sys.getallocatedblocks())
    assert away.fresh <= MOST_IN_MEMORY
    assert blocks[-1] < blocks[1] * 1.01, f"blocks of memory held at the end of each day: {blocks}"
