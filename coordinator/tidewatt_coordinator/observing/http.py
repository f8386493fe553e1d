"""Requests by route: their rate, their errors, their time (RED), as pure ASGI around the application."""

import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

#: Seconds. The page's parts take a few milliseconds, a question over a year's ledger some seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: What can't be told by its route: a page that isn't there. Labels by what was asked for would have no end.
NOWHERE = "(none)"
#: A stream lasts as long as somebody looks: only the time until it begins says anything.
STREAM = b"text/event-stream"


class Requests:
    """The metrics of one application."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # A series more for each, which Prometheus has no use for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.served = Counter(
            "tidewatt_http_requests", "Requests answered", ["method", "route", "code"], registry=registry
        )
        self.took = Histogram(
            "tidewatt_http_request_seconds",
            "Time from a request to the end of its answer, of streams to its beginning",
            ["method", "route"],
            registry=registry,
            buckets=BUCKETS,
        )
        self.open = Gauge("tidewatt_http_requests_in_flight", "Requests in work", registry=registry)


class Measured:
    """The middleware. An application that raises has answered 500, whoever writes that answer."""

    def __init__(
        self, app: ASGIApp, requests: Requests, now_s: Callable[[], float] = time.perf_counter
    ) -> None:
        self._app, self._requests, self._now_s = app, requests, now_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._now_s)
        begun_s = self._now_s()
        self._requests.open.inc()
        try:
            await self._app(scope, receive, answer.send)
        finally:
            self._requests.open.dec()
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", NOWHERE)
            self._requests.served.labels(method, route, str(answer.code)).inc()
            ended_s = answer.streaming_s or self._now_s()
            self._requests.took.labels(method, route).observe(ended_s - begun_s)
            # The path as it is in the log alone, and never its query, which may hold what a login sends.
            about = {"route": route, "code": answer.code, "seconds": round(ended_s - begun_s, 6)}
            about |= {name: value for name, value in scope.get("state", {}).items() if name == "request_id"}
            log.debug("%s %s", method, scope["path"], extra=about)


class _Answer:
    """What was sent: a status, and when a stream began."""

    def __init__(self, send: Send, now_s: Callable[[], float]) -> None:
        self._send, self._now_s = send, now_s
        self.code = 500
        self.streaming_s: float | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.code = message["status"]
            heads = dict(message.get("headers", ()))
            if heads.get(b"content-type", b"").startswith(STREAM):
                self.streaming_s = self._now_s()
        await self._send(message)
