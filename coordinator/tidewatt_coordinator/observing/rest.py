"""The agents' addresses over HTTP, for `http_sd_configs` of Prometheus."""

from collections.abc import Callable

from fastapi import APIRouter

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.observing.discovery import TargetGroup, target_groups


def router(name: str, fleet: Fleet, now_ms: Callable[[], int]) -> APIRouter:
    """The one route."""
    routes = APIRouter(tags=["discovery"], dependencies=[VIEWER])

    @routes.get("/v1/discovery/agents")
    def agents() -> list[TargetGroup]:
        """The agents' Prometheus pages, as `http_sd_configs` asks for them.

        Of devices that told an address at their birth and are neither stopped nor asleep.
        """
        return target_groups(name, fleet, now_ms())

    return routes
