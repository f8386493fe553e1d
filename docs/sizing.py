"""sizing.md: what fleets of four sizes ask of broker, database and purse, from measured figures."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

from tidewatt_agent.config import Agent
from tidewatt_coordinator.config import Ledger
from tidewatt_coordinator.prices.files import load_book

RESULTS = Path(__file__).parents[1] / "benchmarks/results"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
#: A report as a board sends it, and its topic and head in MQTT.
REPORT_BYTES, HEAD_BYTES = 343, 60
#: Power modes that a board was in within one bucket.
MODES = 2
#: Of a packed table's size, for what rows' earlier versions leave behind.
LOOSE = 2
#: A processor is full from here on.
FULL = 0.5
REGION, MACHINE, CORES, HOURS = "us-east-1", "m7g.large", 2, 730
YEAR_DAYS = 365
PRICED_ON = date(2026, 11, 22)

HEAD = """# Sizing

What a fleet asks for, worked out from the figures of `make bench-replicas` and `make bench-ledger`
(PostgreSQL, one core of the machine that they were run on) and the shipped price book. A starting point, not
a promise: measure your own.

Assumed: a report every {report_s:g} s (the agent's default) of {report} bytes, and {head} of MQTT; buckets of
{bucket_s} s kept for {days} days, {modes} power modes in each; hours kept for ever, shown after a year;
{loose} times the packed tables' bytes. Processor time is that of merging, telling and reading reports, of
coordinators and database together; a processor counts as full at {full:.0%}. What a coordinator does besides
(its pages, plans, gates) is not in it, nor the broker's own processor. Money is on-demand in {region},
{on}: {machine} ({price} USD an hour) for processors, gp3 for disk, nothing for the broker, no second copy.
"""


def page(made: str) -> str:
    """The whole page."""
    agent, ledger = Agent(), Ledger()
    book = load_book("")
    hourly = book.find("aws-ec2", MACHINE, REGION, on=PRICED_ON).price.cost(1)
    disk = book.find("aws-other", "ebs-gp3", REGION, on=PRICED_ON).price
    head = HEAD.format(
        report_s=agent.report_s, report=REPORT_BYTES, head=HEAD_BYTES, bucket_s=ledger.bucket_s,
        days=ledger.keep_days, modes=MODES, loose=LOOSE, full=FULL, region=REGION, on=PRICED_ON,
        machine=MACHINE, price=hourly.normalize(),
    )  # fmt: skip
    rows = [
        (
            "| devices | messages/s | into the broker | rows merged/s "
            "| rows kept | bytes kept | processors | machines | USD a month |"
        ),
        "|" + "---:|" * 9,
    ]
    for devices in SIZES:
        messages = devices / agent.report_s
        size, kept = _kept(devices, ledger)
        cores = messages * _core_s() / FULL
        machines = max(1, -(-cores // CORES))
        money = Decimal(machines * HOURS) * hourly + disk.cost(Decimal(round(size / 1e9)))
        rows.append(
            f"| {devices:,} | {messages:,.0f} | {messages * (REPORT_BYTES + HEAD_BYTES) / 1e6:,.2f} MB/s "
            f"| {messages * (3 + 1):,.0f} | {kept / 1e6:,.0f} million | {size / 1e9:,.0f} GB "
            f"| {cores:,.1f} | {machines:,.0f} | {money:,.0f} |"
        )
    return f"{made}\n{head}\n" + "\n".join(rows) + "\n\n" + _measured() + "\n"


def _figures(name: str) -> dict[str, float]:
    found = json.loads((RESULTS / f"{name}.json").read_text())
    return {one["name"]: float(one["value"]) for one in found}


def _core_s() -> float:
    """Core seconds of one report: merged, told, and read by one other."""
    figures = _figures("replicas")
    names = ("a report merged", "a report told to the others", "a report read from another")
    return sum(figures[name] for name in names) / 1e6


def _kept(devices: int, ledger: Ledger) -> tuple[float, float]:
    """Bytes and rows after a year."""
    figures = _figures("replicas")
    buckets = devices * ledger.keep_days * 86_400 / ledger.bucket_s
    hours = devices * 24 * YEAR_DAYS
    parts = (
        (buckets, figures["a bucket's row"]),
        (buckets * MODES, figures["a mode's row in a bucket"]),
        (devices, figures["a life's row"]),
        (devices, figures["a device's last report"]),
        (hours, _hour_bytes()),
    )
    return LOOSE * sum(rows * size for rows, size in parts), sum(rows for rows, _ in parts)


def _hour_bytes() -> float:
    """Of PostgreSQL's database of 21.6 million hours, with all that stands beside them."""
    return _figures("ledger")["database, PostgreSQL"] * 1e6 / 21_600_000


def _measured() -> str:
    lines = ["| measured | |", "|---|---:|"]
    for one in json.loads((RESULTS / "replicas.json").read_text()):
        unit = {"us": " µs of a core", "B": " bytes", "ratio": ""}[one["unit"]]
        lines.append(f"| {one['name']} | {one['value']:,.{2 if not unit else 0}f}{unit} |")
    lines.append(f"| an hour's row, with its share of days and sites | {_hour_bytes():,.0f} bytes |")
    return "\n".join(lines)
