"""The login page, from the wheel. It works without a script."""

import html
from importlib import resources
from string import Template
from urllib.parse import quote, urlsplit

from fastapi import Response
from fastapi.responses import HTMLResponse


def login_page(status: int, *, said: str = "", after: str = "/", provider: bool = False) -> Response:
    """The page; `said`: what went wrong; `after`: where to go then; `provider`: offer a login by it."""
    begin = f"/login/oidc?after={quote(after, safe='')}"
    offer = f'<a class="provider" href="{html.escape(begin)}">Log in with your organisation</a>'
    told = f'<p class="said" role="alert">{html.escape(said)}</p>'
    text = Template(_file("login.html").decode()).substitute(
        said=told if said else "", provider=offer if provider else "", after=html.escape(after)
    )
    return HTMLResponse(text, status, headers={"Cache-Control": "no-store"})


def stylesheet() -> Response:
    """Its style."""
    return Response(_file("login.css"), media_type="text/css")


def local(path: str) -> str:
    """Where to go, if that is a place of ours; else the first page. Browsers read a backslash as a slash."""
    parts = urlsplit(path)
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.netloc
    return path if ours and path.isascii() and path.isprintable() and len(path) <= LONGEST else "/"


LONGEST = 1000


def _file(name: str) -> bytes:
    return resources.files("tidewatt_coordinator.access.static").joinpath(name).read_bytes()
