"""The plan over REST."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from tidewatt_coordinator.access.least import VIEWER
from tidewatt_coordinator.hinting.explaining import explain
from tidewatt_coordinator.hinting.foreseen import Foreseen, foreseen
from tidewatt_coordinator.hinting.rounds import Planner
from tidewatt_coordinator.hinting.shown import Shown


class PlannedDevice(BaseModel):
    """What is planned of a device: the point asked for, where it was seen, its share of its group."""

    device: str
    group: str
    point: str
    at: str | None
    share: float
    counted_rps: float
    follows: bool
    serve_ms: int | None
    """Of one that is to sleep, or sleeps: by when it must serve again."""


class PlannedGroup(BaseModel):
    """The plan of the devices among which traffic can be moved; null: not known.

    `asleep`: how many sleep, or are to; `called`: to be woken before their alarm; `missing`: not back.
    """

    name: str
    demand_rps: float | None
    need_rps: float | None
    capacity_rps: float
    watts: float
    moves: int
    reason: str
    asleep: int
    assumed_watts: float
    """The part of `watts` that is assumed, 0.5 W for each sleeper that nobody has measured asleep."""
    called: list[str]
    missing: list[str]


class PlannedNodes(BaseModel):
    """Nodes of a cloud pool by steps of five minutes: a proposal."""

    pool: str
    now: int
    hold: int
    nodes: list[int]
    per_hour: float


class PlanNow(BaseModel):
    """The fleet's plan of a minute."""

    minute: int
    at_ms: int
    mode: str
    groups: list[PlannedGroup]
    devices: list[PlannedDevice]
    nodes: list[PlannedNodes]
    nodes_reason: str
    currency: str
    obstacle: str | None


class PlanExplained(BaseModel):
    """Why the plan is as it is."""

    minute: int
    sentences: list[str]


def router(planner: Planner) -> APIRouter:
    """The routes under /v1/plan."""
    routes = APIRouter(dependencies=[VIEWER])

    def last() -> Shown:
        if planner.last is None:
            off = planner.settings.mode == "off"
            why = 'planning.mode is "off"' if off else planner.obstacle or "none has been made yet"
            raise HTTPException(404, f"there is no plan: {why}")
        return planner.last.shown

    @routes.get("/v1/plan")
    def plan(limit: Annotated[int | None, Query(ge=0)] = None, after: str = "") -> PlanNow:
        """The last plan; of its devices all, or `limit` of those that come `after` a name."""
        shown = last()
        rows = sorted(shown.devices, key=lambda one: one.device)
        some = [one for one in rows if one.device > after][:limit]
        return PlanNow(
            minute=shown.minute,
            at_ms=shown.at_ms,
            mode=shown.mode,
            groups=[PlannedGroup.model_validate(one, from_attributes=True) for one in shown.groups],
            devices=[PlannedDevice.model_validate(one, from_attributes=True) for one in some],
            nodes=[PlannedNodes.model_validate(one, from_attributes=True) for one in shown.nodes],
            nodes_reason=shown.nodes_reason,
            currency=shown.currency,
            obstacle=planner.obstacle or None,
        )

    @routes.get("/v1/plan/explain")
    def explained(device: str = "") -> PlanExplained:
        """Why the plan is as it is, in sentences: all of it, or what concerns a device."""
        shown = last()
        if device and device not in {one.device for one in shown.devices}:
            raise HTTPException(404, f"device {device!r} is not in the plan")
        return PlanExplained(minute=shown.minute, sentences=list(explain(shown, device)))

    @routes.get("/v1/plan/forecast")
    def forecast(device: str) -> Foreseen:
        """What is planned of a device, and how its group's requests are foreseen; `why` if nothing is."""
        return foreseen(planner, device)

    return routes
