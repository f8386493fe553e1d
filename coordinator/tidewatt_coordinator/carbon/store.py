"""Intensities in the ledger's database, so that a report of last month does not ask again."""

from collections.abc import Iterable
from decimal import Decimal

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from tidewatt_coordinator.carbon.intensity import Intensity, Kind
from tidewatt_coordinator.ledger.tables import carbon_intensity as table

#: Rows for one statement.
PIECE = 1000


def keep(database: Engine, intensities: Iterable[Intensity]) -> int:
    """Keep them, each in the place of the one of its source, zone, kind and start; how many they were."""
    insert = postgresql.insert if database.dialect.name == "postgresql" else sqlite.insert
    rows = [
        {
            "zone": one.zone,
            "kind": one.kind,
            "source": one.source,
            "start_ms": one.start_ms,
            "end_ms": one.end_ms,
            "grams_per_kwh": format(one.grams_per_kwh, "f"),
            "estimated": int(one.estimated),
        }
        for one in intensities
    ]
    statement = insert(table)
    put = statement.on_conflict_do_update(
        index_elements=["zone", "kind", "source", "start_ms"],
        set_={name: statement.excluded[name] for name in ("end_ms", "grams_per_kwh", "estimated")},
    )
    with database.begin() as connection:
        for start in range(0, len(rows), PIECE):
            connection.execute(put, rows[start : start + PIECE])
    return len(rows)


def kept(database: Engine, zone: str, kind: Kind, from_ms: int, to_ms: int) -> list[Intensity]:
    """Those of a zone and one kind that touch [from_ms, to_ms), by their start."""
    wanted = (
        select(table)
        .where(table.c.zone == zone, table.c.kind == kind)
        .where(table.c.start_ms < to_ms, table.c.end_ms > from_ms)
        .order_by(table.c.start_ms, table.c.source)
    )
    with database.connect() as connection:
        return [
            Intensity(
                zone=row["zone"],
                kind=row["kind"],
                start_ms=row["start_ms"],
                end_ms=row["end_ms"],
                grams_per_kwh=Decimal(row["grams_per_kwh"]),
                source=row["source"],
                estimated=bool(row["estimated"]),
            )
            for row in connection.execute(wanted).mappings()
        ]
