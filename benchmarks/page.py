"""`make bench-page`: the fleet page with 10,000 devices, or as many as DEVICES says, in a real browser.

A coordinator is told of the devices directly; a tenth of them change every second. Measured are the time from
going to the page until the first rows stand in it, the memory of its scripts after half a minute of changes,
and the longest time that the page did not answer while it was scrolled from end to end.
"""

import asyncio
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import CDPSession, Page, async_playwright

from benchmarks.results import Result, publish
from tidewatt_coordinator.access.settings import Access
from tidewatt_coordinator.app import Coordinator, running
from tidewatt_coordinator.broker import free_port
from tidewatt_coordinator.config import Broker, Config, Ledger, Models, PolicyKeys
from tidewatt_coordinator.config import Coordinator as CoordinatorConfig
from tidewatt_wire.messages import Birth, Counters, Gauges, Report, Verdict

SITES, CHANGING, LIVE_S = 40, 10, 30.0
MODES = ("7W", "15W", "25W", "MAXN_SUPER")
MIB = 2**20
#: Before the page's own scripts: the longest time in which nothing else could happen.
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) window.longest = Math.max(window.longest, one.duration);
}).observe({ type: "longtask" });
"""
SHOWN = (
    "count => document.querySelector('table.devices')?.getAttribute('aria-rowcount') === String(count + 1)"
)
ROWS = "document.querySelectorAll('table.devices tbody tr[aria-rowindex]').length"
SCROLL = """async () => {
  for (let step = 0; step <= 60; step += 1) {
    scrollTo(0, (document.documentElement.scrollHeight * step) / 60);
    await new Promise(requestAnimationFrame);
  }
}"""


def main() -> None:
    """Measure and publish."""
    with tempfile.TemporaryDirectory(prefix="tidewatt-page-") as folder:
        results = asyncio.run(measured(Path(folder), int(os.environ.get("DEVICES", "10000"))))
    sys.exit(0 if publish("page", results) else 1)


async def measured(folder: Path, count: int) -> list[Result]:
    """The figures of one run."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("bench-page: needs a browser: sudo apt install --no-install-recommends chromium")
    config = Config(
        access=Access(anonymous="viewer"),
        coordinator=CoordinatorConfig(listen=f"127.0.0.1:{free_port()}"),
        broker=Broker(embedded_port=free_port()),
        ledger=Ledger(url=f"sqlite:///{folder / 'ledger.db'}"),
        policy_keys=PolicyKeys(folder=str(folder / "keys")),
        models=Models(folder=str(folder / "models")),
    )
    async with running(config) as coordinator, async_playwright() as playwright:
        tell(coordinator, range(count), 0)
        telling = asyncio.create_task(go_on(coordinator, count))
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1920, "height": 1080})
        await page.add_init_script(WATCH)
        # Once before, so that it is the page that is measured and not the browser's start.
        await page.goto("about:blank")
        try:
            return await looked(page, f"http://{config.coordinator.listen}/", count)
        finally:
            telling.cancel()
            await browser.close()


async def looked(page: Page, url: str, count: int) -> list[Result]:
    """What a viewer sees, and what it costs him."""
    await page.goto(url)
    await page.wait_for_function(SHOWN, arg=count, timeout=60_000, polling="raf")
    await page.wait_for_function(f"{ROWS} > 10", polling="raf")
    first_s = await page.evaluate("performance.now()") / 1000
    await asyncio.sleep(LIVE_S)
    live_ms = await page.evaluate("window.longest")
    await page.evaluate("window.longest = 0")
    await page.evaluate(SCROLL)
    scroll_ms = await page.evaluate("window.longest")
    rows = await page.evaluate(ROWS)
    heap = await heap_of(await page.context.new_cdp_session(page))
    return [
        Result.judged("first rows of the fleet", first_s, "s", target=2.0),
        Result.judged("JavaScript heap after 30 s", heap / MIB, "MiB", target=200.0),
        Result.judged("longest task while live", live_ms, "ms"),
        Result.judged("longest task while scrolled", scroll_ms, "ms"),
        Result.judged("rows that are elements", rows, "rows", target=100.0),
    ]


async def heap_of(session: CDPSession) -> float:
    """Bytes, after a collection."""
    await session.send("HeapProfiler.enable")
    await session.send("HeapProfiler.collectGarbage")
    found: dict[str, Any] = await session.send("Runtime.getHeapUsage")
    return float(found["usedSize"])


async def go_on(coordinator: Coordinator, count: int) -> None:
    """A tenth of the fleet reports every second."""
    chance, turn = random.Random(7), 1
    while True:
        await asyncio.sleep(1.0)
        tell(coordinator, chance.sample(range(count), count // CHANGING), turn)
        turn += 1


def tell(coordinator: Coordinator, which: "range | list[int]", turn: int) -> None:
    """Births at first, and reports."""
    chance, now_ms = random.Random(turn), coordinator.clock.now_ms()
    for number in which:
        name = f"jetson-{number:05d}"
        said: dict[str, Any] = {"device": name, "session": "s", "epoch": "e", "at_ms": now_ms}
        if turn == 0:
            labels = {"site": f"site-{number % SITES:02d}"}
            birth = Birth(**said, version="0", board="jetson-orin-nano", control="enforce", labels=labels)
            coordinator.fleet.born(birth, now_ms)
        mode = chance.choice(MODES)
        gauges = Gauges(
            point=mode,
            watts=chance.uniform(4, 24),
            requests_rps=chance.uniform(0, 300),
            p95_ms=chance.uniform(5, 80),
            temperature_c=chance.gauss(58, 9),
        )
        verdict = Verdict(point=mode, rule="cheapest", reason="fits", outcome="unchanged")
        report = Report(**said, seq=turn, counters=Counters(energy_mj=turn), gauges=gauges, verdict=verdict)
        coordinator.fleet.reported(report, now_ms)


if __name__ == "__main__":
    main()
