"""The ledger's speed: merging, rolling up, the page's question, any question, its size, and its money.

Merging: rows of one bucket for each of 10,000 devices, batch after batch, into a ledger that
grows. A second is a second of one core: CPU time of this process, for PostgreSQL (fsync off, as
in the tests) with all of the server's processes. The rows are spans ready to be merged, by the
store's own way; "reports" begins with reports, ten of a device in a bucket, and ends with their
lives, buckets and modes. The questions are in real time.

Questions: 10,000 devices, 100 sites, 90 days of hours: 21.6 million rows. `--devices` and
`--days` make it smaller; the targets hold for the full size.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from tests.databases import Postgres, postgres_programs

from benchmarks.money import money
from benchmarks.results import Result, publish
from tidewatt_coordinator.ledger.adhoc import HourCopy
from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.daybook import NEW
from tidewatt_coordinator.ledger.merging import Row, merge_rows
from tidewatt_coordinator.ledger.rolled import DAY_MS, HOUR_MS
from tidewatt_coordinator.ledger.rollup import roll_up
from tidewatt_coordinator.ledger.store import DEVICE_RULES, LIFE_RULES, Ledger
from tidewatt_coordinator.ledger.tables import (
    day_use,
    day_version,
    device_bucket,
    device_life,
    hour_use,
    site_day,
)
from tidewatt_coordinator.ledger.tariff import load_tariff
from tidewatt_coordinator.ledger.use import site_days
from tidewatt_wire.messages import Counters, Gauges, Report

BUCKET_MS = 300_000
START_MS = 1_780_012_800_000 - 1_780_012_800_000 % DAY_MS
ROUNDS, SITES = 12, 100
SQLITE, POSTGRES = "SQLite", "PostgreSQL"
ZEROS = (0,) * len(COUNTERS)


def names(count: int) -> list[str]:
    """The devices' names, in order."""
    return [f"jetson-{number:05d}" for number in range(count)]


class Spent:
    """Seconds of CPU spent on a ledger: this process's, and on PostgreSQL its server processes' too."""

    def __init__(self, server: Postgres | None) -> None:
        self._server = server

    def __call__(self) -> float:
        """Since whenever; differences count."""
        return time.process_time() + (self._server.cpu_s() if self._server else 0.0)


def merged(ledger: Ledger, devices: list[str], spent: Spent) -> float:
    """Rows merged per CPU second into a ledger that grows by a bucket a batch, over all batches."""
    took = 0.0
    for bucket in range(ROUNDS):
        at_ms = START_MS + bucket * BUCKET_MS
        seen = [bucket * 3000 + n for n in range(len(COUNTERS))]
        rows: list[Row] = [
            (at_ms, name, "0123456789abcdef", at_ms + 7, *seen, at_ms + 297_000, *(n + 2900 for n in seen))
            for name in devices
        ]
        start = spent()
        ledger.transact(partial(merge_rows, table=device_bucket, rules=DEVICE_RULES, rows=rows))
        took += spent() - start
    return ROUNDS * len(devices) / took


def taken(ledger: Ledger, devices: list[str], spent: Spent) -> float:
    """Reports taken per CPU second: ten of each device in a batch, into its life, bucket and mode."""
    took = 0.0
    for bucket in range(5):
        reports = [
            Report(
                device=name,
                session="s",
                epoch="e",
                seq=bucket * 10 + n,
                at_ms=START_MS + bucket * BUCKET_MS + n * 30_000,
                counters=Counters(energy_mj=bucket * 10 + n, requests=n, mode_ms={"15W": bucket * 10 + n}),
                gauges=Gauges(),
            )
            for name in devices
            for n in range(10)
        ]
        start = spent()
        ledger.take(reports)
        took += spent() - start
    return 5 * len(reports) / took


