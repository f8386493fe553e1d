"""Recommendations over REST: what is proposed, why, and what became of it; orders need an approver."""

from difflib import get_close_matches
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response

from tidewatt_coordinator.access.least import APPROVER, OPERATOR, VIEWER
from tidewatt_coordinator.levers.settings import driver_names
from tidewatt_coordinator.proposals.desk import Desk
from tidewatt_coordinator.proposals.problems import once, sent, tag
from tidewatt_coordinator.proposals.state import LIVE, Stage
from tidewatt_coordinator.proposals.store import Kept
from tidewatt_coordinator.sla.rest import add_metrics
from tidewatt_coordinator.web.bodies import body as body_of
from tidewatt_coordinator.web.paging import LARGEST, link
from tidewatt_coordinator.web.problems import Problem

Sent = Annotated[bytes, Depends(sent)]
Most = Annotated[int, Query(ge=1, le=1000)]
Stages = Annotated[list[Stage] | None, Query(description="Only those of this stage; may be repeated.")]
Skipped = Annotated[int, Query(ge=0, le=LARGEST)]


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


def router(desk: Desk) -> APIRouter:
    """The routes under /v1/recommend, /v1/config and /v1/metrics."""
    routes = APIRouter(dependencies=[VIEWER], tags=["recommendations"])
    _add_reading(routes, desk)
    _add_orders(routes, desk)
    add_metrics(routes, desk)
    return routes


def _add_reading(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/v1/recommend", dependencies=[OPERATOR], openapi_extra=body_of(Recommend))
    def recommend(body: Sent) -> Response:
        """The proposals that stand now, of one service or of all; drivers look again at their next turn."""
        asked = msgspec.json.decode(body or b"{}", type=Recommend)
        if asked.driver:
            _known_driver(asked.driver)
        looking = desk.look(asked.driver)
        found = [
            desk.shown(kept)
            for kept in desk.store.of(("open", *LIVE), asked.driver)
            if asked.service_id in ("", kept.proposal.recommendation.service)
        ]
        return _json({"looking": looking, "recommendations": found})

    @routes.get("/v1/recommendations")
    def everything(request: Request, limit: Most = 100, after: str = "", stage: Stages = None) -> Response:
        """All services' proposals, as those of one; nothing is looked for anew."""
        return recommendations(request, "", limit, after, stage)

    @routes.get("/v1/recommendations/{service_id}")
    def recommendations(
        request: Request,
        service_id: str,
        limit: Most = 100,
        after: str = "",
        stage: Stages = None,
    ) -> Response:
        """A service's proposals in order of their ids, those after an id; `next` begins the next page."""
        found = desk.store.page(service_id, limit + 1, after, stage or ())
        shown = [desk.shown(kept) for kept in found[:limit]]
        body = {"recommendations": shown, "next": shown[-1].id if len(found) > limit else None}
        response = _json(body)
        if body["next"]:
            link(request, response, after=shown[-1].id)
        return response

    @routes.get("/v1/config/history/{service_id}")
    def history(
        request: Request,
        service_id: str,
        limit: Most = 100,
        after: Skipped = 0,
    ) -> Response:
        """What became of a service's proposals, the newest first; `after`: leave out so many."""
        found = desk.store.history(service=service_id, most=limit + 1, after=after)
        following = after + limit if len(found) > limit else None
        response = _json({"events": found[:limit], "next": following})
        if following:
            link(request, response, after=following)
        return response


def _add_orders(routes: APIRouter, desk: Desk) -> None:
    @routes.post("/v1/config/apply", status_code=202, dependencies=[APPROVER], openapi_extra=body_of(Apply))
    def apply(request: Request, body: Sent) -> Response:
        """Approve a proposal: it is applied as soon as limits and the promise allow. If-Match guards it."""
        asked = msgspec.json.decode(body, type=Apply)

        def work() -> Response:
            _fresh(request, _of_service(desk, asked.recommendation_id, asked.service_id))
            said = {"without_verdict": asked.without_verdict, "final": asked.final}
            kept = desk.approve(asked.recommendation_id, _author(request, asked.by), **said)
            return _one(desk, kept, 202)

        return once(desk.store.database, desk.store.fleet, request, body, desk.now_ms(), work)

    @routes.post(
        "/v1/config/rollback/{service_id}/{recommendation_id}", status_code=202, dependencies=[APPROVER]
    )
    def rollback(request: Request, body: Sent, service_id: str, recommendation_id: str) -> Response:
        """Take a change back, or an approval."""

        def work() -> Response:
            _fresh(request, _of_service(desk, recommendation_id, service_id))
            return _one(desk, desk.roll_back(recommendation_id, _author(request, ""), ""), 202)

        return once(desk.store.database, desk.store.fleet, request, body, desk.now_ms(), work)


def _known_driver(name: str) -> None:
    if name in driver_names():
        return
    near = get_close_matches(name, driver_names(), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(driver_names())}"
    raise Problem(422, f"there is no driver {name!r}; {hint}")


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
    if wanted != "*" and wanted != tag(kept.version):
        raise Problem(412, f"{kept.proposal.id} has changed: it is {tag(kept.version)} now")


def _one(desk: Desk, kept: Kept, status: int) -> Response:
    response = _json(desk.shown(kept), status)
    response.headers["ETag"] = tag(kept.version)
    return response


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
