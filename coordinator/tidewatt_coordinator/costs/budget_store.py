"""The budgets that a cloud told of, by month, in the ledger's database."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Engine, delete, insert, select

from tidewatt_coordinator.costs.awsbudgets import CloudBudget
from tidewatt_coordinator.ledger.tables import cloud_budget as table


class CloudBudgets:
    """Those of one ledger. Thread-safe; every method is one transaction."""

    def __init__(self, database: Engine) -> None:
        self._database = database

    def replace(self, account: str, month: str, told: Sequence[CloudBudget]) -> None:
        """Let `told` be all that an account has in a month: a budget that is gone, is gone."""
        mine = (table.c.account == account) & (table.c.month == month)
        rows = [
            {"account": account, "month": month, "name": one.name, "told": msgspec.json.encode(one).decode()}
            for one in told
        ]
        with self._database.begin() as connection:
            connection.execute(delete(table).where(mine))
            if rows:
                connection.execute(insert(table), rows)

    def of(self, month: str) -> list[CloudBudget]:
        """What was told last in a month such as 2026-10, by account and name."""
        rows = select(table.c.told).where(table.c.month == month).order_by(table.c.account, table.c.name)
        with self._database.connect() as connection:
            return [msgspec.json.decode(row, type=CloudBudget) for row in connection.execute(rows).scalars()]
