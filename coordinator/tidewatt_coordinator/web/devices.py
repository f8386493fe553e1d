"""Devices over REST: the list in pages, one device whole, and its past as a line."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from tidewatt_coordinator.access.least import VIEWER_BY_SITE
from tidewatt_coordinator.access.roles import Actor
from tidewatt_coordinator.fleet import Device, Fleet, Status
from tidewatt_coordinator.ledger.history import line
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.web.kept import kept_for_a_while
from tidewatt_coordinator.web.models import DeviceNow
from tidewatt_coordinator.web.paging import Cursor, Limit, after, paged
from tidewatt_coordinator.web.problems import Problem
from tidewatt_coordinator.web.view import device_now
from tidewatt_governor.policy import resolve
from tidewatt_wire.messages import DispatchTable, PolicySet

HOUR_MS = 3_600_000
#: The longest past that can be asked for.
MOST_HOURS = 366 * 24

StatusNames = Annotated[
    list[Status] | None, Query(alias="status", description="Only those of this status; may be repeated.")
]
Hours = Annotated[float, Query(gt=0, le=MOST_HOURS, description="So much before the end.")]


class DeviceWhole(DeviceNow):
    """Everything that is known of one device."""

    version: str | None
    session: str | None
    points: list[dict[str, Any]]
    """Its operating points, as it said they are."""
    vendor_default: str | None
    capabilities: list[str]
    leases: list[str]
    """Floors that applications hold: the mode and the reason, a sentence each."""
    forecast_skill: float | None
    forecast_model: str | None
    waiting: int | None
    thinned: int | None
    policy: dict[str, Any]
    """What holds for it, by the policy that stands."""
    policy_reason: str | None
    policy_code: str | None


def router(
    fleet: Fleet,
    ledger: Ledger,
    policies: Callable[[], PolicySet],
    table: Callable[[], DispatchTable | None],
    now_ms: Callable[[], int],
) -> APIRouter:
    """The routes under /v1/devices and /v1/history."""
    routes = APIRouter(dependencies=[VIEWER_BY_SITE], tags=["fleet"])
    current = kept_for_a_while(lambda: _all(fleet, table(), now_ms()))

    @routes.get("/v1/devices", response_class=Response)
    def devices(
        request: Request,
        site: str | None = None,
        status: StatusNames = None,
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        """The fleet's devices by name, in pages; of a site (the label `site`), or of some statuses only."""
        at = after(cursor, str)
        begin, actor = str(at[0]) if at else "", request.state.actor
        found = (
            one
            for one in current()
            if one.device > begin
            and actor.sees(one.labels.get("site", ""))
            and (site is None or one.labels.get("site", "") == site)
            and (not status or one.status in status)
        )
        rows = [one.model_dump(mode="json") for one, _ in zip(found, range(limit + 1), strict=False)]
        return paged(request, "devices", rows, limit, lambda row: (row["device"],))

    @routes.get("/v1/devices/{device}")
    def device_whole(request: Request, device: str) -> DeviceWhole:
        """One device with what it can do, what it was told to, and how it stands."""
        known = _known(fleet, device, request.state.actor)
        return _whole(device, known, fleet.status(device, now_ms()), policies(), _parts(table(), now_ms()))

    @routes.get("/v1/history/{device}", response_class=Response)
    def history(
        request: Request,
        device: str,
        hours: Hours = 24.0,
        until_ms: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    ) -> Response:
        """Watts, requests/s, broken promise and mode by steps of time, 600 at the most, for a chart.

        Latency isn't kept by time: what is kept is the share of it in which the promise was broken.
        """
        end_ms = now_ms() if until_ms is None else until_ms
        found = line(ledger, device, end_ms - round(hours * HOUR_MS), end_ms)
        # Of one that is gone there is its past, for those who see all sites.
        if not found.points or request.state.actor.sites:
            _known(fleet, device, request.state.actor)
        return Response(msgspec.json.encode(found), media_type="application/json")

    return routes


def _all(fleet: Fleet, table: DispatchTable | None, now_ms: int) -> list[DeviceNow]:
    parts = _parts(table, now_ms)
    return [device_now(name, one, fleet.status(name, now_ms), parts) for name, one in fleet.known()]


def _parts(table: DispatchTable | None, now_ms: int) -> dict[str, int]:
    return table.weights if table and table.expires_at_ms > now_ms else {}


def _known(fleet: Fleet, name: str, actor: Actor) -> Device:
    known = fleet.devices.get(name)
    site = known.birth.labels.get("site", "") if known and known.birth else ""
    if known is None or not actor.sees(site):
        raise Problem(404, f"there is no device {name!r} in this fleet")
    return known


def _whole(name: str, device: Device, status: str, policies: PolicySet, parts: dict[str, int]) -> DeviceWhole:
    birth, ack = device.birth, device.ack
    gauges = device.report.gauges if device.report else None
    held = resolve(policies, name, birth.labels if birth else {})
    return DeviceWhole.model_construct(
        **device_now(name, device, status, parts).model_dump(),
        version=birth.version if birth else None,
        session=birth.session if birth else None,
        points=msgspec.to_builtins(birth.points) if birth else [],
        vendor_default=birth.vendor_default if birth else None,
        capabilities=list(map(str, birth.capabilities)) if birth else [],
        leases=gauges.leases if gauges else [],
        forecast_skill=gauges.forecast_skill if gauges else None,
        forecast_model=gauges.forecast_model if gauges else None,
        waiting=gauges.waiting if gauges else None,
        thinned=gauges.thinned if gauges else None,
        policy=msgspec.to_builtins(held),
        policy_reason=ack.reason if ack else None,
        policy_code=ack.code if ack else None,
    )
