"""Many rows into one table at once: each merged with the row of its key. One meaning, two ways.

A row of a new key is put in; of a known one each column becomes the smaller, the greater or
the sum of both, or the new value. SQLite takes the rows by the hundred in one prepared
statement; PostgreSQL takes them by COPY into a temporary table, and merges from there in the
order of the key, so that two writers lock in the same order and never wait for each other
in a ring.
"""

import functools
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from sqlalchemy import Connection, Table, func, literal_column, select
from sqlalchemy import table as named
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import column

Rule = Literal["least", "greatest", "sum", "new"]
Row = tuple[Any, ...]
#: Values of one statement: SQLite took 999 before 3.32, and takes 32,766 since.
_MOST_VALUES = 8_000 if sqlite3.sqlite_version_info >= (3, 32) else 999
#: Whether a row is merged at all, by the columns of the one that is kept and of the new one.
Where = Callable[[Any, Any], Any]


def merge_rows(
    connection: Connection,
    table: Table,
    rules: Mapping[str, Rule],
    rows: Sequence[Row],
    where: Where | None = None,
) -> None:
    """Merge `rows`: the table's key in its order, then the columns of `rules` in theirs.

    No key twice, and no table twice in one transaction. A row that `where` says no to changes nothing.
    """
    if not rows:
        return
    keys = [one.name for one in table.primary_key]
    names = [*keys, *rules]
    if connection.dialect.name == "postgresql":
        _by_copy(connection, table, names, rules, rows, where)
        return
    into = sqlite.insert(table)
    places: dict[str, Any] = {name: literal_column("?") for name in names}
    # Inline, because of a statement that returns something sqlite3 takes many rows only from Python 3.11 on.
    statement = (
        into.values(places)
        .inline()
        .on_conflict_do_update(
            index_elements=keys,
            set_={
                name: _merged(rule, table.c[name], into.excluded[name], "min", "max")
                for name, rule in rules.items()
            },
            where=where and where(table.c, into.excluded),
        )
    )
    # The text goes to the driver with bare tuples: a dictionary a row would cost more than the merge.
    text = str(statement.compile(dialect=connection.dialect))
    # SQLAlchemy lists the columns in the table's order, and the rows come in ours.
    listed = [one.name for one in table.columns if one.name in places]
    quoted = connection.dialect.identifier_preparer.quote
    before, after = (f"({', '.join(map(quoted, some))})" for some in (listed, names))
    text = _once(text, before, after)
    at, most = 0, _MOST_VALUES // len(names)
    while len(rows) - at >= most:
        together = tuple(chain.from_iterable(rows[at : at + most]))
        connection.exec_driver_sql(_many(text, len(names), most), together)
        at += most
    if at < len(rows):
        connection.exec_driver_sql(text, list(rows[at:]))


@functools.lru_cache(maxsize=32)
def _many(text: str, columns: int, rows: int) -> str:
    """The same statement for so many rows at once.

    sqlite3 lets go of the interpreter for each statement, and must win it back: row by row, a merge beside
    a thread that reads reports waits more than it works.
    """
    one = f"({', '.join('?' * columns)})"
    return _once(text, one, ", ".join([one] * rows))


def _once(text: str, part: str, other: str) -> str:
    if text.count(part) != 1:
        raise ValueError(f"a statement without {part}: {text}")
    return text.replace(part, other)


def _by_copy(
    connection: Connection,
    table: Table,
    names: list[str],
    rules: Mapping[str, Rule],
    rows: Iterable[Row],
    where: Where | None,
) -> None:
    keys = [one.name for one in table.primary_key]
    waiting = f"incoming_{table.name}"
    listed = ", ".join(names)
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {waiting} ON COMMIT DELETE ROWS "  # noqa: S608 - names of ours
        f"AS SELECT {listed} FROM {table.name} WITH NO DATA"
    )
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {waiting} ({listed}) FROM STDIN") as copy:
        copy.write("".join(map(_line, rows)))
    into = postgresql.insert(table)
    incoming: Any = select(*(column(name) for name in names)).select_from(named(waiting))
    connection.execute(
        into.from_select(names, incoming.order_by(*(column(name) for name in keys))).on_conflict_do_update(
            index_elements=keys,
            set_={
                name: _merged(rule, table.c[name], into.excluded[name], "least", "greatest")
                for name, rule in rules.items()
            },
            where=where and where(table.c, into.excluded),
        )
    )


def _merged(rule: Rule, kept: Any, new: Any, least: str, greatest: str) -> Any:
    match rule:
        case "least":
            return getattr(func, least)(kept, new)
        case "greatest":
            return getattr(func, greatest)(kept, new)
        case "sum":
            return kept + new
        case "new":
            return new


_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _line(row: Row) -> str:
    return (
        "\t".join(
            [
                value.translate(_ESCAPES) if type(value) is str else r"\N" if value is None else str(value)
                for value in row
            ]
        )
        + "\n"
    )
