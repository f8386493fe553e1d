"""A replica is upgraded at a time: old and new coordinators work on one database, whichever began first.

`tests/golden_schema` has the tables of a released version. What its coordinators write must go into the
tables of today, and what they wrote must still be there after the upgrade. A release adds its own file:
`python tests/coordinator/test_schema.py 0021 > tests/golden_schema/0021.json`.
"""

import ast
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, TableClause, column, create_engine, inspect, select, table, text

from tidewatt_coordinator.ledger import migrating
from tidewatt_coordinator.ledger.migrating import LEAST, migrate
from tidewatt_coordinator.ledger.store import Ledger, LedgerError
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.rollout.standing import Standing

GOLDEN = Path(__file__).parents[1] / "golden_schema"
MIGRATIONS = Path(migrating.__file__).with_name("migrations") / "versions"
#: Earlier ones were made before two versions had to live together.
SINCE = "0021"
#: What upgrade() may call. A column of add_column is nullable or has a server_default.
ADDING = {"create_table", "create_index", "add_column", "bulk_insert", "get_bind"}

#: A key that counts by itself is an INTEGER to SQLite and a BIGINT to PostgreSQL.
WHOLE = dict.fromkeys(("INTEGER", "BIGINT"), "BIGINT")

Columns = dict[str, dict[str, Any]]


def schema_of(engine: Engine) -> dict[str, Columns]:
    """Tables and their columns."""
    seen = inspect(engine)
    return {
        name: {
            one["name"]: {
                "type": WHOLE.get(type(one["type"]).__name__, type(one["type"]).__name__),
                "key": one["name"] in seen.get_pk_constraint(name)["constrained_columns"],
            }
            for one in seen.get_columns(name)
        }
        for name in sorted(seen.get_table_names())
        if name != "alembic_version"
    }


def previous() -> tuple[str, dict[str, Columns]]:
    """The newest version that is on record, and its tables."""
    path = max(GOLDEN.glob("*.json"))
    return path.stem, json.loads(path.read_text())


def put(engine: Engine, schema: dict[str, Columns], number: int) -> None:
    """A row into each table, as a coordinator of that version does: with all columns that it knows."""
    with engine.begin() as connection:
        for name, columns in schema.items():
            row = {column: value_of(said["type"], number) for column, said in columns.items()}
            connection.execute(named(name, columns).insert(), row)


def named(name: str, columns: Columns) -> TableClause:
    """A table as that version knows it."""
    return table(name, *map(column, columns))


def value_of(kind: str, number: int) -> Any:
    if kind in ("VARCHAR", "TEXT"):
        return f"t{number}"
    if kind in ("BIGINT", "INTEGER", "NUMERIC", "FLOAT", "DOUBLE_PRECISION"):
        return number
    return {"BOOLEAN": bool(number % 2), "BLOB": b"t", "BYTEA": b"t"}[kind]


def rows_of(engine: Engine, schema: dict[str, Columns]) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            name: sorted(map(tuple, connection.execute(select(named(name, columns)))), key=repr)
            for name, columns in schema.items()
        }


def test_what_the_version_before_wrote_is_read_and_what_it_writes_fits(
    new_ledger_url: Callable[[], str],
) -> None:
    version, schema = previous()
    engine = create_engine(new_ledger_url())
    migrate(engine, version)
    assert set(schema) <= set(schema_of(engine))  # PostgreSQL has partitions besides
    put(engine, schema, 7)
    before = rows_of(engine, schema)
    migrate(engine)
    assert rows_of(engine, schema) == before
    put(engine, schema, 8)  # the replica that is upgraded last
    today = schema_of(engine)
    for name, columns in schema.items():
        kept = {one: today[name].get(one) for one in columns}
        assert kept == columns, f"{name}: keys and types stay as they are"
        keys = {one for one, said in today[name].items() if said["key"]}
        assert keys == {one for one, said in columns.items() if said["key"]}, f"{name}: so do its keys"
    engine.dispose()


@pytest.mark.parametrize("path", [one for one in sorted(MIGRATIONS.glob("0*.py")) if one.stem[:4] >= SINCE])
def test_migrations_only_add(path: Path) -> None:
    tree = ast.parse(path.read_text())
    (upgrade,) = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "upgrade"]
    for call in ast.walk(upgrade):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
            continue
        if not (isinstance(call.func.value, ast.Name) and call.func.value.id == "op"):
            continue
        what = call.func.attr
        if what == "execute":  # how a table's pages are filled is nobody's reading of it
            said = ast.literal_eval(call.args[0])
            assert re.fullmatch(r"ALTER TABLE \w+ SET \(fillfactor = \d+\)", said), f"{path.name}: {said}"
            continue
        assert what in ADDING, f"{path.name}: {what} breaks replicas of the version before (ADR 0043)"
        if what == "add_column":
            said = ast.unparse(call)
            assert "nullable=True" in said or "server_default=" in said, f"{path.name}: {said}"


def test_the_older_one_can_begin_again_on_newer_tables(
    new_ledger_url: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    url = new_ledger_url()
    ledger = Ledger(url, 60_000)
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    Ledger(url, 60_000).close()
    assert "are of version 9999" in caplog.text
    with ledger.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    # Unless the newer one says that we can't.
    ledger.keep_fact(LEAST, "9998")
    with pytest.raises(LedgerError, match="needs a coordinator of 9998 or later"):
        Ledger(url, 60_000)
    ledger.close()


@pytest.mark.parametrize("kind", [Proposal, Standing])
def test_what_is_kept_as_json_may_have_more_in_a_later_version(kind: type[msgspec.Struct]) -> None:
    """The holder of the lease may be the newer one, and the older one its successor."""
    assert not kind.__struct_config__.forbid_unknown_fields
    for field in msgspec.structs.fields(kind):
        nested = field.type
        if isinstance(nested, type) and issubclass(nested, msgspec.Struct):
            assert not nested.__struct_config__.forbid_unknown_fields, field.name


def main(version: str) -> None:
    """Print the tables of a version."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/l.db")
        migrate(engine, version)
        print(json.dumps(schema_of(engine), indent=1, sort_keys=True))  # noqa: T201 - for a file
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1])
