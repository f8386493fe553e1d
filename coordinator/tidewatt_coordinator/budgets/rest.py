"""Budgets over REST. Money is a decimal string; unknown is null."""

from collections.abc import Callable

import msgspec
from fastapi import APIRouter, Response

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.budgets.looking import look, plain
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.questions.rest import Remembered


def router(
    ledger: Ledger, config: Config, now_ms: Callable[[], int], remembered: Remembered | None = None
) -> APIRouter:
    """The route /v1/budgets."""
    routes = APIRouter(dependencies=[VIEWER], tags=["cost"])
    kept = remembered or Remembered()

    @routes.get("/v1/budgets", response_class=Response)
    def budgets() -> Response:
        """How our budgets and those that AWS told of stand in the present month."""
        found = kept.of("budgets", lambda: msgspec.json.encode(plain(look(ledger, config, now_ms()))))
        return Response(found, media_type="application/json")

    return routes
