"""What the coordinator says of itself, and to whom: keys of the configuration."""

import urllib.parse
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from tidewatt_link import logs


class Log(logs.Log, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of the work, on standard error, once it runs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """debug adds a line for each request; of the libraries that we use only warnings are shown."""


class Tracing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OpenTelemetry spans of requests, ingest and drivers; needs tidewatt-coordinator[otel]."""

    endpoint: str = ""
    """Where a collector takes OTLP over HTTP: http://host:4318; empty means none."""
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    """Share of the traces that are kept; a caller that brings a trace of its own decides itself."""


def wrong_tracing(tracing: Tracing) -> Iterator[str]:
    """What is wrong with it, a sentence each."""
    if not tracing.endpoint:
        return
    try:
        parts = urllib.parse.urlsplit(tracing.endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in tracing.endpoint:
        yield "tracing.endpoint is not an http:// or https:// URL without a user, such as http://collector:4318"
