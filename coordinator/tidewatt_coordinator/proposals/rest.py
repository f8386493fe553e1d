"""Recommendations over REST: what is proposed, why, and what became of it; orders need an approver."""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute

from tidewatt_coordinator.access.least import APPROVER, OPERATOR, VIEWER
from tidewatt_coordinator.proposals.desk import Desk
from tidewatt_coordinator.proposals.problems import Problem, once, problem, sent
from tidewatt_coordinator.proposals.state import LIVE
from tidewatt_coordinator.proposals.store import Kept
from tidewatt_coordinator.rollout.journal import Changed
from tidewatt_coordinator.rollout.orders import NothingToDo
from tidewatt_coordinator.sla.rest import add_metrics

Sent = Annotated[bytes, Depends(sent)]
Most = Annotated[int, Query(ge=1, le=1000)]


class Recommend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/recommend."""

    service_id: str = ""
    driver: str = ""


class Apply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/config/apply."""

    service_id: str
    recommendation_id: str
    by: str = ""
    """For whom the caller asks, in his own words; he himself is in the journal in any case."""
    without_verdict: bool = False
    """The caller takes it upon himself that the promise is unknown."""
    final: bool = False
    """The caller knows that it can't be taken back."""


class Told(APIRoute):
    """A route whose errors are problem+json."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with its errors told."""
        handle = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handle(request)
            except Problem as error:
                return problem(error.status, error.detail)
            except NothingToDo as error:
                return problem(409, str(error))
            except Changed as error:
                return problem(409, str(error))
            except msgspec.DecodeError as error:
                return problem(422, str(error))

        return told


def router(desk: Desk) -> APIRouter:
    """The routes under /v1/recommend, /v1/config and /v1/metrics."""
    routes = APIRouter(route_class=Told, dependencies=[VIEWER], tags=["recommendations"])
    _add_reading(routes, desk)
    _add_orders(routes, desk)
    add_metrics(routes, desk)
    return routes


def _add_reading(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/v1/recommend", dependencies=[OPERATOR])
    def recommend(body: Sent) -> Response:
        """The proposals that stand now, of one service or of all; drivers look again at their next turn."""
        asked = msgspec.json.decode(body or b"{}", type=Recommend)
        looking = desk.look(asked.driver)
        found = [
            desk.shown(kept)
            for kept in desk.store.of(("open", *LIVE), asked.driver)
            if asked.service_id in ("", kept.proposal.recommendation.service)
        ]
        return _json({"looking": looking, "recommendations": found})

    @routes.get("/v1/recommendations/{service_id}")
    def recommendations(
        request: Request,
        service_id: str,
        limit: Most = 100,
        after: str = "",
        stage: Annotated[list[str] | None, Query()] = None,
    ) -> Response:
        """A service's proposals in order of their ids, those after an id; `next` begins the next page."""
        found = desk.store.page(service_id, limit + 1, after, stage or ())
        shown = [desk.shown(kept) for kept in found[:limit]]
        body = {"recommendations": shown, "next": shown[-1].id if len(found) > limit else None}
        return _tagged(request, body)

    @routes.get("/v1/config/history/{service_id}")
    def history(service_id: str, limit: Most = 100, after: Annotated[int, Query(ge=0)] = 0) -> Response:
        """What became of a service's proposals, the newest first; `after`: leave out so many."""
        found = desk.store.history(service=service_id, most=limit + 1, after=after)
        return _json({"events": found[:limit], "next": after + limit if len(found) > limit else None})


def _add_orders(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/v1/config/apply", dependencies=[APPROVER])
    def apply(request: Request, body: Sent) -> Response:
        """Approve a proposal: it is applied as soon as limits and the promise allow. If-Match guards it."""
        asked = msgspec.json.decode(body, type=Apply)

        def work() -> Response:
            _fresh(request, _of_service(desk, asked.recommendation_id, asked.service_id))
            said = {"without_verdict": asked.without_verdict, "final": asked.final}
            kept = desk.approve(asked.recommendation_id, _author(request, asked.by), **said)
            return _one(desk, kept, 202)

        return once(desk.store.database, desk.store.fleet, request, body, desk.now_ms(), work)

    @routes.post("/v1/config/rollback/{service_id}/{recommendation_id}", dependencies=[APPROVER])
    def rollback(request: Request, body: Sent, service_id: str, recommendation_id: str) -> Response:
        """Take a change back, or an approval."""

        def work() -> Response:
            _fresh(request, _of_service(desk, recommendation_id, service_id))
            return _one(desk, desk.roll_back(recommendation_id, _author(request, ""), ""), 202)

        return once(desk.store.database, desk.store.fleet, request, body, desk.now_ms(), work)


def _author(request: Request, said: str) -> str:
    called = str(request.state.actor.called)
    return f"{called} for {said}" if said else called


def _of_service(desk: Desk, name: str, service: str) -> Kept:
    try:
        kept = desk.store.get(name)
    except ValueError as error:
        raise Problem(404, str(error)) from error
    if kept.proposal.recommendation.service != service:
        raise Problem(404, f"service {service!r} has no recommendation {name!r}")
    return kept


def _fresh(request: Request, kept: Kept) -> None:
    wanted = request.headers.get("if-match", "*")
    if wanted != "*" and wanted != _tag(kept):
        raise Problem(412, f"{kept.proposal.id} has changed: it is {_tag(kept)} now")


def _tag(kept: Kept) -> str:
    return f'"{kept.version}"'


def _one(desk: Desk, kept: Kept, status: int) -> Response:
    response = _json(desk.shown(kept), status)
    response.headers["ETag"] = _tag(kept)
    return response


def _tagged(request: Request, body: object) -> Response:
    response = _json(body)
    tag = f'"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        response = Response(status_code=304)
    response.headers["ETag"] = tag
    return response


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
