"""The quarantine over REST: reports that can't be true."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.ledger.intake import in_quarantine
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.web.paging import Cursor, Limit, after, paged
from tidewatt_wire.topics import NAME_PATTERN

Device = Annotated[str, Query(pattern=f"^({NAME_PATTERN})?$", description="This device's only.")]


def router(ledger: Ledger) -> APIRouter:
    """The route /v1/quarantine."""
    routes = APIRouter(dependencies=[VIEWER], tags=["fleet"])

    @routes.get("/v1/quarantine", response_class=Response)
    def quarantine(
        request: Request, device: Device = "", limit: Limit = 100, cursor: Cursor = ""
    ) -> Response:
        """Reports that were not believed, the newest first, each with the reason."""
        at = after(cursor, int, str, str)
        place = (int(at[0]), str(at[1]), str(at[2])) if at else None
        found = in_quarantine(ledger, device, limit + 1, place)
        return paged(request, "quarantine", found, limit, lambda one: (one.came_ms, one.device, one.sha256))

    return routes
