"""What services promise and what was measured, over REST."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Response

from tidewatt_coordinator.proposals.desk import Desk
from tidewatt_coordinator.proposals.problems import sent
from tidewatt_coordinator.sla.objectives import Metric, Service
from tidewatt_coordinator.web.bodies import body as body_of
from tidewatt_coordinator.web.problems import Problem


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/metrics/query."""

    service_id: str
    metrics: list[Metric] = []
    """Empty: all that are measured."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """The last so many steps of each."""


def add_metrics(routes: APIRouter, desk: Desk) -> None:
    """Add the routes under /v1/metrics."""

    @routes.get("/v1/metrics/services")
    def services() -> Response:
        """Every service with a promise."""
        return _json({"services": list(desk.judge.services.values()) if desk.judge else []})

    @routes.get("/v1/metrics/{service_id}/health")
    def health(service_id: str) -> Response:
        """Whether it keeps its promise now: ok, violates or unknown, by which evidence."""
        service = _service(desk, service_id)
        assert desk.judge  # noqa: S101 - it knew the service
        return _json(desk.judge.verdict(service.service, {}))

    @routes.post("/v1/metrics/query", openapi_extra=body_of(Asked))
    def query(body: Annotated[bytes, Depends(sent)]) -> Response:
        """What was measured of a service over its window, by step: pairs of time (ms) and value."""
        asked = msgspec.json.decode(body, type=Asked)
        service = _service(desk, asked.service_id)
        assert desk.judge  # noqa: S101 - it knew the service
        until_ms, found = desk.judge.measured(service)
        series = {
            name: sorted(values.items())[-asked.limit :]
            for name, values in found.items()
            if not asked.metrics or name in asked.metrics
        }
        return _json({"service_id": service.service, "until_ms": until_ms, "series": series})


def _service(desk: Desk, name: str) -> Service:
    known = desk.judge.services if desk.judge else {}
    if name not in known:
        raise Problem(404, f"{name!r} promises nothing; services are: {', '.join(sorted(known)) or 'none'}")
    return known[name]


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
