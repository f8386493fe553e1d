"""Anomalies over REST: the days that cost more than such days do."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.anomalies.groups import Found
from tidewatt_coordinator.anomalies.looking import look
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions.rest import Remembered, told
from tidewatt_coordinator.web.paging import Cursor, Limit, after, paged

Days = Annotated[int, Query(ge=1, le=366, description="How many days back.")]


def rows(found: Iterable[Found]) -> list[dict[str, Any]]:
    """Anomalies as JSON has them, each with its impact."""
    return [msgspec.to_builtins(one) | {"impact": one.verdict.impact} for one in found]


def router(ledger: Ledger, config: Config, now_ms: Callable[[], int]) -> APIRouter:
    """The route /v1/anomalies."""
    routes, kept = APIRouter(dependencies=[VIEWER], tags=["cost"]), Remembered()

    @routes.get("/v1/anomalies", response_class=Response)
    def anomalies(request: Request, days: Days = 30, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """Days on which a service, a site or a tag cost too much, the dearest first."""
        found = told(kept, days, lambda: look(ledger.engine, config, now_ms(), days))
        at = after(cursor, int)
        # The list is made anew only now and then, and has no order but this one: its place is its number.
        begin = max(0, int(at[0])) if at else 0
        numbered = list(enumerate(rows(found[begin : begin + limit + 1]), begin + 1))
        page = [row | {"rank": number} for number, row in numbered]
        return paged(request, "anomalies", page, limit, lambda row: (row["rank"],))

    return routes
