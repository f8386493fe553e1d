"""The coordinator's log: structlog's rendering over the standard library's loggers, and no secret in it.

Whatever is bound for the time of a request (`structlog.contextvars`) is on each of its lines: its id.
"""

import logging

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tidewatt_coordinator.observing.settings import Log
from tidewatt_link import logs as plain
from tidewatt_wire.strangers import one_line, set_in

#: Of others' libraries only what is wrong is news.
OURS = ("tidewatt_coordinator", "tidewatt_link")


def begin(config: Log) -> None:
    """Log like that from now on, instead of however it was."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
    ]
    drawn: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        *(_json() if config.format == "json" else _console()),
    ]
    shown = plain.Stderr()
    shown.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[*shared, _stamped], processors=drawn)
    )
    logging.basicConfig(level=logging.WARNING, handlers=[shown], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(config.level.upper())


def _json() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        _unsecret,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]


def _console() -> list[Processor]:
    return [structlog.processors.format_exc_info, _unsecret, _line]


def _stamped(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """When it was said, first; as the record has it, not when it is written."""
    return {"timestamp": plain.timestamp(event["_record"].created), **event}


def _unsecret(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        name: plain.without_secrets(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """As agent and router have it, and what is bound after it."""
    said = {name: event.pop(name, "") for name in ("timestamp", "level", "logger", "event", "exception")}
    bound = "".join(f" {name}={value}" for name, value in event.items())
    trace = f"\n{set_in(str(said['exception']))}" if said["exception"] else ""
    line = f"{str(said['level']).upper()} {said['logger']}: {said['event']}{bound}"
    return one_line(line) + trace
