"""What every request passes on its way in and out: its id, the limits, an ETag, and the last net for errors.

Plain ASGI and not FastAPI's middleware, so that a stream of events goes through as it comes.
"""

import hashlib
import logging
import math
import re
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus

from fastapi import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from tidewatt_coordinator.audit.actor import Call, called
from tidewatt_coordinator.web.problems import problem
from tidewatt_coordinator.web.rate import Rate, caller_of
from tidewatt_coordinator.web.settings import Rest

log = logging.getLogger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
#: Asked by machines that must not be turned away when the fleet is in trouble.
FREE = ("/healthz", "/readyz")
KIB = 1024


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("local",))[0])


class Threshold:
    """The outermost part of the application."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Rest,
        address: Callable[[Scope], str] = _peer,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`address`: whose request it is, which behind a proxy isn't the socket's far end."""
        self._app, self._address, self._now_s = app, address, now_s
        self._rate = Rate(settings.requests_per_second, settings.burst)
        self._largest = settings.largest_body_kib * KIB

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        sending = _Sending(scope, send, request_id)
        token = called.set(Call(request_id, scope["state"]))
        try:
            with bound_contextvars(request_id=request_id):
                await self._served(scope, receive, sending, request_id)
        except Exception:
            log.exception("request %s, %s %s", request_id, scope["method"], scope["path"])
            if sending.begun:
                raise
            sentence = "this is a defect of Tidewatt; the coordinator's log has more under this request's id"
            await problem(500, sentence, None, request_id)(scope, receive, sending)
        finally:
            called.reset(token)

    async def _served(self, scope: Scope, receive: Receive, sending: Send, request_id: str) -> None:
        if refused := self._refused(scope, request_id):
            await refused(scope, receive, sending)
        else:
            await self._app(scope, self._bounded(receive), sending)

    def _refused(self, scope: Scope, request_id: str) -> Response | None:
        if scope["path"] not in FREE:
            wait_s = self._rate.wait_s(caller_of(self._address(scope)), self._now_s())
            if wait_s:
                seconds = math.ceil(wait_s)
                sentence = f"too many requests; ask again in {seconds} s"
                return problem(429, sentence, {"Retry-After": str(seconds)}, request_id)
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            return problem(422, "NUL can't be part of an address", None, request_id)
        length = _header(scope, b"content-length")
        if length.isdigit() and int(length) > self._largest:
            return problem(413, self._too_large, None, request_id)
        return None

    def _bounded(self, receive: Receive) -> Receive:
        """The request's body, as far as it may be long: one without a length is counted."""
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._largest:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        return bounded

    @property
    def _too_large(self) -> str:
        return f"a request has {self._largest // KIB} KiB at the most (rest.largest_body_kib)"


class _Sending:
    """The way out: the request's id, and for a JSON answer to a GET its ETag, or 304 where it is known."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._send, self._request_id = send, request_id
        self._tags = scope["method"] == "GET" and scope["path"].startswith("/v1/")
        self._known = _header(scope, b"if-none-match")
        self._start: Message | None = None
        self._parts: list[bytes] = []
        self.begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-request-id", self._request_id.encode())]
            if self._tags and _is_json(message):
                self._start = message
                return
        elif self._start is not None:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._all(self._start)
            return
        self.begun = True
        await self._send(message)

    async def _all(self, start: Message) -> None:
        body, self.begun = b"".join(self._parts), True
        named = [value for name, value in start["headers"] if name.lower() == b"etag"]
        tag = named[0].decode() if named else f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if not named:
            start["headers"].append((b"etag", tag.encode()))
        if same(tag, self._known):
            start["status"], body = HTTPStatus.NOT_MODIFIED, b""
            dropped = (b"content-length", b"content-type")
            start["headers"] = [one for one in start["headers"] if one[0].lower() not in dropped]
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def same(tag: str, known: str) -> bool:
    """Whether an If-None-Match has this tag; weak ones count."""
    names = [one.strip().removeprefix("W/") for one in known.split(",")]
    return bool(known) and (tag.removeprefix("W/") in names or "*" in names)


def _is_json(start: Message) -> bool:
    kinds = [value for name, value in start["headers"] if name.lower() == b"content-type"]
    return start["status"] == HTTPStatus.OK and kinds[:1] == [b"application/json"]


def _id_of(scope: Scope) -> str:
    given = _header(scope, b"x-request-id")
    return given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex


def _header(scope: Scope, wanted: bytes) -> str:
    found = [value for name, value in scope["headers"] if name == wanted]
    return found[0].decode("latin-1") if found else ""
