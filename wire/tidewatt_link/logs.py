"""How our daemons log: one event a line, for people or as JSON, and no secret in either.

Agent and router use the standard library alone, as what they import stays in a board's memory; the
coordinator writes the same shape with structlog.
"""

import json
import logging
import re
import sys
from datetime import datetime, timezone
from typing import Any, Literal, TextIO

import msgspec

from tidewatt_wire.strangers import one_line, set_in

CONSOLE = "%(levelname)s %(name)s: %(message)s"
HIDDEN = "***"
#: What may be a secret, wherever it stands. Names of files that hold one (`password_file`) are none.
SECRETS = (
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"\b((?:password|passwd|secret|token|api[_-]?key|authorization|cookie)[\"']?\s*[=:]\s*[\"']?)"
            r"(?!bearer\b|basic\b)[^\s\"',;]{6,}",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL),
        HIDDEN,
    ),
)


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of the work, on standard error."""

    format: Literal["console", "json"] = "console"
    """Lines for people, or one JSON object a line for what collects them."""


def without_secrets(text: str) -> str:
    """The text without what looks like a password, a token or a key."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


def timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return (
        datetime.fromtimestamp(unix_s, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class Lines(logging.Formatter):
    """Lines for people."""

    def __init__(self) -> None:
        super().__init__(CONSOLE)

    def format(self, record: logging.LogRecord) -> str:
        """The line; of an exception, several."""
        return without_secrets(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line itself: what others said in it must not look like a line of ours."""
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """The traceback, which may hold what others said, too."""
        return set_in(super().formatException(ei))


class Json(logging.Formatter):
    """One JSON object a line: timestamp, level, logger, event, and of an exception its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The object."""
        said = {
            "timestamp": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": without_secrets(record.getMessage()),
        }
        if record.exc_info:
            said["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(said, ensure_ascii=False)


class Stderr(logging.StreamHandler):  # type: ignore[type-arg] # before 3.11 it takes no argument
    """Writes to what standard error is at the moment, not to what it was."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        """Asked for anew with each record."""
        return sys.stderr


def begin(form: str, level: str) -> None:
    """Log like that from now on, instead of however it was; `level` as logging names it."""
    shown = Stderr()
    shown.setFormatter(Json() if form == "json" else Lines())
    logging.basicConfig(level=level.upper(), handlers=[shown], force=True)
