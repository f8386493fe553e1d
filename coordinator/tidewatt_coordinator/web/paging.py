"""Lists over REST in pages: a size, an opaque cursor, and in the `Link` header where the next page is."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from fastapi import Query, Request, Response

from tidewatt_coordinator.web.problems import Problem

T = TypeVar("T")
Key = tuple[str | int, ...]

MOST = 1000
LONGEST_CURSOR = 1000
#: What databases keep in 64 bits.
LARGEST = 2**63 - 1

Limit = Annotated[int, Query(ge=1, le=MOST, description="Entries of a page, at the most.")]
Cursor = Annotated[
    str, Query(max_length=LONGEST_CURSOR, description="Where the page begins: `next` of the one before.")
]


def cursor_of(key: Key) -> str:
    """What stands for the place after an entry."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def after(cursor: str, *kinds: type) -> Key | None:
    """The key of the entry that a page comes after, None for the first page; Problem for no such cursor."""
    if not cursor:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key = msgspec.json.decode(text, type=list[str | int])
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Problem(422, "this cursor is none that an answer gave as `next`") from error
    if len(key) != len(kinds) or not all(map(_fits, key, kinds)):
        raise Problem(422, "this cursor is another list's")
    return tuple(key)


def paged(
    request: Request, name: str, rows: Sequence[T], limit: int, key: Callable[[T], Key], **more: object
) -> Response:
    """A page; `rows` begin where it begins and, if there are more than a page, are one more at the least.

    Its body is an object: the rows under `name`, the next page's cursor or null under `next`, and `more`.
    """
    following = cursor_of(key(rows[limit - 1])) if len(rows) > limit else None
    body = {name: list(rows[:limit]), "next": following, **more}
    response = Response(msgspec.json.encode(body), media_type="application/json")
    if following:
        link(request, response, cursor=following)
    return response


def link(request: Request, response: Response, **changed: str | int) -> None:
    """Say where the next page is: the same address with these parameters, relative to the server."""
    url = request.url.include_query_params(**changed)
    response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


def _fits(value: str | int, kind: type) -> bool:
    if isinstance(value, int):
        return kind is int and -LARGEST <= value <= LARGEST
    return kind is str and "\0" not in value
