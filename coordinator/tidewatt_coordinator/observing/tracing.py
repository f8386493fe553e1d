"""Spans for OpenTelemetry: of requests, of ingest's batches, of drivers' calls. Without it they cost nothing.

Nothing here is imported from OpenTelemetry before an endpoint is configured.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.observing.settings import Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

#: Seconds that the last spans may take on their way out.
GOODBYE_S = 2.0
#: Who answers with this or more has failed.
FAILED = 500


_spans: "Tracer | None" = None


class TracingError(ValueError):
    """Traces are asked for, and can't be made."""


@contextlib.contextmanager
def span(name: str, **about: str | float) -> Iterator[None]:
    """A span around what is done in the context; an error that goes through it is on it."""
    if _spans is None:
        yield
        return
    with _spans.start_as_current_span(name, attributes=about):
        yield


@contextlib.contextmanager
def exporting(config: Tracing) -> Iterator[None]:
    """Export spans while the context lasts, if there is somewhere to; TracingError without the library."""
    if not config.endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise TracingError(
            f"tracing.endpoint needs {error.name}: pip install tidewatt-coordinator[otel]"
        ) from error
    told = Resource.create({"service.name": "tidewatt-coordinator", "service.version": VERSION})
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(config.share)), resource=told)
    exporter = OTLPSpanExporter(endpoint=f"{config.endpoint.rstrip('/')}/v1/traces", timeout=GOODBYE_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    with tracing(provider.get_tracer("tidewatt_coordinator", VERSION)):
        try:
            yield
        finally:
            provider.shutdown()


@contextlib.contextmanager
def tracing(spans: "Tracer") -> Iterator[None]:
    """Begin spans with these while the context lasts."""
    global _spans  # noqa: PLW0603 - one process, one exporter: as logging has it
    _spans = spans
    try:
        yield
    finally:
        _spans = None


class Traced:
    """The middleware: a span for each request, which goes on with the trace that its caller brings."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, in a span if there are any."""
        if _spans is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from opentelemetry.propagate import extract  # noqa: PLC0415
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415

        heads = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method = scope["method"]
        with _spans.start_as_current_span(
            method, context=extract(heads), kind=SpanKind.SERVER, attributes={"http.request.method": method}
        ) as current:

            async def seen(message: Message) -> None:
                if message["type"] == "http.response.start":
                    current.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= FAILED:
                        current.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, seen)
            if route := getattr(scope.get("route"), "path", ""):
                current.update_name(f"{method} {route}")
                current.set_attribute("http.route", route)
