"""A plan a minute: from what is known now to hints, and to what dispatch may count on. No broker here.

`make` works for as long as a large fleet takes: call it from a thread. What was made says who was seen where;
nothing that was only asked for is counted on.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.hinting import gathering
from tidewatt_coordinator.hinting.enough import told
from tidewatt_coordinator.hinting.gathering import Seen
from tidewatt_coordinator.hinting.metering import Meter
from tidewatt_coordinator.hinting.nodes import STEP_MIN, Beyond, needs, node_pools
from tidewatt_coordinator.hinting.outlook import Outlook, forecasters
from tidewatt_coordinator.hinting.saying import Hint
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.hinting.shown import (
    PlannedDevice,
    PlannedGroup,
    PlannedNodes,
    Shown,
    devices_of,
    group_of,
    nodes_of,
)
from tidewatt_coordinator.planning.demand import Guarded
from tidewatt_coordinator.planning.envelopes import Envelope
from tidewatt_coordinator.planning.nodes import UnsolvedNodes, commit
from tidewatt_coordinator.planning.plan import Device, Plan, PlanState, plan
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_coordinator.steering.demand import LEAST_EDGE_SHARE
from tidewatt_coordinator.steering.pools import Fetched
from tidewatt_coordinator.steering.readings import Reading
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.steering.vectors import number
from tidewatt_coordinator.steering.wheel import Power
from tidewatt_wire.messages import PolicySet
from tidewatt_wire.planned import EnoughAt, PlanHint
from tidewatt_wire.sleeping import SleepHint

MINUTE_MS = 60_000
#: A plan tells dispatch nothing any more after so many minutes.
STANDS_MIN = 3
#: By so much the plan's margin is above the boards' headroom.
HAIR = 0.005

#: How a device may sleep, if it may: envelopes that serve nothing and take time to wake.
Rests = Callable[[Seen], tuple[Envelope, ...]]
#: When each device that a plan sends to sleep must be serving, in Unix ms: the group, its plan, its devices.
#: One that isn't named is told nothing.
Naps = Callable[[str, Plan, Sequence[Device]], Mapping[str, int]]


class NoPlan(Exception):
    """There is no plan now; the sentence says why."""


class Round(msgspec.Struct, frozen=True):
    """A minute's plan, the hints that it wants, and all that it knows."""

    shown: Shown
    hints: Mapping[str, Hint]
    planned: frozenset[str]
    rates: Mapping[str, float] = {}
    """What each device was seen to serve, requests/s."""


class _Group(msgspec.Struct):
    outlook: Outlook
    terms: Terms
    state: PlanState = PlanState()


