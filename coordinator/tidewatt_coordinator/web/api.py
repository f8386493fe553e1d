"""The REST API and the page, as a FastAPI application."""

import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.access.gate import Gate
from tidewatt_coordinator.access.least import OPEN, VIEWER, VIEWER_BY_SITE, check_declared, described
from tidewatt_coordinator.observing.http import Measured, Requests
from tidewatt_coordinator.observing.tracing import Traced
from tidewatt_coordinator.web import page
from tidewatt_coordinator.web.models import FleetNow
from tidewatt_coordinator.web.sites import WHOLE_FLEET, of_sites

T = TypeVar("T")

#: Real seconds for which a drawn-up account is shown again: many viewers cost as much as one.
ACCOUNT_KEPT_S = 1.0
#: It is kept this many times as long as it took: looking costs a tenth of a processor at the most, however
#: large the fleet.
KEPT_PER_TAKEN = 10.0


def build(
    fleet_now: Callable[[], FleetNow], registry: CollectorRegistry, gate: Gate, *more: APIRouter
) -> FastAPI:
    """The application; `fleet_now` draws up the fleet's state and is called at most once a second,
    less often where that takes long. `gate`: who may come in. `more`: other parts' routes.
    UndeclaredError if a route doesn't say who may call it.
    """
    # None of FastAPI's own pages: they would be open to all, and load their scripts from elsewhere.
    app = FastAPI(title="Tidewatt coordinator", version=VERSION, openapi_url=None)
    app.state.gate = gate
    for routes in (page.routes, *more):
        app.include_router(routes)
    app.add_middleware(Traced)
    app.add_middleware(Measured, requests=Requests(registry))
    current = kept_for_a_while(fleet_now)

    @app.get("/healthz", dependencies=[OPEN])
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok", "version": VERSION}

    @app.get("/v1/fleet", response_model=FleetNow, dependencies=[VIEWER_BY_SITE])
    def fleet(
        request: Request, limit: Annotated[int | None, Query(ge=0)] = None, after: str = ""
    ) -> Response:
        """The fleet as it stands, its totals, and the comparison with the baselines.

        Devices are in order of their names: all of them, or `limit` of those that come `after` a name. Who is
        bound to sites gets their devices, and without the totals of the whole fleet.
        """
        now, left_out = current(), None
        if (actor := request.state.actor).sites:
            now, left_out = of_sites(now, actor.sees), WHOLE_FLEET
        if limit is not None or after:
            some = [device for device in now.devices if device.device > after][:limit]
            now = now.model_copy(update={"devices": some})
        # Written here: FastAPI would validate ten thousand devices once more.
        return Response(now.model_dump_json(exclude=left_out), media_type="application/json")

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


def kept_for_a_while(
    draw_up: Callable[[], T], now_s: Callable[[], float] = time.monotonic
) -> Callable[[], T]:
    """The same, drawn up again only when it has been shown for a while."""
    lock = threading.Lock()
    kept: list[tuple[float, T]] = []
    """Until when it is shown, and what."""

    def current() -> T:
        with lock:
            begun_s = now_s()
            if not kept or begun_s >= kept[0][0]:
                drawn, ended_s = draw_up(), now_s()
                kept[:] = [(ended_s + max(ACCOUNT_KEPT_S, KEPT_PER_TAKEN * (ended_s - begun_s)), drawn)]
            return kept[0][1]

    return current
