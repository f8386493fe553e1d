"""Money at the ledger's full size: one day's edge charges worked out, and the look of budgets and anomalies.

Each device has a charge for energy, one for connectivity and one for its write-off, by day; 100 sites
under a tariff with windows. One day is settled as a coordinator does it, from the rolled up hours to
the kept charges and their sums; the days before it are copies of it, and only there to be looked at.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from benchmarks.results import Result
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.alerts.watch import Watch
from tidewatt_coordinator.config import parse_config
from tidewatt_coordinator.costs.days import Window
from tidewatt_coordinator.electricity.settling import GRACE_MS, Settling
from tidewatt_coordinator.ledger.merging import merge_rows
from tidewatt_coordinator.ledger.rolled import DAY_MS, HOUR_MS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import charge, edge_day, edge_day_mark, hour_version, known_device
from tidewatt_coordinator.questions import reading
from tidewatt_wire.clock import Clock, Timebase

TARIFF = """
name = "by the clock"
currency = "USD"
price_per_kwh = "0.21"
valid_from = 2020-01-01
source = "a benchmark's"
zone = "Europe/Berlin"
per_month = "31"
[[window]]
name = "evening"
from = "17:15"
to = "20:45"
price_per_kwh = "0.37"
"""
SITES = """
[[hardware]]
name = "Orin Nano"
match = { board = "nano" }
price = "260"
life_months = 240
bought = 2024-01-01
connectivity_per_month = "4"
"""
CONFIG = """
[[budgets]]
name = "all"
amount = "100000"
[[budgets]]
name = "one"
amount = "1000"
site = "site-007"
"""


def money(
    kind: str, ledger: Ledger, folder: Path, devices: list[str], days: int, start_ms: int
) -> list[Result]:
    """The figures, of a ledger with hours and days from `start_ms` on."""
    last_ms = start_ms + (days - 1) * DAY_MS
    _ready(ledger, devices, last_ms)
    (folder / "tariff.toml").write_text(TARIFF)
    (folder / "sites.toml").write_text(SITES)
    files = {"sites": str(folder / "sites.toml"), "tariff": str(folder / "tariff.toml")}
    now_ms = last_ms + DAY_MS + GRACE_MS
    settling = Settling(ledger, lambda: now_ms, fleet="f", **files)
    settle_s = _took(settling.round)
    late_s = _took(partial(_late, ledger, settling, last_ms))
    _copied(ledger, last_ms, days)
    watch = Watch(
        AlertBook(ledger.engine, "f"),
        ledger.engine,
        parse_config(CONFIG, name="c.toml"),
        Clock(lambda: 0.0, lambda: 0.0, Timebase(now_ms, 0.0)),
    )
    look_s, again_s = _took(watch.look), _took(watch.look)
    window = Window(start_ms, last_ms + DAY_MS)
    service_s = _took(lambda: reading.costs(ledger, window, ["edge"], ["day", "service"]))
    week = Window(last_ms - 6 * DAY_MS, last_ms + DAY_MS)
    device_s = _took(lambda: reading.costs(ledger, week, ["edge"], ["device"]))
    with ledger.engine.connect() as connection:
        rows = connection.execute(sa.select(sa.func.count()).select_from(charge)).scalar_one()
    fleet, of = f"{len(devices):,} devices", f"{days} days, {rows:,} charges"
    return [
        Result.judged(f"a day's edge charges worked out, {kind}", settle_s, "s", target=15, against=fleet),
        Result.judged(f"the same day after one late report, {kind}", late_s, "s", target=15, against=fleet),
        Result.judged(f"first look of budgets and anomalies, {kind}", look_s, "s", target=5, against=of),
        Result.judged(f"the next look, {kind}", again_s, "s", target=2, against=of),
        Result.judged(f"cost by day and service, {kind}", service_s, "s", target=1, against=of),
        Result.judged(f"cost by device in the last week, {kind}", device_s, "s", against=of),
    ]


def _ready(ledger: Ledger, devices: list[str], day_ms: int) -> None:
    """The last day's hours are said to be new, and the devices are known."""
    known = {"fleet": "f", "status": "online", "revision": 0, "ack": "", "code": "", "reason": ""}
    labels = json.dumps({"board": "nano"})
    hours = [(day_ms + hour * HOUR_MS, 1) for hour in range(24)]
    with ledger.engine.begin() as connection:
        rows = [known | {"device": name, "labels": labels, "seen_ms": 0} for name in devices]
        connection.execute(sa.insert(known_device), rows)
        merge_rows(connection, hour_version, {"version": "new"}, hours)


def _late(ledger: Ledger, settling: Settling, day_ms: int) -> None:
    with ledger.engine.begin() as connection:
        merge_rows(connection, hour_version, {"version": "sum"}, [(day_ms, 1)])
        connection.execute(
            sa.text("UPDATE hour_use SET energy_mj = energy_mj + 1000 WHERE hour_ms = :at AND device = :who"),
            {"at": day_ms, "who": "jetson-00007"},
        )
    settling.round()


def _copied(ledger: Ledger, day_ms: int, days: int) -> None:
    """The day's charges and sums once more for each of the days before it."""
    with ledger.engine.begin() as connection:
        for back in range(1, days):
            shift = back * DAY_MS
            for table in (charge, edge_day, edge_day_mark):
                columns = [one for one in table.columns if one.name != "id"]
                moved = [
                    one - shift
                    if one.name in ("day_ms", "start_ms", "end_ms")
                    else one + f"-{back}"
                    if one.name in ("key", "batch")
                    else one
                    for one in columns
                ]
                mine = table.c.start_ms if table is charge else table.c.day_ms
                rows = sa.select(*moved).where(mine == day_ms)
                connection.execute(sa.insert(table).from_select([one.name for one in columns], rows))


def _took(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