class Planner:
    """One fleet's. `make` may be called from any thread."""

    def __init__(
        self,
        settings: Planning,
        dispatch: Dispatch,
        fleet: Fleet,
        current: Callable[[], PolicySet],
        power: Power,
        readings: Mapping[str, Reading],
        edge_share: Callable[[], float | None],
        sees: Callable[[], bool] = lambda: True,
        rests: Rests = gathering.awake_only,
        naps: Naps = lambda _group, _plan, _devices: {},
    ) -> None:
        """`edge_share`: of all requests, by the table in force; `sees`: whether `fleet` shows all."""
        self.settings, self._dispatch, self._fleet, self._current = settings, dispatch, fleet, current
        self._power, self._readings, self._edge_share, self._sees = power, readings, edge_share, sees
        self._rests, self._naps, self._terms, self._lock = rests, naps, Terms(), threading.Lock()
        self._meter, self._groups = Meter(), dict[str, _Group]()
        self._forecaster = forecasters(settings.forecast if settings.mode != "off" else "")
        self._capacities: tuple[int, Mapping[str, float]] = (0, {})
        self.last: Round | None = None
        self.made = 0
        self.obstacle = ""
        """Why there is no newer plan; empty while there is."""

    def make(self, now_ms: int) -> Round:
        """The plan for this minute, once; NoPlan says why there is none."""
        with self._lock:
            minute = now_ms // MINUTE_MS
            if self.last and self.last.shown.minute == minute:
                return self.last
            if not self._sees():
                raise NoPlan("who is there isn't known yet")
            groups = gathering.grouped(self._seen(now_ms), by_site=self._dispatch.backends == "sites")
            if not groups:
                raise NoPlan("no device is there to be planned with")
            self.last = self._round(groups, now_ms)
            self.made, self.obstacle = self.made + 1, ""
            return self.last

    def capacities(self, now_ms: int) -> Mapping[str, float]:
        """By device what it serves where it is planned and was seen: nothing where boards aren't hinted,
        or routers choose sites: within one its own proxy gathers the traffic.
        """
        minute, found = self._capacities
        return found if now_ms // MINUTE_MS - minute < STANDS_MIN else {}

    def _seen(self, now_ms: int) -> list[Seen]:
        found = []
        for known in self._fleet.able(self._current(), now_ms):
            report = self._fleet.devices[known.name].report
            point, rps = (report.gauges.point, self._meter.rps(report)) if report else (None, None)
            found.append(Seen(known, point, rps))
        return found

    def _round(self, groups: Mapping[str, list[Seen]], now_ms: int) -> Round:
        minute = now_ms // MINUTE_MS
        shown: list[PlannedGroup] = []
        rows: list[PlannedDevice] = []
        hints: dict[str, Hint] = {}
        beyond: list[Beyond] = []
        counted: dict[str, float] = {}
        for name, members in groups.items():
            group = self._groups.get(name)
            terms = self._terms_of(members)
            if group is None or group.terms != terms:
                outlook = Outlook(terms, gathering.floor_rps(members), self._forecaster(), self.settings.zone)
                group = self._groups[name] = _Group(outlook, terms)
            demand_rps = gathering.demand_of(members, self._share())
            group.outlook.came(minute - 1, demand_rps)
            guarded = self._foretold(group.outlook.ready(minute), len(groups))
            devices = gathering.devices(members, self._rests)
            before = group.state.shares
            group.state, made = plan(group.state, devices, guarded, minute, terms)
            shown.append(group_of(name, made, demand_rps))
            follows = {one.known.name: one.obeys for one in members}
            rows += devices_of(name, made, {one.name: one.at for one in devices}, follows)
            if guarded:
                edge_rps = self._dispatch.fill * gathering.most_rps(members)
                beyond.append(Beyond(guarded.rps, group.outlook.forecast, edge_rps))
                shares = {
                    one.known.name: one.rps / demand_rps
                    for one in members
                    if demand_rps and one.rps is not None
                }
                enough = partial(_enough, made, before, shares)
                hints |= self._hints(name, made, devices, follows, now_ms, enough)
                counted |= _seen_capacities(made, devices)
        self._groups = {name: self._groups[name] for name in groups}
        hinted = self.settings.mode == "hint" and self._dispatch.backends == "devices"
        self._capacities = (minute, counted if hinted else {})
        nodes, why = self._nodes(beyond, minute)
        shown_now = Shown(
            fleet=self._current().fleet, minute=minute, at_ms=now_ms, mode=self.settings.mode, groups=shown,
            devices=rows, nodes=nodes, nodes_reason=why, currency=self._power.currency,
        )  # fmt: skip
        rates = {one.known.name: one.rps for group in groups.values() for one in group if one.rps is not None}
        return Round(shown_now, hints, frozenset(one.device for one in rows), rates)

    def _terms_of(self, members: Sequence[Seen]) -> Terms:
        """The margin is never below the boards' own headroom: with less they would raise themselves."""
        headroom = max((one.known.policy.headroom for one in members if one.obeys), default=0.0)
        least = max(self._terms.least_margin, headroom + HAIR)
        return msgspec.structs.replace(self._terms, least_margin=least)

    def _share(self) -> float:
        """Of the demand what the edge is given; where that is too little to tell, all that is seen."""
        share = self._edge_share()
        return share if share is not None and share >= LEAST_EDGE_SHARE else 1.0

    def _foretold(self, guarded: Guarded | None, groups: int) -> Guarded | None:
        """What the operator's own forecasts raise the need to, where there is one demand."""
        asked = [number_of(self._readings, one.forecast_query) for one in self._dispatch.asked]
        told = sum(one[0] for one in asked if one)
        if guarded is None or groups > 1 or told <= guarded.rps:
            return guarded
        words = f"{told:.0f} rps by the classes' own forecasts, above {guarded.words}"
        return msgspec.structs.replace(guarded, rps=told, words=words)

    def _hints(
        self,
        group: str,
        made: Plan,
        devices: Sequence[Device],
        follows: Mapping[str, bool],
        now_ms: int,
        enough: Callable[[str], list[EnoughAt] | msgspec.UnsetType],
    ) -> dict[str, Hint]:
        """What to say to each device that may follow; the expiry is that of a hint said now."""
        fleet, naps = self._current().fleet, self._naps(group, made, devices)
        until_ms = now_ms + round(self.settings.hint_s * 1000)
        found: dict[str, Hint] = {}
        for device in devices:
            if not follows[device.name]:
                continue
            there = _envelope(device, made.devices[device.name].point)
            if there.wake_s <= 0.0:
                found[device.name] = PlanHint(
                    fleet=fleet, device=device.name, plan=made.minute, issued_at_ms=now_ms,
                    expires_at_ms=until_ms, point=there.point, guarded=True, reason=made.reason,
                    enough=enough(device.name),
                )  # fmt: skip
            elif device.name in naps:
                found[device.name] = SleepHint(
                    fleet=fleet, device=device.name, issued_at_ms=now_ms, expires_at_ms=until_ms,
                    serve_at_ms=naps[device.name], reason=made.reason,
                )  # fmt: skip
        return found

    def _nodes(self, beyond: Sequence[Beyond], minute: int) -> tuple[list[PlannedNodes], str]:
        pools = node_pools(
            self._dispatch.pools,
            self._power.pools.get,
            lambda query: number_of(self._readings, query),
            self.settings,
            self._dispatch.fill,
        )
        if not pools or not beyond:
            return [], ""
        try:
            held = commit(pools, needs(beyond, minute), STEP_MIN)
        except UnsolvedNodes as error:
            return [], str(error)
        now = {one.name: one.held for one in pools}
        return nodes_of(held, now, {one.name: one.per_hour for one in pools}), held.reason


def _enough(
    made: Plan, before: Mapping[str, float], seen: Mapping[str, float], device: str
) -> list[EnoughAt] | msgspec.UnsetType:
    return told(made.devices[device].enough, before.get(device, 0.0), seen.get(device))


def number_of(readings: Mapping[str, Reading], query: str) -> Fetched:
    """The last answer to a query as a number; None without one."""
    reading = readings.get(query)
    value = number(reading.vector) if reading else None
    return None if value is None else (value, 0.0)


def _envelope(device: Device, point: str) -> Envelope:
    return next(one for one in device.envelopes if one.point == point)


def _seen_capacities(made: Plan, devices: Sequence[Device]) -> dict[str, float]:
    """What each serves at the weaker of where it is planned and where it was seen."""
    found = {}
    for device in devices:
        planned = _envelope(device, made.devices[device.name].point).usable_rps
        seen = next((one.usable_rps for one in device.envelopes if one.point == device.at), planned)
        found[device.name] = min(planned, seen)
    return found
