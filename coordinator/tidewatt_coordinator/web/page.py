"""The page and its parts, from the wheel: no other server is asked for anything."""

import gzip
import hashlib
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, HTTPException, Response

from tidewatt_coordinator.access.least import OPEN

_KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
#: Chart.js, as the package chartkick ships it (ADR 0039).
_CHARTS = "lib/chart.js"
#: Below this gzip gains nothing.
_SMALL = 1000

#: Open: they are the same for everybody, and the login page needs the style.
routes = APIRouter(dependencies=[OPEN])


class File(NamedTuple):
    """A part of the page."""

    body: bytes
    packed: bytes
    kind: str
    tag: str


@routes.get("/", response_class=Response)
def page(
    accept_encoding: Annotated[str, Header()] = "", if_none_match: Annotated[str, Header()] = ""
) -> Response:
    """The page."""
    return _answer("page.html", accept_encoding, if_none_match)


@routes.get("/static/{name:path}", response_class=Response)
def static(
    name: str, accept_encoding: Annotated[str, Header()] = "", if_none_match: Annotated[str, Header()] = ""
) -> Response:
    """A part of the page."""
    return _answer(name, accept_encoding, if_none_match)


def _answer(name: str, accepted: str, known: str) -> Response:
    if name not in _names():
        raise HTTPException(404, "no such file")
    found = _file(name)
    headers = {"Cache-Control": "no-cache", "ETag": found.tag, "Vary": "Accept-Encoding"}
    if found.tag in known:
        return Response(status_code=304, headers=headers)
    if "gzip" in accepted and len(found.body) > _SMALL:
        return Response(found.packed, media_type=found.kind, headers=headers | {"Content-Encoding": "gzip"})
    return Response(found.body, media_type=found.kind, headers=headers)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    root = _root()
    folders = [("", root), *((f"{one.name}/", one) for one in root.iterdir() if one.is_dir())]
    own = (before + one.name for before, folder in folders for one in folder.iterdir() if one.is_file())
    return frozenset([_CHARTS, *(name for name in own if PurePosixPath(name).suffix in _KINDS)])


@cache
def _file(name: str) -> File:
    body = _charts() if name == _CHARTS else (_root() / name).read_bytes()
    packed = gzip.compress(body, mtime=0)
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    return File(body, packed, _KINDS[PurePosixPath(name).suffix], tag)


def _root() -> Path:
    return Path(__file__).with_name("static")


def _charts() -> bytes:
    return resources.files("chartkick").joinpath("django/static/chartkick/Chart.bundle.js").read_bytes()
