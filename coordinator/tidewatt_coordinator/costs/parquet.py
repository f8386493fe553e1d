"""FOCUS rows from a Parquet file, read by DuckDB in a process of its own.

A kilobyte may unpack to any number of gigabytes, and what reads it is not written in Python: the process has
limits, and the coordinator outlives it.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from tidewatt_coordinator.costs.charge import CostError

#: Address space of the process, of which DuckDB may take a third for itself.
MOST_BYTES = 3 * 1024**3
#: Bytes of one row; DuckDB holds 2048 rows at once, a few times over.
LONGEST_ROW = 64 * 1024
#: Rows that are handed over at once.
PIECE = 500
TOO_LONG = f"a row of more than {LONGEST_ROW} bytes"
TOO_MUCH = f"it unpacks to more than {MOST_BYTES // 1024**3} GiB of memory hold"


def columns(file: Path) -> list[str]:
    """The names of its columns, in their order; CostError if it can't be read."""
    with closing(_lines(file)) as told:
        return msgspec.json.decode(next(told), type=list[str])


def parquet_rows(file: Path) -> Iterator[dict[str, str]]:
    """Its rows as CSV would have them, null as ""; CostError where it can't be read."""
    with closing(_lines(file)) as told:
        names = msgspec.json.decode(next(told), type=list[str])
        for line in told:
            for values in msgspec.json.decode(line, type=list[list[str | None]]):
                yield {name: value or "" for name, value in zip(names, values, strict=True)}


def _lines(file: Path) -> Generator[bytes, None, None]:
    """What the process tells, line by line; CostError if it doesn't come to a good end."""
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-m", __name__, str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": paths},
    ) as process:
        said = None
        try:
            yield from process.stdout or ()
            said = (process.stderr.read() if process.stderr else b"").decode("utf-8", "replace").strip()
        finally:
            if said is None:  # nobody wants the rest
                process.kill()
    if process.returncode == 1 and said:
        raise CostError(f"{file}: {said.splitlines()[-1][:300]}")
    if process.returncode:
        raise CostError(f"{file}: its reader ended by {_end(process.returncode)}")


def _end(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit {code}"


def _tell(file: Path) -> None:
    """The names of the columns as one line of JSON, then the rows by lists; OSError with why not."""
    import duckdb  # noqa: PLC0415 - under the limits, and in that process alone

    # It reads this one file: nothing is fetched for it or laid beside it, and the processors stay free.
    settings: dict[str, Any] = {"autoinstall_known_extensions": "false", "threads": "1"}
    connection: Any = duckdb.connect(config=settings | {"memory_limit": "1GB", "temp_directory": ""})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)])
        kinds = {str(name): str(kind) for name, kind, *_ in described.fetchall()}
        _say(list(kinds))
        connection.execute(_asked(kinds), [str(file)])
        while piece := connection.fetchmany(PIECE):
            _say(piece)
    except duckdb.Error as error:
        raise OSError(TOO_LONG if TOO_LONG in str(error) else str(error).partition("\n")[0]) from error
    finally:
        connection.close()


def _say(told: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")


def _asked(kinds: dict[str, str]) -> str:
    """SQL that gives all columns as texts, and fails at a row that is too long."""
    texts = ", ".join(f"{_as_text(*one)} AS c{at}" for at, one in enumerate(kinds.items()))
    length = " + ".join(f"coalesce(strlen(c{at}), 0)" for at in range(len(kinds)))
    short = f"CASE WHEN {length} > {LONGEST_ROW} THEN error('{TOO_LONG}') ELSE true END"
    return f"SELECT * FROM (SELECT {texts} FROM read_parquet(?)) WHERE {short}"  # noqa: S608 - quoted names


def _as_text(name: str, kind: str) -> str:
    """SQL that gives a column as text, in the way that a CSV file would have it."""
    column = '"' + name.replace('"', '""') + '"'
    if kind.startswith("MAP"):
        return f"CAST(to_json({column}) AS VARCHAR)"
    if kind.startswith("TIMESTAMP"):
        milliseconds = f"epoch_ms({column})"
        return f"strftime(make_timestamp({milliseconds} * 1000), '%Y-%m-%dT%H:%M:%S.%gZ')"
    return f"CAST({column} AS VARCHAR)"


def main() -> int:
    """The process: a file's name is its argument, what is wrong with it goes to standard error."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        _tell(Path(sys.argv[1]))
    except MemoryError:
        sys.stderr.write(TOO_MUCH)
    except OSError as error:
        sys.stderr.write(str(error))
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
