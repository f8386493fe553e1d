"""Simulation over REST. It changes nothing, so a viewer may; one at a time, as each takes seconds."""

import threading
from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Response

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.proposals.problems import sent
from tidewatt_coordinator.simulate.asked import Batch, One, Refused, answer
from tidewatt_coordinator.simulate.bundled import templates
from tidewatt_coordinator.simulate.outcome import Outcome
from tidewatt_coordinator.simulate.setup import doors, equipped
from tidewatt_coordinator.simulate.sources import demand_of
from tidewatt_coordinator.web.bodies import body as body_of
from tidewatt_coordinator.web.problems import Problem
from tidewatt_wire.documents import DocumentError

Sent = Annotated[bytes, Depends(sent)]


def router(config: Config, now_ms: Callable[[], int]) -> APIRouter:
    """The routes under /v1/simulate."""
    routes, busy = APIRouter(dependencies=[VIEWER], tags=["simulation"]), threading.Lock()

    def work(asked: One | Batch) -> list[Outcome | Refused]:
        if not busy.acquire(blocking=False):
            raise Problem(503, "another simulation is running; ask again when it is done")
        try:
            demand = demand_of(asked.demand, doors(config, now_ms), asked.seed)
            return answer(asked, demand, equipped(config, now_ms))
        except (DocumentError, ValueError) as error:
            raise Problem(422, str(error)) from error
        except OSError as error:
            raise Problem(503, f"{error.filename or 'prices'}: {error.strerror or error}") from error
        finally:
            busy.release()

    @routes.post("/v1/simulate", openapi_extra=body_of(One))
    def simulate(body: Sent) -> Response:
        """What a scenario would cost and keep, beside the world as it is: with intervals, all simulated."""
        found = work(msgspec.json.decode(body or b"{}", type=One))[0]
        if isinstance(found, Refused):
            raise Problem(422, found.error)
        return _json(found)

    @routes.post("/v1/simulate/batch", openapi_extra=body_of(Batch))
    def batch(body: Sent) -> Response:
        """Several scenarios of one world, in their order; one that can't be doesn't hold up the others."""
        return _json({"outcomes": work(msgspec.json.decode(body, type=Batch))})

    @routes.get("/v1/simulate/templates")
    def listed() -> Response:
        """Scenarios that are often asked for."""
        return _json({"templates": list(templates().values())})

    return routes


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
