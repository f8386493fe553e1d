"""Changes that were to save money, each with its prediction, in the ledger's database."""

import json
from collections.abc import Mapping
from decimal import Decimal

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select, update

from tidewatt_coordinator.ledger.tables import change as table


class Selector(msgspec.Struct, frozen=True, kw_only=True):
    """What a change touched. Nothing said means the whole edge."""

    match: list[dict[str, str]] = []
    """Devices that have all the labels of any of these."""
    devices: list[str] = []
    """Devices by name."""
    services: list[str] = []
    """Services as charges name them; without any, electricity at the edge."""

    def has(self, device: str, labels: Mapping[str, str]) -> bool:
        """Whether a device is touched."""
        if not self.match and not self.devices:
            return True
        fits = any(all(labels.get(key) == value for key, value in one.items()) for one in self.match)
        return fits or device in self.devices

    @property
    def everything(self) -> bool:
        """Whether all devices are touched."""
        return {} in self.match or not (self.match or self.devices)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change, made here or elsewhere."""

    id: str
    kind: str
    """"policy" for a rollout; else what its maker calls it."""
    what: str
    """A sentence for people."""
    begun_ms: int
    """When it first touched anything: what was before is compared with what is"""
    at_ms: int
    """after it was in force whole."""
    undone_ms: int | None = None
    selector: Selector = Selector()
    predicted_per_month: Decimal | None = None
    """The saving that was promised; None: no promise in money."""
    predicted_share: Decimal | None = None
    """The saving as a share of what was paid before: a canary tells that much and no prices."""
    currency: str = ""
    """Of the prediction; empty: whatever is paid in."""
    evidence: str = ""
    """What the prediction came from."""


class Changes:
    """All changes of one ledger."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def put(self, change: Change) -> None:
        """Keep it, in place of the one with its id."""
        with self._database.begin() as connection:
            record(connection, change)

    def all(self) -> list[Change]:
        """Every one, the latest first."""
        rows = select(table).order_by(table.c.at_ms.desc(), table.c.id)
        with self._database.connect() as connection:
            return [_change(row) for row in connection.execute(rows).mappings()]

    def undo(self, name: str, at_ms: int) -> None:
        """Say that a change was taken back; ValueError if there is none of that id."""
        mine = update(table).where(table.c.id == name).values(undone_ms=at_ms)
        with self._database.begin() as connection:
            if connection.execute(mine).rowcount != 1:
                raise ValueError(f"there is no change {name!r}; `tidewatt cost change ls` lists them")


def record(connection: Connection, change: Change) -> None:
    """Keep it as a part of a transaction; again changes nothing."""
    row = msgspec.to_builtins(change)
    row["selector"] = json.dumps(row["selector"], sort_keys=True, ensure_ascii=False)
    connection.execute(delete(table).where(table.c.id == change.id))
    connection.execute(insert(table).values(**row))


def _change(row: RowMapping) -> Change:
    values = {name: row[name] for name in Change.__struct_fields__}
    return msgspec.convert(values | {"selector": json.loads(str(row["selector"]))}, Change)
