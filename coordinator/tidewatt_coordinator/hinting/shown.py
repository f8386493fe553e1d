"""The plan as it is kept and shown: every figure finite, what isn't known null."""

import math
from collections.abc import Iterable, Mapping

import msgspec

from tidewatt_coordinator.ledger.baselines import ASSUMED_WATTS
from tidewatt_coordinator.planning.nodes import Commitment
from tidewatt_coordinator.planning.plan import Plan


class PlannedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """What is planned of one device."""

    device: str
    group: str
    point: str
    """Asked for,"""
    at: str | None
    """and where it was seen."""
    share: float
    counted_rps: float
    follows: bool
    """Whether it may follow a hint."""
    serve_ms: int | None = None
    """Of one that is to sleep, or sleeps: by when it must serve again."""


class PlannedGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of the devices among which traffic can be moved."""

    name: str
    demand_rps: float | None
    """Known of the minute before;"""
    need_rps: float | None
    """to be ready for."""
    capacity_rps: float
    watts: float
    moves: int
    reason: str
    asleep: int = 0
    """Devices that sleep, or are to."""
    assumed_watts: float = 0.0
    """The part of `watts` that is assumed: of sleepers that nobody has measured asleep."""
    called: list[str] = []
    """Those who are to be woken before their alarm,"""
    missing: list[str] = []
    """and those who should be back from their sleep and aren't."""


class PlannedNodes(msgspec.Struct, frozen=True, kw_only=True):
    """A pool's nodes by steps of `STEP_MIN` minutes."""

    pool: str
    now: int
    hold: int
    """The most in the coming hour."""
    nodes: list[int]
    per_hour: float


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A minute's plan of the whole fleet."""

    fleet: str
    minute: int
    at_ms: int
    mode: str
    groups: list[PlannedGroup]
    devices: list[PlannedDevice]
    nodes: list[PlannedNodes] = []
    nodes_reason: str = ""
    currency: str = ""


def group_of(
    name: str,
    made: Plan,
    demand_rps: float | None,
    serve_ms: Mapping[str, int],
    missing: Iterable[str],
    called: Iterable[str],
    assumed: int = 0,
) -> PlannedGroup:
    """One group's plan. `assumed`: of how many sleepers the watts are."""
    return PlannedGroup(
        name=name,
        demand_rps=demand_rps,
        need_rps=made.need_rps if math.isfinite(made.need_rps) else None,
        capacity_rps=made.capacity_rps,
        watts=made.watts,
        moves=made.moves,
        reason=made.reason,
        asleep=len(serve_ms),
        assumed_watts=assumed * ASSUMED_WATTS,
        called=sorted(called),
        missing=sorted(missing),
    )


def devices_of(
    name: str,
    made: Plan,
    at: Mapping[str, str | None],
    follows: Mapping[str, bool],
    serve_ms: Mapping[str, int],
) -> list[PlannedDevice]:
    """Its devices."""
    return [
        PlannedDevice(
            device=device,
            group=name,
            point=one.point,
            at=at[device],
            share=one.share,
            counted_rps=one.counted_rps,
            follows=follows[device],
            serve_ms=serve_ms.get(device),
        )
        for device, one in sorted(made.devices.items())
    ]


def nodes_of(held: Commitment, now: Mapping[str, int], per_hour: Mapping[str, float]) -> list[PlannedNodes]:
    """The pools' nodes."""
    return [
        PlannedNodes(
            pool=one.name,
            now=now[one.name],
            hold=max(one.nodes, default=0),
            nodes=list(one.nodes),
            per_hour=per_hour[one.name],
        )
        for one in held.pools
    ]
