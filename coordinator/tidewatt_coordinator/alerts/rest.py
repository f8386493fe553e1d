"""Alerts over REST: those that stand, and what became of the others."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from msgspec.structs import asdict

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.alerts.episodes import Standing
from tidewatt_coordinator.alerts.store import AlertBook
from tidewatt_coordinator.costs.days import DAY_MS
from tidewatt_coordinator.web.paging import Cursor, Limit, after, paged

#: Later than any time: nothing has ended after it.
NEVER_MS = 2**62

Days = Annotated[int, Query(ge=0, le=4000, description="Those, too, that ended so many days ago.")]


def router(book: AlertBook, now_ms: Callable[[], int]) -> APIRouter:
    """The route /v1/alerts."""
    routes = APIRouter(dependencies=[VIEWER], tags=["alerts"])

    @routes.get("/v1/alerts", response_class=Response)
    def alerts(request: Request, days: Days = 0, limit: Limit = 100, cursor: Cursor = "") -> Response:
        """The alerts that stand, the newest first, and with `days` those that are over."""
        found = book.history(now_ms() - days * DAY_MS if days else NEVER_MS)
        found.sort(key=_place)
        if at := after(cursor, int, str, int):
            found = [one for one in found if _place(one) > at]
        rows = [asdict(one) | {"state": one.state} for one in found[: limit + 1]]
        waiting = book.waiting()
        return paged(request, "alerts", rows, limit, _place_of, waiting=waiting)

    return routes


def _place(one: Standing) -> tuple[int, str, int]:
    return -one.since_ms, one.name, one.episode


def _place_of(row: dict[str, object]) -> tuple[int, str, int]:
    return -int(str(row["since_ms"])), str(row["name"]), int(str(row["episode"]))
