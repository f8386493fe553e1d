"""The headers that tell a browser to trust nothing but ourselves, on every answer."""

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidewatt_coordinator.access.caller import Network, caller_of

#: Scripts, styles, pictures and questions from here alone, none of them within a page; nobody may frame us.
CONTENT = "; ".join(  # noqa: FLY002 - one a line is what can be read
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
ALWAYS = {
    "Content-Security-Policy": CONTENT,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that don't know frame-ancestors
    # Not no-referrer: with that a browser says "null" for the origin of our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
#: Half a year: long enough to count, short enough to go back.
STRICT_TRANSPORT = "max-age=15768000"


class SecurityHeaders:
    """ASGI middleware. What a route says itself about its cache stands."""

    def __init__(self, app: ASGIApp, trusted: Sequence[Network]) -> None:
        self._app, self._trusted = app, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        secure = caller_of(dict(scope), self._trusted).secure

        async def said(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers[name] = value
                # Kept by the browser only if it asks again: what a login shows is nobody else's.
                headers.setdefault("Cache-Control", "private, no-cache")
                if secure:
                    headers["Strict-Transport-Security"] = STRICT_TRANSPORT
            await send(message)

        await self._app(scope, receive, said)
