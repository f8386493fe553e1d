"""From a request to its caller: by a key, by a provider's token, by a session, or as nobody.

What is shown and wrong is refused, even where nobody's word would be enough: whoever shows something wants
to know that it doesn't hold.
"""

import asyncio
import ipaddress
import logging
import math
import time
from collections.abc import Callable
from typing import NoReturn
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from tidewatt_coordinator.access.caller import Caller, caller_of, networks
from tidewatt_coordinator.access.keys import PREFIX, KeyBook, WrongKeyError, id_of
from tidewatt_coordinator.access.origin import SAFE, foreign
from tidewatt_coordinator.access.provider import Provider, ProviderError
from tidewatt_coordinator.access.roles import ANONYMOUS, Actor
from tidewatt_coordinator.access.secret import of_session, same
from tidewatt_coordinator.access.sessions import SessionBook
from tidewatt_coordinator.access.settings import Access, Web
from tidewatt_coordinator.access.throttle import Throttle
from tidewatt_coordinator.access.tokens import TokenRefusedError

log = logging.getLogger(__name__)

#: With __Host- a browser keeps it for this very host, by TLS only, whatever a neighbour would like to set.
SECURE_COOKIE, PLAIN_COOKIE = "__Host-tidewatt", "tidewatt"
CSRF_HEADER = "x-csrf-token"


def now_ms() -> int:
    """Real time, even under a virtual clock: keys and sessions are about people, not about fleets."""
    return time.time_ns() // 1_000_000


class Gate:
    """Who may come in. `settings.oidc` without a discovery URL: no provider."""

    def __init__(
        self,
        settings: Access,
        web: Web,
        keys: KeyBook,
        sessions: SessionBook,
        provider: Provider | None = None,
        now_ms: Callable[[], int] = now_ms,
    ) -> None:
        self.settings, self.web = settings, web
        self.keys, self.sessions, self.provider, self.now_ms = keys, sessions, provider, now_ms
        self._trusted, self._wrong = networks(web.trusted_proxies), Throttle()

    def caller(self, request: Request) -> Caller:
        """Where a request comes from."""
        return caller_of(dict(request.scope), self._trusted)

    def address(self, scope: Scope) -> str:
        """Whose request it is, behind a trusted proxy as well."""
        return caller_of(dict(scope), self._trusted).address

    async def admit(self, request: Request) -> Actor:
        """Who calls. HTTPException: 401 for nobody we know, 403 for another page's request, 429, 503."""
        try:
            return await self._admit(request)
        except SQLAlchemyError as error:
            log.warning("callers can't be looked up: %s", str(error).partition("\n")[0])
            raise HTTPException(503, "callers can't be looked up: the ledger's database is away") from error

    async def _admit(self, request: Request) -> Actor:
        caller = self.caller(request)
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await self._bearer(credential.strip(), caller)
        secret = request.cookies.get(cookie(caller), "")
        if secret:
            actor = await asyncio.to_thread(self.sessions.actor, secret, self.now_ms())
            if actor:
                self._check_ours(request, caller, secret)
                return actor
        if self.settings.anonymous == "viewer" and self._own_name(caller):
            self._check_ours(request, caller, "")
            return ANONYMOUS
        raise refused("log in, or send an API key: Authorization: Bearer tw_...")

    async def _bearer(self, credential: str, caller: Caller) -> Actor:
        try:
            if credential.startswith(PREFIX):
                key = await asyncio.to_thread(self.keys.check, credential, self.now_ms())
                return key.actor
            if self.provider is None:
                raise WrongKeyError(f"this is no API key: they begin with {PREFIX}")  # noqa: TRY301
            return await self.provider.caller(credential)
        except (WrongKeyError, TokenRefusedError) as error:
            self._count(id_of(credential), caller, str(error))
        except ProviderError as error:
            log.warning("tokens can't be judged: %s", error)
            raise HTTPException(503, f"tokens can't be judged now: {error}") from error

    def _count(self, name: str, caller: Caller, why: str) -> NoReturn:
        # The right key is never kept waiting, as it can't be found by trying; so nobody can lock another out.
        now_s = self.now_ms() / 1000
        wait_s = self._wrong.wait_s(caller.address, name, now_s)
        self._wrong.wrong(caller.address, name, now_s)
        if wait_s > 0:
            raise too_many(wait_s)
        raise refused(why)

    def _check_ours(self, request: Request, caller: Caller, secret: str) -> None:
        why = foreign(request.method, request.headers, caller, self.web.public_url)
        if why:
            raise HTTPException(403, why)
        if secret and request.method not in SAFE:
            given = request.headers.get(CSRF_HEADER, "")
            if not same(given, of_session(secret)):
                raise HTTPException(403, "the header X-CSRF-Token isn't that of /v1/session")

    def _own_name(self, caller: Caller) -> bool:
        """Whether we were asked by a name of ours: any page may let its own name lead to this machine."""
        host = urlsplit(f"//{caller.host}").hostname or ""
        public = urlsplit(self.web.public_url).hostname
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host == "localhost" or (public is not None and host == public)
        return True


def cookie(caller: Caller) -> str:
    """The name of the session's cookie."""
    return SECURE_COOKIE if caller.secure else PLAIN_COOKIE


def refused(why: str) -> HTTPException:
    """401."""
    return HTTPException(401, why, headers={"WWW-Authenticate": 'Bearer realm="tidewatt"'})


def too_many(wait_s: float) -> HTTPException:
    """429."""
    seconds = max(1, math.ceil(wait_s))
    return HTTPException(
        429, f"too many wrong tries; wait {seconds} s", headers={"Retry-After": str(seconds)}
    )
