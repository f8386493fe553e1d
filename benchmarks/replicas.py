"""What it costs that coordinators share the reports, and what a device takes in PostgreSQL.

A second is a second of one core: CPU time of this process and of the server with all of its processes (fsync
off, as in the tests). Two coordinators take turns with batches of one report of each device: one merges with
the shared view and one without it in the same run, so that the ratio holds on a busy machine, too.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa
from tests.databases import Postgres, postgres_programs

from benchmarks.results import Result, publish
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.replicas import Replicas
from tidewatt_wire.messages import Counters, Gauges, Report

START_MS, STEP_MS, BUCKET_MS = 1_795_000_000_000, 10_000, 300_000
ROUNDS = 10


def reports(devices: int, number: int) -> list[Report]:
    """One of each device, ten seconds after the one before."""
    return [
        Report(
            device=f"board-{name:07d}", session="0123456789abcdef", epoch="0123456789abcdef", seq=number,
            at_ms=START_MS + number * STEP_MS,
            counters=Counters(
                energy_mj=number * 90_000, requests=number * 400, mode_ms={"15W": number * STEP_MS}
            ),
            gauges=Gauges(point="15W", watts=9.0, requests_rps=40.0, p95_ms=31.5, temperature_c=51.0),
        )
        for name in range(devices)
    ]  # fmt: skip


class Costs:
    """What has been spent on each part."""

    def __init__(self, server: Postgres, devices: int) -> None:
        ledger = Ledger(server.database("replicas"), BUCKET_MS)
        self.ledger, self._server, self._devices = ledger, server, devices
        fleets = Fleet(60_000), Fleet(60_000)
        self._both = [(one, Replicas(ledger, one, "f", f"c{number}")) for number, one in enumerate(fleets)]
        for _, shared in self._both:
            shared.look()
        self.merged_s = self.told_s = self.looked_s = 0.0

    def round(self, number: int) -> None:
        """One hears and merges, the other looks."""
        (heard, mine), (_, other) = self._both[:: 1 if number % 2 else -1]
        said = reports(self._devices, number)
        for one in said:
            heard.reported(one, one.at_ms)
        start = self._spent_s()
        self.ledger.take(said)
        merged = self._spent_s()
        mine.tell([one.device for one in said])
        told = self._spent_s()
        other.take(other.look())
        self.merged_s, self.told_s = self.merged_s + merged - start, self.told_s + told - merged
        self.looked_s += self._spent_s() - told

    def bytes_a_row(self, *tables: str) -> float:
        """With its indexes, packed: what rows' earlier versions leave behind comes and goes."""
        with self.ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for one in tables:
                connection.exec_driver_sql(f"VACUUM FULL {one}")
        with self.ledger.engine.connect() as connection:
            size = sum(
                connection.execute(sa.text("SELECT pg_total_relation_size(:it)"), {"it": one}).scalar_one()
                for one in tables
            )
            rows = sum(
                connection.execute(sa.select(sa.func.count()).select_from(sa.table(one))).scalar_one()
                for one in tables
            )
        return float(size) / rows

    def _spent_s(self) -> float:
        return time.process_time() + self._server.cpu_s()


def main() -> None:
    """Measure and judge."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--devices", type=int, default=10_000)
    devices = asked.parse_args().devices
    programs = postgres_programs()
    if programs is None:
        sys.exit("needs PostgreSQL: sudo apt install --no-install-recommends postgresql")
    with tempfile.TemporaryDirectory(prefix="tidewatt-bench-") as folder:
        server = Postgres(programs, Path(folder))
        server.start()
        try:
            costs = Costs(server, devices)
            for number in range(1, ROUNDS + 1):
                costs.round(number)
            results = _results(costs, devices)
            costs.ledger.close()
        finally:
            server.stop()
    sys.exit(0 if publish("replicas", results) else 1)


def _results(costs: Costs, devices: int) -> list[Result]:
    total, against = ROUNDS * devices, f"batches of {devices:,} reports, PostgreSQL"
    micro = 1e6 / total
    buckets = [f"device_bucket_{part}" for part in _parts(costs, "device_bucket")]
    modes = [f"mode_bucket_{part}" for part in _parts(costs, "mode_bucket")]
    return [
        Result.judged("a report merged", costs.merged_s * micro, "us", against=against),
        Result.judged("a report told to the others", costs.told_s * micro, "us", against=against),
        Result.judged(
            "told / merged", costs.told_s / costs.merged_s, "ratio", target=1.0, against="the same reports"
        ),
        Result.judged("a report read from another", costs.looked_s * micro, "us", against=against),
        Result.judged("a device's last report", costs.bytes_a_row("device_now"), "B", against=against),
        Result.judged("a bucket's row", costs.bytes_a_row(*buckets), "B", against=against),
        Result.judged("a mode's row in a bucket", costs.bytes_a_row(*modes), "B", against=against),
        Result.judged("a life's row", costs.bytes_a_row("device_life"), "B", against=against),
    ]


def _parts(costs: Costs, table: str) -> list[str]:
    names = sa.inspect(costs.ledger.engine).get_table_names()
    return [one.removeprefix(f"{table}_") for one in names if one.startswith(f"{table}_")]


if __name__ == "__main__":
    main()
