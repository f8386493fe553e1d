"""The REST API and the page, as a FastAPI application."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.web import page
from tidewatt_coordinator.web.bodies import RESPONSES
from tidewatt_coordinator.web.kept import kept_for_a_while
from tidewatt_coordinator.web.models import FleetNow
from tidewatt_coordinator.web.paging import LARGEST, link
from tidewatt_coordinator.web.problems import tell_problems
from tidewatt_coordinator.web.settings import Rest
from tidewatt_coordinator.web.threshold import Threshold


def build(
    fleet_now: Callable[[], FleetNow],
    registry: CollectorRegistry,
    *more: APIRouter,
    settings: Rest | None = None,
) -> FastAPI:
    """The application; `fleet_now` draws up the fleet's state and is called at most once a second,
    less often where that takes long. `more`: other parts' routes.
    """
    app = FastAPI(
        title="Tidewatt coordinator", version=VERSION, docs_url="/docs", redoc_url=None, responses=RESPONSES
    )
    tell_problems(app).add_middleware(Threshold, settings=settings or Rest())
    for routes in (page.routes, *more):
        app.include_router(routes)
    current = kept_for_a_while(fleet_now)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok", "version": VERSION}

    @app.get("/v1/fleet", response_model=FleetNow)
    def fleet(
        request: Request, limit: Annotated[int | None, Query(ge=0, le=LARGEST)] = None, after: str = ""
    ) -> Response:
        """The fleet as it stands, its totals, and the comparison with the baselines.

        Devices are in order of their names: all of them, or `limit` of those that come `after` a name.
        """
        now, more = current(), False
        if limit is not None or after:
            some = [device for device in now.devices if device.device > after]
            more = limit is not None and 0 < limit < len(some)
            now = now.model_copy(update={"devices": some[:limit]})
        # Written here: FastAPI would validate ten thousand devices once more.
        response = Response(now.model_dump_json(), media_type="application/json")
        if more:
            link(request, response, after=now.devices[-1].device)
        return response

    @app.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Prometheus exposition."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app
