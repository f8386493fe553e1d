"""A provider of OpenID Connect over HTTP: its discovery document, its keys, and the code for a token.

Keys are kept for an hour, and asked for anew when a token names one that isn't known. While the provider is
down those that are known go on for a day.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from tidewatt_coordinator.access.logins import Begun
from tidewatt_coordinator.access.roles import Actor
from tidewatt_coordinator.access.secret import same
from tidewatt_coordinator.access.settings import Oidc, safe_url
from tidewatt_coordinator.access.tokens import (
    PublicKey,
    TokenRefusedError,
    actor_of,
    key_named,
    read_keys,
    verified,
)

PATIENCE_S = 5.0
#: Keys are asked for anew after so long, and go on for so long while nobody answers.
FRESH_S, STALE_S = 3600.0, 86_400.0
#: Two questions are so far apart, whatever tokens name.
APART_S = 15.0
LONGEST_ANSWER = 1_000_000


class ProviderError(RuntimeError):
    """The provider can't be asked, or answers nothing that can be used."""


class Document(msgspec.Struct, frozen=True):
    """What we need of a discovery document."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""


class _Given(msgspec.Struct):
    """What the provider gives for a code."""

    id_token: str


class Provider:
    """One provider, with what is known of it. `now_s`: the real time."""

    def __init__(self, settings: Oidc, now_s: Callable[[], float]) -> None:
        self._settings, self._now_s = settings, now_s
        self._known: tuple[Document, dict[str, PublicKey]] | None = None
        self._known_s = self._asked_s = float("-inf")
        self._why = ""
        self._lock = asyncio.Lock()

    async def caller(self, token: str) -> Actor:
        """Who brings this token along with an API call. TokenRefusedError, ProviderError."""
        settings = self._settings
        return actor_of(await self._claims(token, settings.audience or settings.client_id), settings)

    async def page(self, begun: Begun, redirect: str) -> str:
        """The URL of the provider's login page. ProviderError."""
        document, _keys = await self._now()
        if not document.authorization_endpoint or not document.token_endpoint:
            raise ProviderError("the provider has no login page for browsers")
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect,
            "scope": " ".join(self._settings.scopes),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge(begun.verifier),
            "code_challenge_method": "S256",
        }
        joined = "&" if "?" in document.authorization_endpoint else "?"
        return f"{document.authorization_endpoint}{joined}{urlencode(asked)}"

    async def returned(self, begun: Begun, code: str, issuer: str, redirect: str) -> Actor:
        """Who comes back from the login page with this code. TokenRefusedError, ProviderError."""
        document, _keys = await self._now()
        if issuer and issuer != document.issuer:
            raise TokenRefusedError("the answer is of another provider")
        asked = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect,
            "client_id": self._settings.client_id,
            "code_verifier": begun.verifier,
        }
        if self._settings.client_secret_file:
            asked["client_secret"] = await asyncio.to_thread(_secret, self._settings.client_secret_file)
        given = await self._ask(document.token_endpoint, _Given, asked)
        claims = await self._claims(given.id_token, self._settings.client_id)
        if not same(str(claims.get("nonce", "")), begun.nonce):
            raise TokenRefusedError("the token belongs to another login (nonce)")
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise TokenRefusedError("the token was made for another application (azp)")
        return actor_of(claims, self._settings)

    async def _claims(self, token: str, audience: str) -> dict[str, Any]:
        named = key_named(token)
        document, keys = await self._now(named)
        # A provider with one key need not name it.
        key = keys.get(named) if named or len(keys) != 1 else next(iter(keys.values()))
        if key is None:
            raise TokenRefusedError("the token is signed with a key that its provider doesn't have")
        return verified(
            token,
            key,
            algorithms=self._settings.algorithms,
            issuer=document.issuer,
            audience=audience,
            now_s=int(self._now_s()),
        )

    async def _now(self, named: str = "") -> tuple[Document, dict[str, PublicKey]]:
        """What is known, fresh enough, and with this key if the provider has it."""
        async with self._lock:  # of many that wait one asks
            now_s = self._now_s()
            fresh = self._known is not None and now_s - self._known_s < FRESH_S
            missing = bool(named) and (self._known is None or named not in self._known[1])
            if (not fresh or missing) and not 0 <= now_s - self._asked_s < APART_S:
                self._asked_s = now_s
                try:
                    self._known, self._known_s, self._why = await self._fetch(), now_s, ""
                except ProviderError as error:
                    self._why = str(error)
            if self._known is None or now_s - self._known_s >= STALE_S:
                raise ProviderError(self._why or "the provider has not answered yet")
            return self._known

    async def _fetch(self) -> tuple[Document, dict[str, PublicKey]]:
        document = await self._ask(self._settings.discovery, Document)
        for url in (document.jwks_uri, document.authorization_endpoint, document.token_endpoint):
            if url and not safe_url(url):
                raise ProviderError(f"the provider names an address that isn't https://: {url[:200]!r}")
        keys = read_keys(await self._ask(document.jwks_uri, dict[str, Any]))
        if not keys:
            raise ProviderError("the provider has no key that could verify a token")
        return document, keys

    async def _ask(self, url: str, kind: "type[Any]", form: dict[str, str] | None = None) -> Any:
        method, body = ("POST" if form else "GET"), bytearray()
        try:
            async with (
                httpx.AsyncClient(timeout=PATIENCE_S, follow_redirects=False) as client,
                client.stream(method, url, data=form, headers={"Accept": "application/json"}) as answer,
            ):
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > LONGEST_ANSWER:
                        raise ProviderError("the provider's answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderError(f"the provider can't be reached: {type(error).__name__}") from error
        if form and httpx.codes.is_client_error(answer.status_code):
            raise TokenRefusedError("the provider doesn't take the code")
        if answer.status_code != httpx.codes.OK:
            raise ProviderError(f"the provider answered {answer.status_code}")
        try:
            return msgspec.json.decode(bytes(body), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProviderError("the provider's answer can't be read") from error


def challenge(verifier: str) -> str:
    """What PKCE shows of the verifier at first."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _secret(file: str) -> str:
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ProviderError("access.oidc.client_secret_file can't be read") from error
