"""Errors as RFC 9457's problem+json: every one that the REST API can answer is made here."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException

from tidewatt_coordinator.rollout.journal import Changed
from tidewatt_coordinator.rollout.orders import NothingToDo

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Of what is wrong with a request so much is told.
MOST_WRONG = 10


class Problem(Exception):
    """What is answered instead."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, request_id: str = ""
) -> Response:
    """The answer to what went wrong, in a sentence."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if request_id:
        body["instance"] = f"urn:request:{request_id}"
    return Response(msgspec.json.encode(body), status, headers=headers, media_type=MEDIA_TYPE)


def tell_problems(app: FastAPI) -> FastAPI:
    """Have the application answer its errors so; what nobody foresaw is web.threshold's."""

    def told(_request: Request, error: Exception) -> Response:
        status, detail, headers = _said(error)
        return problem(status, detail, headers, str(getattr(_request.state, "request_id", "")))

    for kind in (
        Problem, HTTPException, RequestValidationError, NothingToDo, Changed, msgspec.DecodeError,
        DataError, OperationalError,
    ):  # fmt: skip
        app.add_exception_handler(kind, told)
    return app


def _said(error: Exception) -> tuple[int, str, Mapping[str, str] | None]:
    if isinstance(error, Problem):
        return error.status, error.detail, error.headers
    if isinstance(error, HTTPException):
        return error.status_code, str(error.detail), error.headers
    if isinstance(error, OperationalError):
        log.warning("the database: %s", str(error).partition("\n")[0])
        return 503, "the database is not there at the moment", {"Retry-After": "5"}
    if isinstance(error, (NothingToDo, Changed)):
        return 409, str(error), None
    return 422, _wrong(error), None


def _wrong(error: Exception) -> str:
    """All that is wrong in one sentence: where, and what is asked there."""
    if isinstance(error, DataError):
        return "the database can't hold what was sent"
    if not isinstance(error, RequestValidationError):
        return str(error)
    told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:MOST_WRONG]]
    return "; ".join(told)
