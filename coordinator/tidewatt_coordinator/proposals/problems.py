"""A request's body, and answers that are given again to the same idempotency key."""

import hashlib
from collections.abc import Callable
from http import HTTPStatus

import msgspec
from fastapi import Request, Response
from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from tidewatt_coordinator.ledger.tables import answered
from tidewatt_coordinator.web.problems import problem

#: An answer is given again for so long.
KEPT_MS = 86_400_000
LONGEST_KEY = 255


async def sent(request: Request) -> bytes:
    """The request's body, so that its handler needs no event loop."""
    return await request.body()


def once(
    database: Engine, fleet: str, request: Request, body: bytes, now_ms: int, work: Callable[[], Response]
) -> Response:
    """What `work` answers; what was answered to a request that was made under the same Idempotency-Key.

    The same key with another request is a 422. Errors are not remembered: who mends them may try again.
    """
    key = request.headers.get("idempotency-key", "")
    if len(key) > LONGEST_KEY:
        return problem(422, f"the Idempotency-Key is longer than {LONGEST_KEY} characters")
    if not key:
        return work()
    said = b"\0".join((request.method.encode(), request.url.path.encode(), body))
    asked = hashlib.sha256(said).hexdigest()
    if known := _known(database, fleet, key, asked):
        return known
    response = work()
    if response.status_code < HTTPStatus.BAD_REQUEST:
        row = {"asked": asked, "status": response.status_code, "body": bytes(response.body).decode()}
        try:
            with database.begin() as connection:
                old = answered.c.at_ms < now_ms - KEPT_MS
                connection.execute(delete(answered).where(answered.c.fleet == fleet, old))
                connection.execute(insert(answered).values(fleet=fleet, key=key, at_ms=now_ms, **row))
        except IntegrityError:
            return _known(database, fleet, key, asked) or response
    return response


def _known(database: Engine, fleet: str, key: str, asked: str) -> Response | None:
    mine = (answered.c.fleet == fleet) & (answered.c.key == key)
    columns = select(answered.c.asked, answered.c.status, answered.c.body).where(mine)
    with database.connect() as connection:
        row = connection.execute(columns).first()
    if row is None:
        return None
    if row[0] != asked:
        return problem(422, "this Idempotency-Key was used for another request")
    headers = {"Idempotency-Replayed": "true"}
    if (version := msgspec.json.decode(row[2], type=_Versioned).version) is not None:
        headers["ETag"] = tag(version)
    return Response(row[2], row[1], media_type="application/json", headers=headers)


def tag(version: int) -> str:
    """The ETag of a proposal as it was at that version."""
    return f'"{version}"'


class _Versioned(msgspec.Struct):
    """Any answer; of all that it says only this."""

    version: int | None = None
