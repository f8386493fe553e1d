"""The audit over REST: who changed what, the newest first."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tidewatt_coordinator.access.least import OPERATOR
from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.web.paging import Cursor, Limit, after, paged

Wanted = Annotated[str, Query(max_length=200)]


def router(trail: Trail) -> APIRouter:
    """The route /v1/audit."""
    routes = APIRouter(dependencies=[OPERATOR], tags=["audit"])

    @routes.get("/v1/audit", response_class=Response)
    def audit(
        request: Request,
        actor: Wanted = "",
        what: Wanted = "",
        subject: Wanted = "",
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        """Entries, the newest first: all, or an actor's, those whose `what` begins so, those on a subject."""
        at = after(cursor, int)
        begin = int(at[0]) if at else None
        found = trail.newest(limit + 1, begin, who=actor, what=what, subject=subject)
        return paged(request, "entries", found, limit, lambda one: (one.sequence,), head=str(trail.head()))

    return routes
