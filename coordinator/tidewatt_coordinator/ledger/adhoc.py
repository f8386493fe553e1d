"""Any question to the hours: a copy of them in Parquet, a file a day, grouped by DuckDB.

The ledger stays the truth. A day's file carries the day's version in its name and is written
again when the day was rolled up anew; who reads meets whole files only, also from another
process. Device names, sites and days repeat for ever, so a day of 240,000 rows is a megabyte
or two.

In the folder `days` lie each day's sums by device and site, a tenth of the size, as if the day were one
long hour: who doesn't ask for hours is answered from those, three times as fast.
"""

import contextlib
import csv
import os
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
from numpy.typing import NDArray
from sqlalchemy import select

from tidewatt_coordinator.ledger.arithmetic import COUNTERS
from tidewatt_coordinator.ledger.rolled import DAY_MS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import day_use, day_version, hour_use

#: What can be grouped by, as DuckDB says it. Times are UTC.
DIMENSIONS = {
    "device": "device",
    "site": "site",
    "hour": "hour_ms",
    "day": "hour_ms - hour_ms % 86400000",
    "month": "strftime(make_timestamp(hour_ms * 1000), '%Y-%m')",
    "hour_of_day": "hour_ms // 3600000 % 24",
    "weekday": "isodow(make_timestamp(hour_ms * 1000))",
}
#: Those that tell hours of a day apart.
HOURLY = frozenset({"hour", "hour_of_day"})
FETCHED = 20_000


class Groups:
    """Rows in order: the dimensions' values, then the sums. They are made when they are asked for, since a
    million tuples take longer than the grouping.
    """

    def __init__(self, columns: Sequence[NDArray[Any]] = ()) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return zip(*(column.tolist() for column in self.columns), strict=True)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(column[index : index + 1].tolist()[0] for column in self.columns)


