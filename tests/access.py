"""Routes asked as somebody, without a key: for tests of what the routes say, not of who may ask them."""

from starlette.types import ASGIApp, Receive, Scope, Send

from tidewatt_coordinator.access.roles import Actor, Role


def acting(web: ASGIApp, role: Role = "admin", sites: tuple[str, ...] = ()) -> ASGIApp:
    """The application as a caller of this role finds it, whose name is "test"."""
    actor = Actor(id="test", kind="key", role=role, sites=sites)

    async def asked(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"actor": actor}
        await web(scope, receive, send)

    return asked
