"""API keys in the ledger's database: `tw_<id>_<secret>`. Every method is one transaction."""

import contextlib
import json
import secrets
from typing import NamedTuple

from sqlalchemy import Engine, RowMapping, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.access.roles import Actor, Role
from tidewatt_coordinator.access.secret import hashed, new_secret, same
from tidewatt_coordinator.audit.store import record
from tidewatt_coordinator.ledger.tables import access_key

PREFIX = "tw_"
#: Letters and digits of an id that can't be taken for one another.
LETTERS, ID_LENGTH = "abcdefghjkmnpqrstuvwxyz23456789", 10
#: Milliseconds between two notes of a key's last use: a write for each request would be one too many.
NOTED_EVERY_MS = 60_000

_at = access_key.c


class WrongKeyError(ValueError):
    """The key lets nobody in; the sentence says why to somebody who holds it, and nothing to others."""


class Key(NamedTuple):
    """What is known of a key; never the key itself."""

    id: str
    name: str
    role: Role
    sites: tuple[str, ...]
    made_ms: int
    made_by: str
    expires_ms: int | None
    used_ms: int | None
    revoked_ms: int | None

    def state(self, now_ms: int) -> str:
        """good, expired or revoked."""
        if self.revoked_ms is not None:
            return "revoked"
        return "expired" if self.expires_ms is not None and self.expires_ms <= now_ms else "good"

    @property
    def actor(self) -> Actor:
        """Who comes with it."""
        return Actor(id=self.id, kind="key", role=self.role, sites=self.sites, name=self.name)


def id_of(key: str) -> str:
    """The id that a key says it has; empty for what isn't one."""
    parts = key.split("_", 2)
    return parts[1] if key.startswith(PREFIX) and len(parts) == 3 else ""  # noqa: PLR2004 - tw, id, secret


class KeyBook:
    """The keys of one fleet."""

    def __init__(self, database: Engine, fleet: str) -> None:
        """On a database whose tables are up to date."""
        self._database, self._fleet = database, fleet

    def make(
        self,
        role: Role,
        now_ms: int,
        *,
        name: str = "",
        sites: tuple[str, ...] = (),
        expires_ms: int | None = None,
        made_by: str = "",
    ) -> tuple[Key, str]:
        """A new key, and its text, which is nowhere else."""
        known = "".join(secrets.choice(LETTERS) for _ in range(ID_LENGTH))
        text = f"{PREFIX}{known}_{new_secret()}"
        made = Key(known, name, role, tuple(sorted(set(sites))), now_ms, made_by, expires_ms, None, None)
        row = made._asdict() | {"fleet": self._fleet, "sha256": hashed(text), "sites": json.dumps(made.sites)}
        with self._database.begin() as connection:
            connection.execute(insert(access_key).values(row))
            told = {"role": role, "name": name, "sites": made.sites, "expires_ms": expires_ms}
            record(connection, "access key made", known, fleet=self._fleet, after=told, by=made_by)
        return made, text

    def check(self, text: str, now_ms: int) -> Key:
        """The key, if it is good now; WrongKeyError otherwise. Its use is noted once a minute."""
        with self._database.connect() as connection:
            mine = (_at.id == id_of(text)) & (_at.fleet == self._fleet)
            row = connection.execute(select(access_key).where(mine)).mappings().one_or_none()
        # One that isn't there is compared, too: how long it takes says nothing.
        if not same(hashed(text), row["sha256"] if row else "") or row is None:
            raise WrongKeyError("this key is not known here")
        found = _key(row)
        if found.state(now_ms) != "good":
            raise WrongKeyError(f"this key is {found.state(now_ms)}; `tidewatt access key new` makes another")
        if found.used_ms is None or abs(now_ms - found.used_ms) >= NOTED_EVERY_MS:
            with contextlib.suppress(SQLAlchemyError), self._database.begin() as connection:
                connection.execute(update(access_key).where(mine).values(used_ms=now_ms))
        return found

    def stands(self, known: str, now_ms: int) -> Key | None:
        """The key of this id, if it is good now."""
        with self._database.connect() as connection:
            mine = (_at.id == known) & (_at.fleet == self._fleet)
            row = connection.execute(select(access_key).where(mine)).mappings().one_or_none()
        found = _key(row) if row else None
        return found if found and found.state(now_ms) == "good" else None

    def revoke(self, known: str, now_ms: int) -> Key:
        """Take a key out of use, and so the sessions that were begun with it. ValueError: there is none."""
        with self._database.begin() as connection:
            mine = (_at.id == known) & (_at.fleet == self._fleet)
            row = connection.execute(select(access_key).where(mine)).mappings().one_or_none()
            if row is None:
                raise ValueError(f"there is no key {known!r}; `tidewatt access key ls` lists them")
            connection.execute(
                update(access_key).where(mine, _at.revoked_ms.is_(None)).values(revoked_ms=now_ms)
            )
            record(connection, "access key revoked", known, fleet=self._fleet, before={"role": row["role"]})
        return _key(row)

    def listed(self) -> list[Key]:
        """All of them, the oldest first."""
        rows = select(access_key).where(_at.fleet == self._fleet).order_by(_at.made_ms, _at.id)
        with self._database.connect() as connection:
            return [_key(row) for row in connection.execute(rows).mappings()]

    @property
    def empty(self) -> bool:
        """Whether there has never been one."""
        with self._database.connect() as connection:
            rows = select(_at.id).where(_at.fleet == self._fleet).limit(1)
            return connection.execute(rows).first() is None


def _key(row: RowMapping) -> Key:
    known = {name: row[name] for name in Key._fields}
    return Key(**known | {"sites": tuple(json.loads(row["sites"]))})
