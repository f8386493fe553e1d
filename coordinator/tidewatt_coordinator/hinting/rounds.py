"""A plan a minute: from what is known now to hints, and to what dispatch may count on. No broker here.

`make` works for as long as a large fleet takes: call it from a thread. What was made says who was seen where;
nothing that was only asked for is counted on.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.hinting import gathering, napping
from tidewatt_coordinator.hinting.asking import Told, enough_for, hints_of, seen_capacities
from tidewatt_coordinator.hinting.gathering import Seen
from tidewatt_coordinator.hinting.metering import Meter
from tidewatt_coordinator.hinting.napping import Bed
from tidewatt_coordinator.hinting.nodes import STEP_MIN, Beyond, needs, node_pools
from tidewatt_coordinator.hinting.outlook import Foreseer, Outlook, forecasters
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
from tidewatt_coordinator.planning.nodes import UnsolvedNodes, commit
from tidewatt_coordinator.planning.plan import Device, Plan, plan
from tidewatt_coordinator.planning.resting import RestState, plan_rest
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_coordinator.steering.demand import LEAST_EDGE_SHARE
from tidewatt_coordinator.steering.pools import Fetched
from tidewatt_coordinator.steering.readings import Reading
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.steering.vectors import number
from tidewatt_coordinator.steering.wheel import Power
from tidewatt_wire.messages import PolicySet

MINUTE_MS = 60_000
#: A plan tells dispatch nothing any more after so many minutes.
STANDS_MIN = 3
#: By so much the plan's margin is above the boards' headroom.
HAIR = 0.005


class NoPlan(Exception):
    """There is no plan now; the sentence says why."""


class Round(msgspec.Struct, frozen=True):
    """A minute's plan, the hints that it wants, and all that it knows."""

    shown: Shown
    hints: Mapping[str, Hint]
    planned: frozenset[str]
    rates: Mapping[str, float] = {}
    """What each device was seen to serve, requests/s."""
    calls: frozenset[str] = frozenset()
    """Who must be woken now, before its alarm."""


class _Group(msgspec.Struct):
    outlook: Outlook
    terms: Terms
    state: RestState = RestState()
    bed: Bed = Bed()