def fill(ledger: Ledger, devices: list[str], days: int) -> None:
    """Rolled up hours and days as they would stand after so many days."""
    for day in range(days):
        day_ms = START_MS + day * DAY_MS
        for hour in range(24):
            rows = [
                (day_ms + hour * HOUR_MS, name, "e", 20_000_000 + (n * 37 + hour * 11 + day) % 9_000_000,
                 (n + hour) % 50_000, 0, 0, 1, 0)
                for n, name in enumerate(devices)
            ]  # fmt: skip
            ledger.transact(partial(merge_rows, table=hour_use, rules=NEW, rows=rows))
        sites = [
            (
                day_ms,
                name,
                "e",
                f"site-{n % SITES:03d}",
                24 * 20_000_000,
                24 * 9000,
                0,
                0,
                24,
                0,
                day_ms,
                *ZEROS,
            )
            for n, name in enumerate(devices)
        ]

        def written(connection: object, rows: list[tuple[object, ...]] = sites, day_ms: int = day_ms) -> None:
            use = dict.fromkeys([one.name for one in day_use.columns if not one.primary_key], "new")
            merge_rows(connection, day_use, use, rows)  # type: ignore[arg-type]
            by_site = [(day_ms, f"site-{n:03d}", 10**12, 10**9, 0, 0, 24, 0) for n in range(SITES)]
            merge_rows(connection, site_day, dict.fromkeys(COUNTERS, "new"), by_site)  # type: ignore[arg-type]
            merge_rows(connection, day_version, {"version": "new"}, [(day_ms, 1)])  # type: ignore[arg-type]

        ledger.transact(written)


def median_s(work: Callable[[], object], rounds: int = 5) -> float:
    """Seconds of real time, the median of the rounds, after one that warms up."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def page(ledger: Ledger, days: int) -> list[tuple[str, int, Decimal]]:
    """The cost of every site on every day."""
    tariff = load_tariff("")
    return [
        (day.site, day.day_ms, tariff.cost(day.values[0]))
        for day in site_days(ledger, START_MS, START_MS + days * DAY_MS)
    ]


def rolled(ledger: Ledger, devices: list[str], spent: Spent) -> float:
    """Lives rolled up per CPU second as in steady state: one more bucket for each."""
    for bucket in (0, 12, 24, 36, 37):
        at_ms = START_MS + bucket * BUCKET_MS
        rows: list[Row] = [
            (at_ms, n, "0123456789abcdef", at_ms, *[10**6] * 6, at_ms + 9, *[10**6] * 6) for n in devices
        ]
        lives: list[Row] = [(n, "0123456789abcdef", at_ms, at_ms + 9, *[10**6] * 6) for n in devices]

        def both(connection: object, rows: list[Row] = rows, lives: list[Row] = lives) -> None:
            merge_rows(connection, device_life, LIFE_RULES, lives)  # type: ignore[arg-type]
            merge_rows(connection, device_bucket, DEVICE_RULES, rows)  # type: ignore[arg-type]

        ledger.transact(both)
        start = spent()
        count = roll_up(ledger)
        rate = count / (spent() - start)
    return rate


def by_sql(ledger: Ledger) -> None:
    """Any question without the copy: the hours grouped by device in the ledger's own database."""
    use = sa.func.sum(hour_use.c.energy_mj)
    with ledger.engine.connect() as connection:
        connection.execute(sa.select(hour_use.c.device, use).group_by(hour_use.c.device)).all()


def merging(kind: str, url: str, devices: list[str], spent: Spent) -> list[Result]:
    """What goes in, a second of one core."""
    ledger = Ledger(url, BUCKET_MS)
    target = {SQLITE: 150_000, POSTGRES: 90_000}[kind]
    against = f"batches of {len(devices):,}, one core"
    found = [
        Result.judged(
            f"rows merged into {kind}",
            merged(ledger, devices, spent),
            "rows/s",
            better="higher",
            target=target,
            against=against,
        ),
        Result.judged(f"lives rolled up, {kind}", rolled(ledger, devices, spent), "lives/s", better="higher"),
        Result.judged(
            f"reports taken into {kind}", taken(ledger, devices, spent), "reports/s", better="higher"
        ),
    ]
    ledger.close()
    return found


