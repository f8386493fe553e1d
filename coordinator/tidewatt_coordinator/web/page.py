"""The page and its parts, from the wheel: no other server is asked for anything."""

from importlib import resources

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import HTMLResponse

from tidewatt_coordinator.access.least import OPEN

_FILES = {
    "page.js": "text/javascript",
    "cost.js": "text/javascript",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
}

#: Open: they are the same for everybody, and the login page needs the style.
routes = APIRouter(dependencies=[OPEN])


@routes.get("/", response_class=HTMLResponse)
def page() -> str:
    """The page."""
    return _file("page.html").decode()


@routes.get("/static/{name}", response_class=Response)
def static(name: str) -> Response:
    """A part of the page."""
    if name not in _FILES:
        raise HTTPException(404, "no such file")
    return Response(_file(name), media_type=_FILES[name], headers={"Cache-Control": "no-cache"})


def _file(name: str) -> bytes:
    return resources.files("tidewatt_coordinator.web.static").joinpath(name).read_bytes()