class _Planned(msgspec.Struct, frozen=True):
    """A group's plan, and who sleeps under it."""

    plan: Plan
    devices: list[Device]
    serve_ms: Mapping[str, int] = {}
    missing: tuple[str, ...] = ()
    called: frozenset[str] = frozenset()


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
        foreseers: Callable[[], Foreseer | None] | None = None,
    ) -> None:
        """`edge_share`: of all requests, by the table in force; `sees`: whether `fleet` shows all.

        `foreseers`: makes who foresees a group's demand; None: as the settings say.
        """
        self.settings, self._dispatch, self._fleet, self._current = settings, dispatch, fleet, current
        self._power, self._readings, self._edge_share, self._sees = power, readings, edge_share, sees
        self._terms, self._lock = Terms(), threading.Lock()
        self._meter, self._groups = Meter(), dict[str, _Group]()
        self._forecaster = foreseers or forecasters(settings.forecast if settings.mode != "off" else "")
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
        policies, found = self._current(), []
        for known in self._fleet.able(policies, now_ms):
            device = self._fleet.devices[known.name]
            report = device.report
            point, rps = (report.gauges.point, self._meter.rps(report)) if report else (None, None)
            held = bool(report and report.gauges.leases)
            found.append(Seen(known, point, rps, sleep=device.sleep, held=held))
        for known in self._fleet.resting(policies, now_ms):
            device, late = self._fleet.devices[known.name], self._fleet.status(known.name, now_ms)
            point = device.report.gauges.point if device.report else None
            status: Literal["asleep", "overdue"] = "overdue" if late == "overdue" else "asleep"
            found.append(Seen(known, point, None, status, device.sleep))
        return sorted(found, key=lambda one: one.known.name)

    def _round(self, groups: Mapping[str, list[Seen]], now_ms: int) -> Round:
        minute = now_ms // MINUTE_MS
        told = Told(self._current().fleet, now_ms, now_ms + round(self.settings.hint_s * 1000))
        shown: list[PlannedGroup] = []
        rows: list[PlannedDevice] = []
        hints: dict[str, Hint] = {}
        beyond: list[Beyond] = []
        counted: dict[str, float] = {}
        calls: frozenset[str] = frozenset()
        for name, members in groups.items():
            group = self._group(name, members)
            demand_rps = gathering.demand_of(members, self._share())
            group.outlook.came(minute - 1, demand_rps)
            guarded = self._foretold(group.outlook.ready(minute), len(groups))
            shares = group.state.plan.shares
            made = self._planned(group, members, guarded, minute)
            shown.append(group_of(name, made.plan, demand_rps, made.serve_ms, made.missing, made.called))
            follows = {one.known.name: one.obeys for one in members}
            at = {one.name: one.at for one in made.devices}
            rows += devices_of(name, made.plan, at, follows, made.serve_ms)
            if guarded:
                edge_rps = self._dispatch.fill * gathering.most_rps(members)
                beyond.append(Beyond(guarded.rps, group.outlook.forecast, edge_rps))
                enough = enough_for(made.plan, shares, members, demand_rps)
                may = frozenset(one for one, obeys in follows.items() if obeys)
                sleep = {one: at_ms for one, at_ms in made.serve_ms.items() if one not in made.called}
                hints |= hints_of(made.plan, made.devices, may, sleep, enough, told)
                capacities = seen_capacities(made.plan, made.devices)
                # Who is called may be back in the middle of the minute, and is needed then.
                counted |= {one: rps for one, rps in capacities.items() if one not in made.called}
                calls |= made.called
        self._groups = {name: self._groups[name] for name in groups}
        hinted = self.settings.mode == "hint" and self._dispatch.backends == "devices"
        self._capacities = (minute, counted if hinted else {})
        nodes, why = self._nodes(beyond, minute)
        told_of = Shown(
            fleet=told.fleet, minute=minute, at_ms=now_ms, mode=self.settings.mode, groups=shown,
            devices=rows, nodes=nodes, nodes_reason=why, currency=self._power.currency,
        )  # fmt: skip
        rates = {one.known.name: one.rps for group in groups.values() for one in group if one.rps is not None}
        return Round(told_of, hints, frozenset(one.device for one in rows), rates, calls)

    def _group(self, name: str, members: Sequence[Seen]) -> _Group:
        group, terms = self._groups.get(name), self._terms_of(members)
        if group is None or group.terms != terms:
            outlook = Outlook(terms, gathering.floor_rps(members), self._forecaster(), self.settings.zone)
            # Who sleeps goes on sleeping, whatever the terms.
            naps = RestState(naps=group.state.naps) if group else RestState()
            group = self._groups[name] = _Group(outlook, terms, naps, group.bed if group else Bed())
        return group

    def _planned(
        self, group: _Group, members: Sequence[Seen], guarded: Guarded | None, minute: int
    ) -> _Planned:
        """The plan of a group; with sleep where its policy allows that, or somebody sleeps already."""
        rests = {one.known.name: how for one in members if (how := gathering.rest_of(one))}
        if not rests and all(one.status == "online" for one in members):
            devices = gathering.devices(members, {})
            after, alone = plan(group.state.plan, devices, guarded, minute, group.terms)
            group.state = msgspec.structs.replace(group.state, plan=after)
            return _Planned(alone, devices)
        terms = napping.terms_of(members, self.settings.spare)
        before = napping.noted(group.state.naps, members, minute)
        kept = napping.kept_awake(before, members, rests, self.settings.spare)
        may = napping.considered(before, rests, kept, minute, len(members))
        devices = gathering.devices(members, may)
        up = napping.awake(before, group.bed, members, rests, minute)
        needs = group.outlook.ahead(minute) if guarded else ()
        if guarded and needs:
            needs = (max(guarded.rps, needs[0]), *needs[1:])
        new = napping.calls(before, members, up, needs, minute, terms)
        called = (group.bed.called & frozenset(before.naps)) | new
        state = msgspec.structs.replace(group.state, naps=napping.with_calls(before, new, members, minute))
        group.state, made = plan_rest(state, devices, up, guarded, needs, minute, group.terms, terms)
        bed = msgspec.structs.replace(group.bed, called=called)
        group.bed = napping.remembered(bed, before, group.state.naps, members, minute)
        serve_ms = {name: at * MINUTE_MS for name, at in made.serve.items()}
        return _Planned(made.plan, devices, serve_ms, made.missing, group.bed.called)

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


def number_of(readings: Mapping[str, Reading], query: str) -> Fetched:
    """The last answer to a query as a number; None without one."""
    reading = readings.get(query)
    value = number(reading.vector) if reading else None
    return None if value is None else (value, 0.0)
