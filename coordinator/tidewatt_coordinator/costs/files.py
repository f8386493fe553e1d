"""FOCUS files: CSV (also gzipped) and Parquet, one or a folder of them, here or in S3."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from tidewatt_coordinator.costs.charge import Charge, CostError
from tidewatt_coordinator.costs.focus import Row, header, row
from tidewatt_coordinator.costs.focus_columns import Version
from tidewatt_coordinator.costs.parquet import columns, parquet_rows

ENDINGS = (".csv", ".csv.gz", ".parquet")
#: Characters; a small file may unpack to one line of gigabytes.
LONGEST_LINE = 1024 * 1024
#: Of one file: a hundred million alike are 300 kB of Parquet.
MOST_ROWS = 20_000_000


def files(path: Path) -> list[Path]:
    """The FOCUS files that `path` is, or has below it; CostError if there is none."""
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.name.endswith(ENDINGS) and file.is_file())
    else:
        found = [path] if path.exists() and path.name.endswith(ENDINGS) else []
    if not found:
        missing = "is not there" if not path.exists() else f"holds no file that ends in {', '.join(ENDINGS)}"
        raise CostError(f"{path}: {missing}")
    return found


def names(file: Path) -> list[str]:
    """The columns of one file, in their order."""
    if file.name.endswith(".parquet"):
        return columns(file)
    with _csv_text(file) as opened:
        return next(_csv_lines(opened, file), [])


def rows(file: Path) -> Iterator[Row]:
    """The rows of one file, null as ""; CostError where it can't be read, or is too long."""
    found = parquet_rows(file) if file.name.endswith(".parquet") else _csv_rows(file)
    for number, one in enumerate(found):
        if number == MOST_ROWS:
            raise CostError(f"{file}: more than {MOST_ROWS} rows")
        yield one


def write_csv(opened: IO[str], charges: Iterable[Charge], version: Version) -> int:
    """Write charges as a FOCUS file; how many they were."""
    count = 0
    # The line end of RFC 4180; with it, carriage returns within values are quoted, too.
    writer = csv.DictWriter(opened, header(version), lineterminator="\r\n")
    writer.writeheader()
    for count, charge in enumerate(charges, start=1):  # noqa: B007 - the last number is the count
        writer.writerow(row(charge, version))
    return count


def _csv_text(file: Path) -> io.TextIOWrapper:
    opened = gzip.open(file, "rb") if file.name.endswith(".gz") else file.open("rb")  # noqa: SIM115 - closed by the caller
    return io.TextIOWrapper(opened, "utf-8-sig", newline="")


def _csv_lines(opened: IO[str], file: Path) -> Iterator[list[str]]:
    try:
        yield from csv.reader(_bounded(opened, file), strict=True)
    except UnicodeDecodeError as error:
        raise CostError(f"{file}: not UTF-8 text") from error
    except (csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CostError(f"{file}: {error}") from error


def _bounded(opened: IO[str], file: Path) -> Iterator[str]:
    while line := opened.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise CostError(f"{file}: a line of more than {LONGEST_LINE} characters")
        yield line


def _csv_rows(file: Path) -> Iterator[Row]:
    with _csv_text(file) as opened:
        lines = _csv_lines(opened, file)
        columns = next(lines, [])
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            if len(line) != len(columns):
                raise CostError(
                    f"{file}, row {number}: {len(line)} values, where the header has {len(columns)} columns"
                )
            yield dict(zip(columns, line, strict=True))
