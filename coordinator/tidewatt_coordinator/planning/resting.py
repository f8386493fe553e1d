"""A plan in which boards that aren't needed sleep: naps first, then points and shares for who is awake. Pure.

A board gets notice a minute ahead: the others are raised to carry everything while it still serves. Then it
has no share, so that what it has in hand is done before it goes.
Who wakes gets its share with the first plan that has heard it. What a board is hinted to is
`Plan.devices[name].point`; beside it, `naps` says by when each sleeper must serve again, for its SleepHint.
"""

from collections.abc import Sequence

import msgspec

from tidewatt_coordinator.planning.demand import Guarded
from tidewatt_coordinator.planning.envelopes import Envelope
from tidewatt_coordinator.planning.naps import (
    NapState,
    NapTerms,
    Watch,
    called,
    missing,
    nap,
    resting,
    watch,
)
from tidewatt_coordinator.planning.plan import Device, Hinted, Plan, PlanState, plan
from tidewatt_coordinator.planning.sleepers import Sleeper
from tidewatt_coordinator.planning.terms import Terms


class RestState(msgspec.Struct, frozen=True):
    """What the planner of a site with sleep remembers."""

    plan: PlanState = PlanState()
    naps: NapState = NapState()


class RestPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, and who sleeps under it."""

    plan: Plan
    """With a hint for everybody: the sleep point and no share for those that rest or are missing."""
    serve: dict[str, int]
    """By sleeper, the minute from whose start it must serve again."""
    calls: tuple[str, ...] = ()
    """Sleepers that a neighbour must wake now, before their alarm."""
    watch: tuple[Watch, ...] = ()
    """Who must be woken at once if more comes before the next plan than is planned for."""
    missing: tuple[str, ...]
    """Should serve and aren't heard of: their spare serves for them."""


def plan_rest(
    state: RestState,
    devices: Sequence[Device],
    up: frozenset[str],
    demand: Guarded | None,
    needs: Sequence[float],
    minute: int,
    terms: Terms,
    naps: NapTerms,
    *,
    likely: Sequence[float] | None = None,
    callable_: frozenset[str] = frozenset(),
) -> tuple[RestState, RestPlan]:
    """The plan for `minute`. `up`: who is known to be awake; `needs`: Outlook.ahead(minute).

    `likely`: the same by the quantile that is carried without the spare. `callable_`: whom a neighbour that
    is awake can wake.

    A device may sleep if one of its envelopes has a time to wake. Raises ValueError as `plan` does, and for
    a device that has nothing but sleep.
    """
    rooms = [_sleeper(one, up, callable_) for one in devices]
    known = demand is not None
    rested = nap(state.naps, rooms, needs if known else (), minute, naps, likely if known else None)
    serve = resting(rested, minute)
    serving = [
        _serving(device, room, leaves=room.name in rested.naps, needed=_early(state.naps, room, minute))
        for device, room in zip(devices, rooms, strict=True)
        if room.up and room.name not in serve
    ]
    # Who rests starts anew: what it was asked for before its nap tells nothing of how it obeys.
    names = {one.name for one in serving}
    asked = {name: one for name, one in state.plan.asked.items() if name in names}
    leaving = sum(one.envelopes[0].usable_rps for one in serving if one.name in rested.naps)
    before = msgspec.structs.replace(state.plan, asked=asked)
    after, made = plan(before, serving, _beside(demand, leaving), minute, terms)
    needs_alone = tuple((at, rps - leaving * (at == minute)) for at, rps in after.needs)
    after = msgspec.structs.replace(after, needs=needs_alone)
    gone = missing(rested, minute)
    watts = sum(room.asleep.idle_watts for room in rooms if room.name in serve and room.asleep)
    hints = {room.name: made.devices.get(room.name) or Hinted(_rests_at(room), 0.0, 0.0) for room in rooms}
    full = msgspec.structs.replace(
        made, devices=hints, watts=made.watts + watts, reason=made.reason + _words(serve, gone, minute)
    )
    calls, watched = called(state.naps, rested), watch(rested, rooms, minute, naps)
    return RestState(after, rested), RestPlan(
        plan=full, serve=serve, calls=calls, watch=watched, missing=gone
    )


def _sleeper(device: Device, up: frozenset[str], callable_: frozenset[str]) -> Sleeper:
    awake = tuple(one for one in device.envelopes if one.wake_s <= 0.0)
    if not awake:
        raise ValueError(f"device {device.name!r} has no envelope to serve at")
    asleep = next((one for one in device.envelopes if one.wake_s > 0.0), None)
    name = device.name
    return Sleeper(name, awake, asleep, name in callable_, name in up, device.at)


def _early(before: NapState, room: Sleeper, minute: int) -> bool:
    """Whether somebody woke it before its alarm: all there is was needed."""
    order = before.naps.get(room.name)
    return order is not None and room.up and order.since < minute < order.serve


def _serving(device: Device, room: Sleeper, *, leaves: bool, needed: bool) -> Device:
    """The device as the plan sees it; one that leaves next minute is asked for its least point only.

    One that was woken early can't tell by what it saw how much is needed: it is asked for its strongest.
    """
    # Where it was last seen awake; what was seen of it asleep says nothing.
    at = device.at if any(one.point == device.at for one in room.envelopes) else None
    least, most = min(room.envelopes, key=_least), max(room.envelopes, key=lambda one: one.usable_rps)
    asked = (least,) if leaves else (most,) if needed else room.envelopes
    return msgspec.structs.replace(device, envelopes=asked, at=at)


def _beside(demand: Guarded | None, leaving_rps: float) -> Guarded | None:
    """The demand, and what those carry who are about to leave: without them the rest must carry it all."""
    if demand is None:
        return None
    fresh = demand.fresh and demand.fresh.beside(leaving_rps)
    return msgspec.structs.replace(demand, rps=demand.rps + leaving_rps, fresh=fresh)


def _rests_at(room: Sleeper) -> str:
    return room.asleep.point if room.asleep else min(room.envelopes, key=_least).point


def _least(envelope: Envelope) -> float:
    return envelope.full_watts


def _words(serve: dict[str, int], gone: Sequence[str], minute: int) -> str:
    words = ""
    if serve:
        words += f"; {len(serve)} asleep, the first to serve again in {min(serve.values()) - minute} min"
    return words + (f"; not back from sleep: {', '.join(gone)}" if gone else "")
