"""FOCUS files: CSV (also gzipped) and Parquet, one or a folder of them, here or in S3."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

from tidewatt_coordinator.costs.charge import Charge, CostError
from tidewatt_coordinator.costs.focus import Row, header, row
from tidewatt_coordinator.costs.focus_columns import Version

ENDINGS = (".csv", ".csv.gz", ".parquet")
#: Rows that are taken from a Parquet file at once.
PIECE = 2000
#: Characters; a small file may unpack to one line of gigabytes.
LONGEST_LINE = 1024 * 1024


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
        with closing(_relation(file)) as found:
            return [str(name) for name in found.columns]
    with _csv_text(file) as opened:
        return next(_csv_lines(opened, file), [])


def rows(file: Path) -> Iterator[Row]:
    """The rows of one file, null as ""; CostError where it can't be read."""
    if file.name.endswith(".parquet"):
        return _parquet_rows(file)
    return _csv_rows(file)


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


class _Relation:
    """A Parquet file as DuckDB reads it."""

    def __init__(self, file: Path) -> None:
        import duckdb  # noqa: PLC0415 - other commands start fast

        self._file, self._errors = file, duckdb.Error
        # It reads this one file: nothing is fetched for it, and the fleet's processors stay free.
        settings: dict[str, Any] = {
            "autoinstall_known_extensions": "false",
            "threads": "1",
            "memory_limit": "1GB",
        }
        self._connection: Any = duckdb.connect(config=settings)
        try:
            self._connection.execute("SET TimeZone = 'UTC'")
            described = self._connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)])
            self._types = {str(name): str(kind) for name, kind, *_ in described.fetchall()}
        except duckdb.Error as error:
            self._connection.close()
            raise CostError(f"{file}: {_first_line(error)}") from error

    @property
    def columns(self) -> list[str]:
        return list(self._types)

    def close(self) -> None:
        self._connection.close()

    def rows(self) -> Iterator[Row]:
        asked = ", ".join(_as_text(name, kind) for name, kind in self._types.items())
        try:
            self._connection.execute(f"SELECT {asked} FROM read_parquet(?)", [str(self._file)])  # noqa: S608 - quoted names
            while piece := self._connection.fetchmany(PIECE):
                for values in piece:
                    yield {name: value or "" for name, value in zip(self._types, values, strict=True)}
        except self._errors as error:
            raise CostError(f"{self._file}: {_first_line(error)}") from error


def _relation(file: Path) -> _Relation:
    if not file.exists():
        raise CostError(f"{file}: is not there")
    return _Relation(file)


def _parquet_rows(file: Path) -> Iterator[Row]:
    with closing(_relation(file)) as found:
        yield from found.rows()


def _as_text(name: str, kind: str) -> str:
    """SQL that gives a column as text, in the way that a CSV file would have it."""
    column = '"' + name.replace('"', '""') + '"'
    if kind.startswith("MAP"):
        return f"CAST(to_json({column}) AS VARCHAR)"
    if kind.startswith("TIMESTAMP"):
        milliseconds = f"epoch_ms({column})"
        return f"strftime(make_timestamp({milliseconds} * 1000), '%Y-%m-%dT%H:%M:%S.%gZ')"
    return f"CAST({column} AS VARCHAR)"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
