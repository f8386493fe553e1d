"""A coordinator as a process: a budget is passed, it is killed while it tells so, and people are told."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.costing import DAY_MS, OCTOBER_MS, a_charge
from tests.hearing import Hearing, hearing
from tests.ports import free_port
from tests.world import Mosquitto, until

from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger

CONFIG = """
[coordinator]
fleet = "f"
listen = "127.0.0.1:{port}"
lease_s = 2
[broker]
url = "{broker}"
[ledger]
url = "sqlite:///{folder}/l.db"
[policy_keys]
folder = "{folder}/keys"
[models]
folder = "{folder}/models"
[[budgets]]
name = "cloud"
amount = "100"
actual = [80]
[clock]
origin_unix_ms = {noon}
origin_monotonic_s = {monotonic}
[alerts]
mqtt = false
every_s = 1
[[alerts.webhook]]
name = "ops"
url = "{hook}"
"""

TIDEWATT = [sys.executable, "-m", "tidewatt_coordinator"]


@contextlib.contextmanager
def coordinator(file: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with file.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen([*TIDEWATT, "serve", "--config", str(file)], stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def there() -> Iterator[Hearing]:
    with hearing() as running:
        yield running


async def test_people_are_told_in_spite_of_everything(
    mosquitto: Mosquitto, there: Hearing, tmp_path: Path
) -> None:
    file = tmp_path / "c.toml"
    places = {"port": free_port(), "broker": mosquitto.url, "folder": tmp_path, "hook": there.url}
    # The middle of a month, whenever this is run.
    today_ms = OCTOBER_MS + 14 * DAY_MS
    file.write_text(CONFIG.format(**places, noon=today_ms + DAY_MS // 2, monotonic=time.monotonic()))
    ledger = Ledger(f"sqlite:///{tmp_path}/l.db", 300_000)
    try:
        today = {"start_ms": today_ms, "end_ms": today_ms + DAY_MS}
        Charges(ledger.engine).put([a_charge(**today, billed=Decimal(81))], today_ms)
        there.answers.clear()
        with coordinator(file) as process:
            await until(lambda: there.heard)
            process.send_signal(signal.SIGKILL)  # it told, and never knew that it was heard
            process.wait()
        there.answers.set()
        book = AlertBook(ledger.engine, "f")
        assert book.last()["budget.cloud.actual-80"].state == "firing"
        with coordinator(file):
            await until(lambda: not book.waiting())
            acknowledge = [*TIDEWATT, "alerts", "ack", "budget.cloud.actual-80", "--config", str(file)]
            await asyncio.to_thread(subprocess.run, acknowledge, check=True, capture_output=True)
            # What the bill takes back ends the alert.
            Charges(ledger.engine).put([a_charge(**today, billed=Decimal(7))], today_ms)
            await until(lambda: not book.history(2**62) and not book.waiting())
    finally:
        ledger.close()
    events = [json.loads(body) for _, body in there.heard]
    told = list(dict.fromkeys((event["id"], event["type"]) for event in events))
    assert [kind for _, kind in told] == [
        "tidewatt.alert.firing",
        "tidewatt.alert.acknowledged",
        "tidewatt.alert.recovered",
    ]
    assert len({event["id"] for event in events}) == 3
    assert events[0] == events[1]  # the same event, in the same bytes, and then no more
    assert len(events) == 4
    log = file.with_suffix(".log").read_text()
    assert "Traceback" not in log
    assert "ERROR tidewatt_coordinator.alerts" not in log
