"""The REST API and the page, as a FastAPI application."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.access.gate import Gate
from tidewatt_coordinator.access.least import OPEN, VIEWER, VIEWER_BY_SITE, check_declared, described
from tidewatt_coordinator.observing.http import Measured, Requests
from tidewatt_coordinator.observing.tracing import Traced
from tidewatt_coordinator.web import page, stream
from tidewatt_coordinator.web.bodies import RESPONSES
from tidewatt_coordinator.web.kept import kept_for_a_while
from tidewatt_coordinator.web.live import Live
from tidewatt_coordinator.web.models import FleetNow
from tidewatt_coordinator.web.paging import LARGEST, link
from tidewatt_coordinator.web.problems import tell_problems
from tidewatt_coordinator.web.settings import Rest
from tidewatt_coordinator.web.sites import WHOLE_FLEET, of_sites
from tidewatt_coordinator.web.threshold import Threshold


def build(
    fleet_now: Callable[[], FleetNow],
    registry: CollectorRegistry,
    gate: Gate,
    *more: APIRouter,
    settings: Rest | None = None,
) -> FastAPI:
    """The application; `fleet_now` draws up the fleet's state and is called at most once a second,
    less often where that takes long. `gate`: who may come in. `more`: other parts' routes.
    UndeclaredError if a route doesn't say who may call it.
    """
    # None of FastAPI's own pages: they would be open to all, and load their scripts from elsewhere.
    app = FastAPI(title="Tidewatt coordinator", version=VERSION, openapi_url=None, responses=RESPONSES)
    app.state.gate = gate
    tell_problems(app).add_middleware(Threshold, settings=settings or Rest(), address=gate.address)
    app.add_middleware(Traced)
    app.add_middleware(Measured, requests=Requests(registry))
    current = kept_for_a_while(fleet_now)
    app.state.streams = streams = stream.Streams(Live(current))
    for routes in (page.routes, stream.router(streams, gate.address), *more):
        app.include_router(routes)

    @app.get("/healthz", dependencies=[OPEN])
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok", "version": VERSION}

    @app.get("/v1/fleet", response_model=FleetNow, dependencies=[VIEWER_BY_SITE])
    def fleet(
        request: Request, limit: Annotated[int | None, Query(ge=0, le=LARGEST)] = None, after: str = ""
    ) -> Response:
        """The fleet as it stands, its totals, and the comparison with the baselines.

        Devices are in order of their names: all of them, or `limit` of those that come `after` a name. Who is
        bound to sites gets their devices, and without the totals of the whole fleet.
        """
        now, left_out, more = current(), None, False
        if (actor := request.state.actor).sites:
            now, left_out = of_sites(now, actor.sees), WHOLE_FLEET
        if limit is not None or after:
            some = [device for device in now.devices if device.device > after]
            more = limit is not None and 0 < limit < len(some)
            now = now.model_copy(update={"devices": some[:limit]})
        # Written here: FastAPI would validate ten thousand devices once more.
        response = Response(now.model_dump_json(exclude=left_out), media_type="application/json")
        if more:
            link(request, response, after=now.devices[-1].device)
        return response

    @app.get(
        "/metrics",
        response_class=Response,
        dependencies=[OPEN if gate.settings.metrics == "open" else VIEWER],
    )
    def metrics() -> Response:
        """Prometheus exposition."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/openapi.json", dependencies=[VIEWER], include_in_schema=False)
    def openapi() -> dict[str, Any]:
        """What this API is, with the role that each route asks for."""
        return described(app.openapi(), app)

    check_declared(app)
    return app
