"""The HTTPS door where devices get certificates: three paths, bounded, and counted by outcome."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.pki.asked import Rejected
from tidewatt_coordinator.pki.issuing import Issuing
from tidewatt_coordinator.pki.limit import WRONG_EVERY_S, Limit
from tidewatt_link.ending import within
from tidewatt_wire.enrolment import CA, ENROLL, MOST_BYTES, RENEW, Enrolled, EnrollRequest, RenewRequest

log = logging.getLogger(__name__)

#: A body that takes longer is not a device's.
BODY_S = 10.0
BAD, FORBIDDEN, TOO_LARGE, TOO_MANY, BROKEN = 400, 403, 413, 429, 503

R = TypeVar("R", EnrollRequest, RenewRequest)


class Door:
    """The application, and what it has answered."""

    def __init__(self, issuing: Issuing, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._issuing, self._monotonic_s = issuing, monotonic_s
        self._limit = Limit()
        self.answers: Counter[str] = Counter()
        """Answers by outcome: enrolled, renewed, refused, malformed, limited, failed."""
        self.app = FastAPI(title="Tidewatt enrolment", version=VERSION, docs_url=None, redoc_url=None)
        self.app.get(CA, response_class=Response)(self._ca)
        self.app.post(ENROLL, response_class=Response)(self._enroll)
        self.app.post(RENEW, response_class=Response)(self._renew)

    async def _ca(self) -> Response:
        """The fleet CA's certificate."""
        return Response(self._issuing.ca, media_type="application/x-pem-file")

    async def _enroll(self, request: Request) -> Response:
        """A first certificate, for a token that is good once."""
        return await self._answered(request, EnrollRequest, self._issuing.enroll, "enrolled")

    async def _renew(self, request: Request) -> Response:
        """The next certificate, for the present one."""
        return await self._answered(request, RenewRequest, self._issuing.renew, "renewed")

    async def _answered(
        self, request: Request, kind: type[R], issue: Callable[[R], Enrolled], done: str
    ) -> Response:
        address = request.client.host if request.client else ""
        if not self._limit.admits(address, self._monotonic_s()):
            raise self._refusal("limited", TOO_MANY, "too many requests: wait a minute")
        try:
            asked = msgspec.json.decode(await self._body(request), type=kind)
            enrolled = await asyncio.to_thread(issue, asked)
        except Rejected as error:
            self._limit.was_wrong(address, self._monotonic_s())
            log.warning("enrolment from %s refused: %s", address, error)
            raise self._refusal("refused", FORBIDDEN, str(error)) from error
        except msgspec.MsgspecError as error:
            self._limit.was_wrong(address, self._monotonic_s())
            raise self._refusal("malformed", BAD, f"this is no {kind.__name__}: {error}") from error
        except (SQLAlchemyError, OSError, ValueError) as error:  # the database, or the folder of policy keys
            log.error("enrolment: %s", str(error).partition("\n")[0])  # noqa: TRY400
            raise self._refusal("failed", BROKEN, "the coordinator's log says why it can't") from error
        self.answers[done] += 1
        log.info("%s %s, from %s", done, enrolled.device, address)
        return Response(msgspec.json.encode(enrolled), media_type="application/json")

    async def _body(self, request: Request) -> bytes:
        """The body, which is small and comes at once, or it is not read on."""

        async def read() -> bytes:
            body = bytearray()
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_BYTES:
                    raise self._refusal("malformed", TOO_LARGE, f"more than {MOST_BYTES} bytes")
            return bytes(body)

        try:
            return await within(read(), BODY_S)
        except asyncio.TimeoutError as error:
            raise self._refusal("malformed", BAD, "the request came too slowly") from error

    def _refusal(self, outcome: str, status: int, sentence: str) -> HTTPException:
        self.answers[outcome] += 1
        headers = {"Retry-After": f"{WRONG_EVERY_S:.0f}"} if status == TOO_MANY else None
        return HTTPException(status, sentence, headers)
