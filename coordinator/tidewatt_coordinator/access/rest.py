"""Logging in and out on the page: with a key, or at a provider by the code flow with PKCE.

Cookies are HttpOnly, Secure under TLS, and SameSite=Lax. Not Strict: who follows a link from a mail, or comes
back from the provider, would seem to be logged out; changes are guarded by more than that (origin.py).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from tidewatt_coordinator.access.caller import Caller
from tidewatt_coordinator.access.gate import Gate, cookie, too_many
from tidewatt_coordinator.access.keys import WrongKeyError, id_of
from tidewatt_coordinator.access.least import OPEN
from tidewatt_coordinator.access.logins import LASTS_MS, LoginBook
from tidewatt_coordinator.access.origin import foreign
from tidewatt_coordinator.access.page import local, login_page, stylesheet
from tidewatt_coordinator.access.provider import Provider, ProviderError
from tidewatt_coordinator.access.roles import Actor
from tidewatt_coordinator.access.secret import of_session
from tidewatt_coordinator.access.throttle import Throttle
from tidewatt_coordinator.access.tokens import TokenRefusedError

log = logging.getLogger(__name__)

LONGEST_FORM = 4096
CALLBACK = "/login/oidc/callback"
#: Told of every login and logout: who, what, from where.
Told = Callable[[Actor, str, str], None]


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_FORM:
            raise HTTPException(413, "the form is too long")
    try:
        found = parse_qs(body.decode(), max_num_fields=20)
    except ValueError as error:
        raise HTTPException(422, "the form can't be read") from error
    return {name: values[-1] for name, values in found.items()}


Form = Annotated[dict[str, str], Depends(_form)]


def noted(actor: Actor, what: str, address: str) -> None:
    """Say it in the log."""
    log.info("%s: %s from %s", actor.called, what, address or "an unknown address")


def router(gate: Gate, logins: LoginBook, told: Told = noted) -> APIRouter:
    """The routes under /login, /logout and /v1/session. They ask who somebody is, so they ask for no role."""
    routes = APIRouter(dependencies=[OPEN], tags=["access"])
    desk = Desk(gate, told)
    _add_session(routes, desk)
    _add_keys(routes, desk)
    if gate.provider and gate.settings.oidc.client_id:
        _add_provider(routes, desk, logins, gate.provider)
    return routes


class Desk:
    """Begins and ends sessions."""

    def __init__(self, gate: Gate, told: Told) -> None:
        self.gate, self.told = gate, told
        self.patience = Throttle()
        self.by_provider = bool(gate.provider and gate.settings.oidc.client_id)

    def check_ours(self, request: Request) -> Caller:
        """HTTPException if another page made this request."""
        caller = self.gate.caller(request)
        why = foreign(request.method, request.headers, caller, self.gate.web.public_url)
        if why:
            raise HTTPException(403, why)
        return caller

    async def begin(self, request: Request, actor: Actor, after: str) -> Response:
        """A new session, whatever the browser brought along; that one is over."""
        caller, gate = self.gate.caller(request), self.gate
        old = request.cookies.get(cookie(caller), "")
        if old:
            await asyncio.to_thread(gate.sessions.end, old)
        secret = await asyncio.to_thread(gate.sessions.begin, actor, gate.now_ms())
        response = RedirectResponse(after, 303)
        set_cookie(response, caller, cookie(caller), secret, round(gate.settings.session_s))
        await asyncio.to_thread(self.told, actor, "login", caller.address)
        return response


def set_cookie(response: Response, caller: Caller, name: str, value: str, seconds: int) -> None:
    """Set one that no script reads; with 0 seconds: take it away."""
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=caller.secure, httponly=True, samesite="lax"
    )


def _add_session(routes: APIRouter, desk: Desk) -> None:
    gate = desk.gate

    @routes.get("/v1/session")
    async def session(request: Request) -> dict[str, object]:
        """Who you are, and what a change has to bring along (X-CSRF-Token); `actor` is null for nobody."""
        try:
            actor: Actor | None = await gate.admit(request)
        except HTTPException as error:
            if error.status_code >= 500:  # noqa: PLR2004 - the database or the provider is away
                raise
            actor = None
        secret = request.cookies.get(cookie(gate.caller(request)), "")
        own = bool(actor and secret and actor.kind != "anonymous")
        shown = actor and {
            "id": actor.id, "kind": actor.kind, "name": actor.name, "role": actor.role, "sites": actor.sites
        }  # fmt: skip
        return {
            "actor": shown,
            "csrf": of_session(secret) if own else None,
            "login": {"key": True, "provider": desk.by_provider},
        }

    @routes.post("/logout", response_class=Response)
    async def logout(request: Request) -> Response:
        """End the session."""
        caller = desk.check_ours(request)
        secret = request.cookies.get(cookie(caller), "")
        if secret:
            actor = await asyncio.to_thread(gate.sessions.actor, secret, gate.now_ms())
            await asyncio.to_thread(gate.sessions.end, secret)
            if actor:
                await asyncio.to_thread(desk.told, actor, "logout", caller.address)
        response = RedirectResponse("/login", 303, headers={"Clear-Site-Data": '"cache"'})
        set_cookie(response, caller, cookie(caller), "", 0)
        return response


def _add_keys(routes: APIRouter, desk: Desk) -> None:
    @routes.get("/login", response_class=Response)
    def page(after: str = "/") -> Response:
        """The login page; `after`: where it goes then."""
        return login_page(200, after=local(after), provider=desk.by_provider)

    @routes.get("/login/login.css", response_class=Response)
    def style() -> Response:
        """Its style."""
        return stylesheet()

    @routes.post("/login", response_class=Response)
    async def login(request: Request, form: Form) -> Response:
        """Log in with a key."""
        caller, text = desk.check_ours(request), form.get("key", "").strip()
        now_ms, after = desk.gate.now_ms(), local(form.get("after", "/"))
        wait_s = desk.patience.wait_s(caller.address, id_of(text), now_ms / 1000)
        if wait_s > 0:
            raise too_many(wait_s)
        try:
            key = await asyncio.to_thread(desk.gate.keys.check, text, now_ms)
        except WrongKeyError as error:
            desk.patience.wrong(caller.address, id_of(text), now_ms / 1000)
            log.warning("a login with a wrong key from %s", caller.address or "an unknown address")
            return login_page(401, said=f"{error}.", after=after, provider=desk.by_provider)
        desk.patience.right(caller.address, id_of(text))
        return await desk.begin(request, key.actor, after)


def _add_provider(routes: APIRouter, desk: Desk, logins: LoginBook, provider: Provider) -> None:
    gate = desk.gate
    redirect = gate.web.public_url.rstrip("/") + CALLBACK

    @routes.get("/login/oidc", response_class=Response)
    async def begin(request: Request, after: str = "/") -> Response:
        """Go to the provider's login page."""
        begun = await asyncio.to_thread(logins.begin, local(after), gate.now_ms())
        try:
            page = await provider.page(begun, redirect)
        except ProviderError as error:
            log.warning("nobody can log in at the provider: %s", error)
            return login_page(503, said=f"{error}. Log in with a key.", after=local(after))
        response, caller = RedirectResponse(page, 303), gate.caller(request)
        set_cookie(response, caller, f"{cookie(caller)}-login", begun.browser, LASTS_MS // 1000)
        return response

    @routes.get(CALLBACK, response_class=Response)
    async def back(
        request: Request,
        state: Annotated[str, Query(max_length=200)] = "",
        code: Annotated[str, Query(max_length=4096)] = "",
        iss: Annotated[str, Query(max_length=1000)] = "",
    ) -> Response:
        """Come back from it, once, in the browser that went there."""
        caller = gate.caller(request)
        browser = request.cookies.get(f"{cookie(caller)}-login", "")
        begun = await asyncio.to_thread(logins.finish, state, browser, gate.now_ms())
        if begun is None or not code:
            said = "This login was not begun here, or is over. Try again."
            return login_page(401, said=said, provider=True)
        try:
            actor = await provider.returned(begun, code, iss, redirect)
        except TokenRefusedError as error:
            log.warning("a login at the provider was refused: %s", error)
            return login_page(403, said=f"You can't come in: {error}.", after=begun.after, provider=True)
        except ProviderError as error:
            log.warning("nobody can log in at the provider: %s", error)
            return login_page(503, said=f"{error}. Log in with a key.", after=begun.after)
        response = await desk.begin(request, actor, begun.after)
        set_cookie(response, caller, f"{cookie(caller)}-login", "", 0)
        return response