def asking(kind: str, ledger: Ledger, devices: list[str], days: int) -> list[Result]:
    """What the page asks, and what the database alone would need for any question."""
    fill(ledger, devices, days)
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # The planner's statistics are up to date, as they are after some minutes of a server's life.
        connection.execute(sa.text("ANALYZE"))
    start = time.perf_counter()
    by_sql(ledger)
    any_s = time.perf_counter() - start
    page_s = median_s(lambda: page(ledger, days))
    rows = f"{len(devices) * days * 24:,} hours"
    return [
        Result.judged(
            f"cost per site and day, {kind}", 1000 * page_s, "ms", target=50,
            against=f"{len(page(ledger, days)):,} rows of {rows}",
        ),
        Result.judged(f"by device in SQL alone, {kind}", any_s, "s", against=f"{rows}, once, for comparison"),
    ]  # fmt: skip


def copied(ledger: Ledger, folder: Path, devices: list[str], days: int) -> list[Result]:
    """Any question of the copy."""
    copy = HourCopy(ledger, folder)
    start = time.perf_counter()
    copy.refresh()
    found = [Result.judged("a day's hours copied to Parquet", (time.perf_counter() - start) / days, "s")]
    size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    found.append(Result.judged("hours as Parquet", size / 1e6, "MB"))
    end_ms = START_MS + days * DAY_MS
    # Those with an hour read all rows, the others the days' sums.
    for by in (
        ["site", "day"], ["device"], ["hour_of_day", "site"], ["device", "day"], ["device", "hour_of_day"],
    ):  # fmt: skip
        taken_s = median_s(partial(copy.group, by, START_MS, end_ms), 3)
        against = f"{len(devices) * days * 24:,} rows, DuckDB over Parquet"
        found.append(Result.judged(f"by {' and '.join(by)}", taken_s, "s", target=1.5, against=against))
    return found


def on_sqlite(folder: Path, devices: list[str], days: int) -> list[Result]:
    """Everything on SQLite, and the copy."""
    found = merging(SQLITE, f"sqlite:///{folder / 'merge.db'}", devices, Spent(None))
    file = folder / "hours.db"
    ledger = Ledger(f"sqlite:///{file}", BUCKET_MS)
    found += asking(SQLITE, ledger, devices, days)
    found.append(Result.judged(f"database, {SQLITE}", file.stat().st_size / 1e6, "MB"))
    found += copied(ledger, folder / "copy", devices, days)
    found += money(SQLITE, ledger, folder, devices, days, START_MS)
    ledger.close()
    return found


def on_postgres(folder: Path, devices: list[str], days: int) -> list[Result]:
    """The same on PostgreSQL; nothing where it isn't installed."""
    programs = postgres_programs()
    if not programs:
        print("PostgreSQL isn't installed: its figures are left out")
        return []
    server = Postgres(programs, folder / "postgres")
    server.start()
    try:
        found = merging(POSTGRES, server.database("merge"), devices, Spent(server))
        ledger = Ledger(server.database("hours"), BUCKET_MS)
        found += asking(POSTGRES, ledger, devices, days)
        with ledger.engine.connect() as connection:
            size = connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one()
        found += money(POSTGRES, ledger, folder, devices, days, START_MS)
        ledger.close()
    finally:
        server.stop()
    return [*found, Result.judged(f"database, {POSTGRES}", size / 1e6, "MB")]


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=90)
    asked = parser.parse_args()
    devices = names(asked.devices)
    with tempfile.TemporaryDirectory() as made:
        results = on_sqlite(Path(made), devices, asked.days)
        results += on_postgres(Path(made), devices, asked.days)
    sys.exit(0 if publish("ledger", results) else 1)


if __name__ == "__main__":
    main()
