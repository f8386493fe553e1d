"""The last plan in the database: what commands show with the coordinator down, too."""

import msgspec
from sqlalchemy import Engine, insert, select, update

from tidewatt_coordinator.hinting.shown import Shown
from tidewatt_coordinator.ledger.tables import plan_state


class PlanBook:
    """One fleet's."""

    def __init__(self, database: Engine, fleet: str) -> None:
        self._database, self._fleet = database, fleet

    def keep(self, shown: Shown) -> None:
        """Keep a plan, unless a newer one is there."""
        row = {"minute": shown.minute, "content": msgspec.json.encode(shown).decode()}
        mine = plan_state.c.fleet == self._fleet
        with self._database.begin() as connection:
            newer = plan_state.c.minute < shown.minute
            if connection.execute(update(plan_state).where(mine, newer).values(row)).rowcount:
                return
            if connection.execute(select(plan_state.c.fleet).where(mine)).first():
                return
            connection.execute(insert(plan_state).values(fleet=self._fleet, **row))

    def last(self) -> Shown | None:
        """The last plan; None before the first, or if another version of the product kept it."""
        column = select(plan_state.c.content).where(plan_state.c.fleet == self._fleet)
        with self._database.connect() as connection:
            content = connection.execute(column).scalar()
        try:
            return None if content is None else msgspec.json.decode(content, type=Shown)
        except msgspec.DecodeError:
            return None
