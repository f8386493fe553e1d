"""Sessions on the page, in the ledger's database, so that every coordinator of the fleet knows them.

A session is always new: what a browser brings along before its login is never taken over. One that was
begun with a key ends with it; one by a provider keeps the role that it was begun with until it ends.
"""

import json
from typing import NamedTuple

from sqlalchemy import Engine, delete, func, insert, select, update

from tidewatt_coordinator.access.keys import KeyBook
from tidewatt_coordinator.access.roles import Actor
from tidewatt_coordinator.access.secret import hashed, new_secret
from tidewatt_coordinator.ledger.tables import access_session

#: Milliseconds between two notes of a session's use.
NOTED_EVERY_MS = 30_000
#: Sessions at once; the ones unused for longest give way.
MOST = 10_000

_at = access_session.c


class Lasting(NamedTuple):
    """How long sessions last: unused, and at all; milliseconds."""

    idle_ms: int
    whole_ms: int


class SessionBook:
    """The sessions of one fleet."""

    def __init__(self, database: Engine, fleet: str, keys: KeyBook, lasting: Lasting) -> None:
        """On a database whose tables are up to date."""
        self._database, self._fleet, self._keys, self._lasting = database, fleet, keys, lasting

    def begin(self, actor: Actor, now_ms: int) -> str:
        """A new session's secret. What has ended is cleared away."""
        secret = new_secret()
        row = {
            "sha256": hashed(secret),
            "fleet": self._fleet,
            "kind": actor.kind,
            "subject": actor.id,
            "name": actor.name,
            "role": actor.role,
            "sites": json.dumps(actor.sites),
            "begun_ms": now_ms,
            "used_ms": now_ms,
            "ends_ms": now_ms + self._lasting.whole_ms,
        }
        with self._database.begin() as connection:
            over = (_at.ends_ms <= now_ms) | (_at.used_ms <= now_ms - self._lasting.idle_ms)
            connection.execute(delete(access_session).where(_at.fleet == self._fleet, over))
            mine = _at.fleet == self._fleet
            count = connection.execute(select(func.count()).select_from(access_session).where(mine)).scalar()
            if count is not None and count >= MOST:
                oldest = select(_at.sha256).where(mine).order_by(_at.used_ms).limit(count - MOST + 1)
                connection.execute(delete(access_session).where(_at.sha256.in_(oldest)))
            connection.execute(insert(access_session).values(row))
        return secret

    def actor(self, secret: str, now_ms: int) -> Actor | None:
        """Whose session it is, if it goes on; its use is noted."""
        mine = (_at.sha256 == hashed(secret)) & (_at.fleet == self._fleet)
        with self._database.connect() as connection:
            row = connection.execute(select(access_session).where(mine)).mappings().one_or_none()
        if row is None or row["ends_ms"] <= now_ms or row["used_ms"] <= now_ms - self._lasting.idle_ms:
            return None
        if now_ms - row["used_ms"] >= NOTED_EVERY_MS:
            with self._database.begin() as connection:
                connection.execute(update(access_session).where(mine).values(used_ms=now_ms))
        if row["kind"] == "key":
            key = self._keys.stands(row["subject"], now_ms)
            return key.actor if key else None
        return Actor(
            id=row["subject"],
            kind=row["kind"],
            role=row["role"],
            sites=tuple(json.loads(row["sites"])),
            name=row["name"],
        )

    def end(self, secret: str) -> None:
        """End it, if there is one."""
        with self._database.begin() as connection:
            connection.execute(delete(access_session).where(_at.sha256 == hashed(secret)))
