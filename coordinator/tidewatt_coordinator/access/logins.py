"""Logins that were begun at the provider and aren't back yet: each comes back once, to the same browser."""

from typing import NamedTuple

from sqlalchemy import Engine, delete, func, insert, select

from tidewatt_coordinator.access.secret import hashed, new_secret, same
from tidewatt_coordinator.ledger.tables import access_login

#: A login has so long to come back.
LASTS_MS = 600_000
#: Logins under way at once: the oldest gives way.
MOST = 2000

_at = access_login.c


class Begun(NamedTuple):
    """What the provider and the browser are given; `state` and `browser` are kept as hashes only."""

    state: str
    browser: str
    nonce: str
    verifier: str
    """PKCE's: the provider gets its hash first, and this with the code."""
    after: str
    """Where the page goes then."""


class LoginBook:
    """The logins under way."""

    def __init__(self, database: Engine) -> None:
        """On a database whose tables are up to date."""
        self._database = database

    def begin(self, after: str, now_ms: int) -> Begun:
        """A new one."""
        begun = Begun(new_secret(), new_secret(), new_secret(), new_secret(), after)
        row = begun._asdict() | {
            "sha256": hashed(begun.state),
            "browser": hashed(begun.browser),
            "ends_ms": now_ms + LASTS_MS,
        }
        del row["state"]
        with self._database.begin() as connection:
            connection.execute(delete(access_login).where(_at.ends_ms <= now_ms))
            count = connection.execute(select(func.count()).select_from(access_login)).scalar()
            if count is not None and count >= MOST:
                oldest = select(_at.sha256).order_by(_at.ends_ms).limit(count - MOST + 1)
                connection.execute(delete(access_login).where(_at.sha256.in_(oldest)))
            connection.execute(insert(access_login).values(row))
        return begun

    def finish(self, state: str, browser: str, now_ms: int) -> Begun | None:
        """The login that comes back with this state, once; None if there is none, or from another browser."""
        with self._database.begin() as connection:
            mine = _at.sha256 == hashed(state)
            row = connection.execute(select(access_login).where(mine)).mappings().one_or_none()
            # Of two that come back at once one deletes it, and the other finds nothing to delete.
            if row is None or connection.execute(delete(access_login).where(mine)).rowcount != 1:
                return None
        if row["ends_ms"] <= now_ms or not same(row["browser"], hashed(browser)):
            return None
        return Begun(state, browser, row["nonce"], row["verifier"], row["after"])
