"""Routes asked as somebody, without a key: for tests of what the routes say, not of who may ask them."""

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from tidewatt_coordinator.access.roles import Actor, Role


def acting(web: ASGIApp, role: Role = "admin", sites: tuple[str, ...] = ()) -> ASGIApp:
    """The application as a caller of this role finds it, whose name is "test"."""
    actor = Actor(id="test", kind="key", role=role, sites=sites)

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"actor": actor}
        await web(scope, receive, send)

    return asked


class Browser:
    """A browser with its cookies, or a program without: asks an application without a socket."""

    def __init__(self, web: ASGIApp, origin: str = "http://localhost", address: str = "127.0.0.1") -> None:
        self.origin = origin
        self._transport = httpx.ASGITransport(web, raise_app_exceptions=False, client=(address, 1))
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=self.origin) as client:
                held = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
                sent = ({"cookie": held} if held else {}) | (headers or {})
                return await client.request(method, path, headers=sent, **more)

        answer = asyncio.run(ask())
        self.set_cookies = answer.headers.get_list("set-cookie")
        for one in self.set_cookies:
            name, _, value = one.partition(";")[0].partition("=")
            value = value.strip('"')
            self.cookies.update({name: value}) if value else self.cookies.pop(name, None)
        return answer

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        """As our own page does it."""
        return self.ask("POST", path, headers={"origin": self.origin} | (headers or {}), **more)

    def role(self) -> str | None:
        """The role that it has here."""
        actor = self.get("/v1/session").json()["actor"]
        return actor["role"] if actor else None
