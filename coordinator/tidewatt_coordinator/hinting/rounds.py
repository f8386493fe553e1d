"""A plan a minute: from what is known now to hints, and to what dispatch may count on. No broker here.

`make` works for as long as a large fleet takes: call it from a thread. What was made says who was seen where;
nothing that was only asked for is counted on.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from tidewatt_coordinator.fleet import Device as Known
from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.hinting import gathering
from tidewatt_coordinator.hinting.asking import Told, enough_for, hints_of, seen_capacities
from tidewatt_coordinator.hinting.calling import Watched
from tidewatt_coordinator.hinting.gathering import Seen
from tidewatt_coordinator.hinting.group import Group, planned, room_of, terms_of
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
from tidewatt_coordinator.planning.resting import RestState
from tidewatt_coordinator.steering.demand import LEAST_EDGE_SHARE
from tidewatt_coordinator.steering.pools import Fetched
from tidewatt_coordinator.steering.readings import Reading
from tidewatt_coordinator.steering.settings import Dispatch
from tidewatt_coordinator.steering.vectors import number
from tidewatt_coordinator.steering.wheel import Power
from tidewatt_governor.forecast.value import Forecast
from tidewatt_wire.messages import PolicySet

MINUTE_MS = 60_000
#: A plan tells dispatch nothing any more after so many minutes.
STANDS_MIN = 3


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
    watched: Mapping[str, Watched] = {}
    """By group whom to wake at once when more comes in this minute than is planned for."""

    def with_calls(self, new: frozenset[str]) -> "Round":
        """The same when these are called, too: they are told nothing of sleep any more."""
        hints = {name: hint for name, hint in self.hints.items() if name not in new}
        groups = [
            replace(group, called=sorted({*group.called, *new & set(self.watched[group.name].members)}))
            if group.name in self.watched
            else group
            for group in self.shown.groups
        ]
        shown = replace(self.shown, groups=groups)
        return replace(self, shown=shown, hints=hints, calls=self.calls | new)


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
        self._lock = threading.Lock()
        self._meter, self._groups = Meter(), dict[str, Group]()
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

    def rises(self, now_ms: int) -> frozenset[str]:
        """Who must be woken at once, as more comes in this minute than its plan is for: none is named twice.

        The round that stands then says so, too. Cheap where nobody sleeps who could be called.
        """
        with self._lock:
            last, new = self.last, frozenset[str]()
            if last is None or last.shown.minute != now_ms // MINUTE_MS:
                return new
            for name, watched in last.watched.items():
                devices = [self._fleet.devices.get(member) for member in watched.members]
                reports = [one.report for one in devices if one and one.report and self._is_up(one, now_ms)]
                new |= self._groups[name].rises(watched, reports, self._share(), now_ms)
            if new:
                self.last = last.with_calls(new)
                counted = self._capacities[1]
                self._capacities = (last.shown.minute, {name: counted[name] for name in counted.keys() - new})
            return new

    def _is_up(self, device: Known, now_ms: int) -> bool:
        return device.status(now_ms, self._fleet.stale_after_ms) == "online"

    def foreseen(self, group: str) -> Forecast | None:
        """The last forecast of a group's demand; None where there is none."""
        found = self._groups.get(group)
        return found.outlook.forecast if found else None

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
            # Whose next word would not be believed either is not let sleep: it would look dead.
            word = None if device.unproven else device.sleep
            found.append(Seen(known, point, rps, sleep=word, held=held))
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
        watched: dict[str, Watched] = {}
        for name, members in groups.items():
            group = self._group(name, members)
            demand_rps = gathering.demand_of(members, self._share())
            group.outlook.came(minute - 1, demand_rps)
            guarded = self._foretold(group.outlook.ready(minute), len(groups))
            shares = group.state.plan.shares
            made = planned(group, members, guarded, minute, self.settings.spare)
            shown.append(
                group_of(name, made.plan, demand_rps, made.serve_ms, made.missing, made.called, made.assumed)
            )
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
                watched |= {name: made.watched} if made.watched else {}
        self._groups = {name: self._groups[name] for name in groups}
        hinted = self.settings.mode == "hint" and self._dispatch.backends == "devices"
        self._capacities = (minute, counted if hinted else {})
        nodes, why = self._nodes(beyond, minute)
        told_of = Shown(
            fleet=told.fleet, minute=minute, at_ms=now_ms, mode=self.settings.mode, groups=shown,
            devices=rows, nodes=nodes, nodes_reason=why, currency=self._power.currency,
        )  # fmt: skip
        rates = {one.known.name: one.rps for group in groups.values() for one in group if one.rps is not None}
        return Round(told_of, hints, frozenset(one.device for one in rows), rates, calls, watched)

    def _group(self, name: str, members: Sequence[Seen]) -> Group:
        group = self._groups.get(name)
        room_rps = room_of(members, group.room_rps if group else 0.0)
        terms = terms_of(members, room_rps)
        if group is None or group.terms != terms:
            floor_rps = gathering.floor_rps(members)
            outlook = Outlook(terms, floor_rps, self._forecaster(), self.settings.zone, room_rps)
            # Who sleeps goes on sleeping, whatever the terms.
            naps = RestState(naps=group.state.naps) if group else RestState()
            bed = group.bed if group else Bed()
            group = self._groups[name] = Group(outlook, terms, room_rps, naps, bed)
        return group

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
        return replace(guarded, rps=told, words=words)

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
