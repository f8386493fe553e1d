"""The REST API and the page, as a FastAPI application."""

import threading
import time
from collections.abc import Callable
from importlib import resources
from typing import Annotated, TypeVar

from fastapi import FastAPI, HTTPException, Query, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from tidewatt_coordinator import VERSION
from tidewatt_coordinator.publisher import Publisher
from tidewatt_coordinator.web.models import Dispatch, FleetNow

T = TypeVar("T")

#: Real seconds for which a drawn-up account is shown again: many viewers cost as much as one.
ACCOUNT_KEPT_S = 1.0
#: It is kept this many times as long as it took: looking costs a tenth of a processor at the most, however
#: large the fleet.
KEPT_PER_TAKEN = 10.0

_FILES = {
    "page.js": "text/javascript",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
}


def build(fleet_now: Callable[[], FleetNow], publisher: Publisher, registry: CollectorRegistry) -> FastAPI:
    """The application; `fleet_now` draws up the fleet's state and is called at most once a second,
    less often where that takes long.
    """
    app = FastAPI(title="Tidewatt coordinator", version=VERSION, docs_url="/docs", redoc_url=None)
    current = kept_for_a_while(fleet_now)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok", "version": VERSION}

    @app.get("/v1/fleet", response_model=FleetNow)
    def fleet(limit: Annotated[int | None, Query(ge=0)] = None, after: str = "") -> Response:
        """The fleet as it stands, its totals, and the comparison with the baselines.

        Devices are in order of their names: all of them, or `limit` of those that come `after` a name.
        """
        now = current()
        if limit is not None or after:
            some = [device for device in now.devices if device.device > after][:limit]
            now = now.model_copy(update={"devices": some})
        # Written here: FastAPI would validate ten thousand devices once more.
        return Response(now.model_dump_json(), media_type="application/json")

    @app.get("/v1/dispatch")
    def dispatch() -> Dispatch:
        """The dispatch table last published; 404 before the first."""
        table = publisher.table
        if table is None:
            raise HTTPException(404, "no dispatch table has been published yet")
        return Dispatch(
            epoch=table.epoch,
            issued_at_ms=table.issued_at_ms,
            expires_at_ms=table.expires_at_ms,
            weights=table.weights,
            reason=table.reason,
        )

    @app.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Prometheus exposition."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        """The page."""
        return _file("page.html").decode()

    @app.get("/static/{name}", response_class=Response)
    def static(name: str) -> Response:
        """A part of the page."""
        if name not in _FILES:
            raise HTTPException(404, "no such file")
        return Response(_file(name), media_type=_FILES[name], headers={"Cache-Control": "no-cache"})

    return app


def _file(name: str) -> bytes:
    return resources.files("tidewatt_coordinator.web.static").joinpath(name).read_bytes()


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
