"""Whether the coordinator can do its work, and which one it is."""

import logging
import platform
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.access.least import OPEN, VIEWER_BY_SITE
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import ledger_fact
from tidewatt_coordinator.web.kept import kept_for_a_while
from tidewatt_wire.messages import SCHEMA

log = logging.getLogger(__name__)

#: What everybody is told; what the database itself says names hosts, users and files.
NO_WRITES = "the database takes no writes; the coordinator's log says why"


class Ready(BaseModel):
    """What it needs for its work, and whether it has it."""

    ready: bool
    broker: bool
    """Connected to the broker, and listening."""
    ledger: bool
    """The database takes writes."""
    ledger_error: str
    lease: Literal["held", "standby"]
    """Of several coordinators one publishes and orders; one that stands by is ready, too."""


class Version(BaseModel):
    """Which product this is, and what it speaks."""

    version: str
    api: str
    schema_version: str
    """Of the messages on the broker."""
    python: str


def router(ledger: Ledger, connected: Callable[[], bool], holds: Callable[[], bool]) -> APIRouter:
    """The routes /readyz and /v1/version."""
    routes = APIRouter(tags=["health"])
    error = kept_for_a_while(Writes(ledger).wrong)

    @routes.get("/readyz", dependencies=[OPEN], responses={503: {"model": Ready}})
    def readyz(response: Response) -> Ready:
        """503 while it can't do its work: without the broker, or with a database that takes no writes."""
        why, broker = error(), connected()
        if why or not broker:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Ready(
            ready=broker and not why,
            broker=broker,
            ledger=not why,
            ledger_error=NO_WRITES if why else "",
            lease="held" if holds() else "standby",
        )

    @routes.get("/v1/version", dependencies=[VIEWER_BY_SITE])
    def version() -> Version:
        """Which product this is, and what it speaks."""
        return Version(version=VERSION, api="v1", schema_version=SCHEMA, python=platform.python_version())

    return routes


class Writes:
    """Whether the database takes writes; when that changes, the log is told."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._said = ledger, ""

    def wrong(self) -> str:
        """What `unwritable` says now."""
        why = unwritable(self._ledger)
        if why and why != self._said:
            log.warning("the database takes no writes: %s", why)
        elif self._said and not why:
            log.info("the database takes writes again")
        self._said = why
        return why


def unwritable(ledger: Ledger) -> str:
    """Why the database takes no writes; empty if it does. It is tried, by a write that changes nothing."""
    fact = ledger_fact.c
    same = update(ledger_fact).where(fact.name == "bucket_ms").values(value=fact.value)
    try:
        ledger.transact(lambda connection: connection.execute(same))
    except SQLAlchemyError as error:
        return str(error.__cause__ or error).partition("\n")[0]
    return ""
