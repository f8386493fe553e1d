"""Any folder of `timestamp,requests_per_minute` files as series of minutes."""

import csv
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.train.windows import Series
from tidewatt_governor.traffic import TraceError, read_row

#: Under this many minutes a trace can't be fitted or calibrated on: it is replayed whole, as a stress.
SHORTEST_MIN = 1000
HEADER = ["timestamp", "requests_per_minute"]


def read_folder(folder: Path) -> list[Series]:
    """Every *.csv and *.csv.gz of the folder by name; TraceError if there is none, or what is wrong."""
    files = sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]) if folder.is_dir() else []
    if not files:
        raise TraceError(f"{folder}: no *.csv or *.csv.gz file of timestamp,requests_per_minute in it")
    return [read_series(file) for file in files]


def read_series(path: Path) -> Series:
    """One trace on a grid of minutes."""
    name = path.name.removesuffix(".gz").removesuffix(".csv")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows or rows[0] != HEADER:
        raise TraceError(f"{path.name}: line 1 must be 'timestamp,requests_per_minute'")
    if len(rows) < 3:  # noqa: PLR2004 - two rows make a step
        raise TraceError(f"{path.name}: at least two rows are needed to know the step")
    minutes, rates = zip(
        *(_minute(row, f"{path.name}: line {n}") for n, row in enumerate(rows[1:], 2)), strict=True
    )
    at = np.array(minutes)
    if (np.diff(at) <= 0).any():
        line = int(np.argmax(np.diff(at) <= 0)) + 3
        raise TraceError(f"{path.name}: line {line}: not later than the line before, by the minute")
    return on_minutes(name, at, np.array(rates) / 60.0)


def on_minutes(name: str, at: NDArray[np.int64], rates: NDArray[np.float64]) -> Series:
    """Rates in requests/s at rising Unix minutes, each for its whole step, as they are means over it.

    Not joined by lines: a line would tell of the next row before its time. Gaps stay unknown.
    """
    step = round(float(np.median(np.diff(at))))
    rps = np.full(int(at[-1] - at[0]) + step, np.nan)
    for begins, rate in zip(at - at[0], rates, strict=True):
        rps[begins : begins + step] = rate
    return Series(name, int(at[0]), rps, step)


def _minute(row: list[str], where: str) -> tuple[int, float]:
    at_ms, per_minute = read_row(row, where)
    return round(at_ms / 60_000), per_minute