class HourCopy:
    """The copy, in one folder. One process refreshes it; any number may ask."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self._ledger, self._folder = ledger, folder

    def refresh(self) -> int:
        """Write the days that are new; how many those were. OSError where the folder can't be written."""
        (self._folder / "days").mkdir(parents=True, exist_ok=True)
        table = day_version.c
        with self._ledger.engine.connect() as connection:
            versions = {
                int(day_ms): int(v) for day_ms, v in connection.execute(select(table.day_ms, table.version))
            }
        kept = self._files()
        new = {day_ms: v for day_ms, v in versions.items() if kept.get(day_ms, (-1, None))[0] != v}
        for day_ms, version in sorted(new.items()):
            self._write(day_ms, version)
            if old := kept.get(day_ms):
                old[1].unlink(missing_ok=True)
                _sums_of(old[1]).unlink(missing_ok=True)
        return len(new)

    def group(self, by: Sequence[str], from_ms: int, to_ms: int) -> Groups:
        """The sums of COUNTERS over the hours from `from_ms` to before `to_ms`, by the named dimensions.

        ValueError for a dimension that there isn't, naming those there are.
        """
        for name in by:
            if name not in DIMENSIONS:
                raise ValueError(f"can't group by {name!r}; by any of {', '.join(DIMENSIONS)}")
        hourly = not HOURLY.isdisjoint(by)
        files = [
            str(path if hourly or day_ms < from_ms or day_ms + DAY_MS > to_ms else _shorter(path))
            for day_ms, (_, path) in sorted(self._files().items())
            if from_ms - DAY_MS < day_ms < to_ms
        ]
        if not files:
            return Groups()
        groups = [f"{DIMENSIONS[name]} AS {name}_" for name in by]
        # As 64 bits, which hold the energy of any fleet (2.5 TWh): DuckDB's own sums have 128, and Python
        # would take three times as long to have a million groups of them.
        sums = [f"coalesce(sum({name}), 0)::BIGINT" for name in COUNTERS]
        places = ", ".join(str(number) for number in range(1, len(by) + 1))
        asked = (
            f"SELECT {', '.join(groups + sums)} FROM read_parquet(?) WHERE hour_ms >= ? AND hour_ms < ?"  # noqa: S608 - a closed vocabulary
            + (f" GROUP BY {places} ORDER BY {places}" if by else "")
        )
        with contextlib.closing(duckdb.connect()) as database:
            found = database.execute(asked, [files, from_ms, to_ms]).fetchnumpy()
        return Groups(list(found.values()))

    def _files(self) -> dict[int, tuple[int, Path]]:
        """The newest file of each day, with its version."""
        found: dict[int, tuple[int, Path]] = {}
        for path in self._folder.glob("*.parquet"):
            day, _, version = path.stem.partition("-")
            if day.isdigit() and version.isdigit():
                start = datetime.strptime(day, "%Y%m%d").replace(tzinfo=timezone.utc)
                day_ms = int(start.timestamp()) * 1000
                found[day_ms] = max(found.get(day_ms, (-1, path)), (int(version), path))
        return found

    def _write(self, day_ms: int, version: int) -> None:
        day = datetime.fromtimestamp(day_ms / 1000, timezone.utc).strftime("%Y%m%d")
        name = f"{day}-{version}.parquet"
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            table, parquet = Path(made) / "day.csv", Path(made) / name
            _sums_of(parquet).parent.mkdir()
            # As text, because DuckDB takes rows from Python one by one, five hundred times slower.
            with table.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(self._rows(day_ms))
            columns = {"hour_ms": "BIGINT", "device": "VARCHAR", "site": "VARCHAR"}
            columns |= dict.fromkeys(COUNTERS, "BIGINT")
            sums = ", ".join(f"sum({counter})::BIGINT AS {counter}" for counter in COUNTERS)
            with contextlib.closing(duckdb.connect()) as database:
                database.execute(
                    f"COPY (SELECT * FROM read_csv(?, header = false, columns = {columns}, "  # noqa: S608 - ours
                    "auto_detect = false, "
                    "quote = '\"', escape = '\"', delim = ',', nullstr = '\\N')) "
                    f"TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)",
                    [str(table)],
                )
                database.execute(
                    f"COPY (SELECT {day_ms}::BIGINT AS hour_ms, device, site, {sums} "  # noqa: S608 - ours
                    f"FROM read_parquet(?) GROUP BY device, site ORDER BY device, site) "
                    f"TO '{_sums_of(parquet)}' (FORMAT parquet, COMPRESSION zstd)",
                    [str(parquet)],
                )
            # The sums first: where the hours are, their sums are, too.
            os.replace(_sums_of(parquet), _sums_of(self._folder / name))  # noqa: PTH105 - atomic
            os.replace(parquet, self._folder / name)  # noqa: PTH105

    def _rows(self, day_ms: int) -> Iterator[tuple[Any, ...]]:
        hour, day = hour_use.c, day_use.c
        with self._ledger.engine.connect() as connection:
            stood = select(day.device, day.epoch, day.site).where(day.day_ms == day_ms)
            sites = {(device, epoch): site for device, epoch, site in connection.execute(stood)}
            rows = (
                select(hour.hour_ms, hour.device, hour.epoch, *(hour[name] for name in COUNTERS))
                .where(hour.hour_ms >= day_ms, hour.hour_ms < day_ms + DAY_MS)
                .order_by(hour.hour_ms, hour.device)
            )
            streamed = connection.execution_options(yield_per=FETCHED)
            for hour_ms, device, epoch, *values in streamed.execute(rows):
                yield (hour_ms, device, sites.get((device, epoch), ""), *values)


def _sums_of(hours: Path) -> Path:
    # In a folder of their own: other tools read all that lies beside the hours, and would count it twice.
    return hours.parent / "days" / hours.name


def _shorter(hours: Path) -> Path:
    """The day's sums; its hours where an older copy has no sums."""
    sums = _sums_of(hours)
    return sums if sums.exists() else hours
