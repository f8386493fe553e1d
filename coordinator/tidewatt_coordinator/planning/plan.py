"""The plan: who stands at which point and serves which share, for the coming minute. Pure.

Invariants (each is a property test):
- what the plan counts on is at least the demand to be ready for, or all that there is;
- more demand, all else the same, never gives less capacity;
- renaming devices renames the plan, and nothing else;
- shares sum to 1, and nobody is given more of that demand than it can serve while all can serve it;
- under demand that only wavers about one level nobody moves after the first `hold_min` minutes;
- what was asked and wasn't done is not counted on.
"""

import math
from collections.abc import Sequence

import msgspec

from tidewatt_coordinator.planning.demand import Guarded
from tidewatt_coordinator.planning.envelopes import Choices, Choosing, Envelope, Option
from tidewatt_coordinator.planning.fresh import Fresh
from tidewatt_coordinator.planning.rungs import Rung, enough_of, rungs_of
from tidewatt_coordinator.planning.shares import Server, split
from tidewatt_coordinator.planning.terms import Terms
from tidewatt_governor.hints import Enough

MINUTE_S = 60.0
#: A device that was never asked has held where it is for this long.
LONG_MIN = 1_000_000


class Device(msgspec.Struct, frozen=True):
    """A device that serves: what it may be asked for, and where it was last seen."""

    name: str
    envelopes: tuple[Envelope, ...]
    """At least one."""
    at: str | None = None
    """The point it reported; None: it didn't."""
    age_min: float = 0.0
    """Minutes since it stood there."""


class Asked(msgspec.Struct, frozen=True):
    """What a device was last asked for: the point, since which minute, and until when it isn't believed."""

    point: str
    since: int
    ready: int
    """The minute from which it is counted on: later than `since` for one that was asleep."""
    stuck_until: int | None = None
    least: str = ""
    """The lowest point that the device may have stood at by what it saw itself; empty: `point`."""
    least_since: int | None = None
    """The minute from which nothing lower was enough; None: `since`."""
    sinking: bool = False
    """Whether it stands, or may stand, above what was asked: its own rule decides when it goes down."""


class PlanState(msgspec.Struct, frozen=True):
    """What the planner remembers: what it asked of each device, and the needs of the last minutes."""

    asked: dict[str, Asked] = {}
    needs: tuple[tuple[int, float], ...] = ()
    lately: tuple[tuple[int, float], ...] = ()
    """What the last minutes would have needed by what devices knew then."""
    shares: dict[str, float] = {}
    """Of the plan before."""


class Hinted(msgspec.Struct, frozen=True):
    """One device's part of a plan."""

    point: str
    share: float
    """Of the fleet's requests, 0 to 1."""
    counted_rps: float
    """What it is counted on for in this minute: less while it switches, nothing while it wakes."""
    enough: tuple[Enough, ...] = ()
    """What is asked of it by its own rate in the minute before instead, up to the last (`Hint.enough`)."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Hints and shares by device for `minute` and until the next plan, and why, in one sentence."""

    minute: int
    devices: dict[str, Hinted]
    need_rps: float
    """What is to be ready for; infinite where that isn't known."""
    capacity_rps: float
    """What the plan counts on."""
    watts: float
    """By the envelopes' own figures, at the expected demand."""
    moves: int
    reason: str


class _Meeting:
    """The cheapest envelopes that carry a need in this minute, whichever it is.

    Who must be woken is known by what will be; until they serve the others carry what they can.
    """

    def __init__(self, devices: Sequence[Device], asked: Sequence[Asked], terms: Terms, minute: int) -> None:
        able = [_able(device, was) for device, was in zip(devices, asked, strict=True)]
        self._now = [
            tuple(_option(device, was, one, terms, minute) for one in there)
            for device, was, there in zip(devices, asked, able, strict=True)
        ]
        self._asked, self._minute = asked, minute
        self._later: Choices | None = None
        if any(one.wake_s > 0.0 for there in able for one in there):
            later = [tuple(Option(one, one.usable_rps) for one in there) for there in able]
            self._later = Choices(_choosing(asked, later, minute))
        self._choices = Choices(_choosing(asked, self._now, minute))

    def __call__(self, need_rps: float) -> list[Option]:
        if self._later is None:
            return self._choices.meet(need_rps)
        awake = self._later.meet(need_rps)
        now = [
            tuple(one for one in there if one.envelope.wake_s <= 0.0) if up.envelope.wake_s <= 0.0 else there
            for there, up in zip(self._now, awake, strict=True)
        ]
        return Choices(_choosing(self._asked, now, self._minute)).meet(need_rps)


def plan(
    state: PlanState, devices: Sequence[Device], demand: Guarded | None, minute: int, terms: Terms
) -> tuple[PlanState, Plan]:
    """The plan for `minute`. `demand`: None where it isn't known, then everybody stands at its strongest.

    Raises ValueError for a device without envelopes, or two of one name.
    """
    _check(devices)
    asked = [_asked(state, one, minute, terms) for one in devices]
    need = demand.rps if demand and math.isfinite(demand.rps) else math.inf
    needs = (*((at, rps) for at, rps in state.needs if minute - terms.hold_min < at < minute), (minute, need))
    held = need if demand and demand.sure else max(rps for _, rps in needs)
    meet = _Meeting(devices, asked, terms, minute)
    options, rungs, lately = meet(held), list[Rung](), state.lately
    if demand and demand.fresh and held < math.inf:
        lately, floor = _floor(lately, demand.fresh, minute, terms)
        rungs = rungs_of(meet, demand.fresh, floor)
    middle, split_rps = _middle(rungs, demand, options, need)
    expected = demand.expected_rps if demand else 0.0
    servers = [Server(one.rps, one.envelope.joules_per_request, one.envelope.idle_watts) for one in middle]
    shares = split(servers, expected, split_rps, terms.dearer)
    hinted = {
        one.name: Hinted(
            to.envelope.point, share, to.rps, enough_of(rungs, index, state.shares.get(one.name, 0.0))
        )
        for index, (one, to, share) in enumerate(zip(devices, options, shares, strict=True))
    }
    new = {
        one.name: _moved(one, was, to.envelope, minute, hinted[one.name])
        for one, was, to in zip(devices, asked, middle, strict=True)
    }
    made = Plan(
        minute=minute,
        devices=hinted,
        need_rps=need,
        capacity_rps=sum(one.rps for one in options),
        watts=sum(_watts(to.envelope, share * expected) for to, share in zip(options, shares, strict=True)),
        moves=sum(was.point != new[one.name].point for one, was in zip(devices, asked, strict=True)),
        reason=_words(options, demand, held),
    )
    return PlanState(new, needs, lately, {name: one.share for name, one in hinted.items()}), made


def _floor(
    lately: tuple[tuple[int, float], ...], fresh: Fresh, minute: int, terms: Terms
) -> tuple[tuple[tuple[int, float], ...], float]:
    """What the last minutes turned out to need, which is kept, and the most of it."""
    oldest = minute - terms.hold_min
    kept = (*((at, rps) for at, rps in lately if oldest < at < minute - 1), (minute - 1, fresh.lately))
    return kept, 0.0 if fresh.sure else max((rps for at, rps in kept if at > oldest), default=0.0)


def _middle(
    rungs: Sequence[Rung], demand: Guarded | None, options: list[Option], need: float
) -> tuple[list[Option], float]:
    """The choice that most likely stands, by which traffic is split, and the demand that it is split for."""
    if demand is None or demand.fresh is None:
        return options, need
    likely = demand.fresh.rps
    there = next((one.options for one in rungs if one.most_rps >= likely), options)
    return there, demand.fresh.need(likely)


def _check(devices: Sequence[Device]) -> None:
    if len({one.name for one in devices}) != len(devices):
        raise ValueError("two devices have the same name")
    if idle := [one.name for one in devices if not one.envelopes]:
        raise ValueError(f"device {idle[0]!r} has no envelope to stand at")


def _watts(envelope: Envelope, rps: float) -> float:
    return envelope.idle_watts + envelope.joules_per_request * min(rps, envelope.usable_rps)


def _asked(state: PlanState, device: Device, minute: int, terms: Terms) -> Asked:
    """What the device was asked for, with what is known of how it followed."""
    was = state.asked.get(device.name)
    if was is None:
        # Nobody asked yet: where it is seen, else unknown and so anywhere.
        at = device.at or device.envelopes[0].point
        return Asked(at, minute - LONG_MIN, minute)
    if was.stuck_until is not None and minute >= was.stuck_until:
        was = msgspec.structs.replace(was, stuck_until=None)
    seen = minute - device.age_min
    if seen >= was.since:
        sinking = device.at is not None and _usable(device, device.at) > _usable(device, was.point)
        was = msgspec.structs.replace(was, sinking=sinking)
    since = was.since if was.least_since is None else max(was.since, was.least_since)
    late = seen - since >= terms.obey_min and was.stuck_until is None
    if late and _usable(device, device.at) < _usable(device, was.least or was.point):
        return msgspec.structs.replace(was, stuck_until=minute + terms.stuck_min)
    return was


def _usable(device: Device, point: str | None) -> float:
    """What the device can serve at that point; a point that isn't known binds nothing."""
    return next((one.usable_rps for one in device.envelopes if one.point == point), math.inf)


def _moved(device: Device, was: Asked, there: Envelope, minute: int, hinted: Hinted) -> Asked:
    """What the device is asked for from now on, and when it is counted on again."""
    least = hinted.enough[0].point if hinted.enough else hinted.point
    if was.point == there.point:
        rises = _usable(device, least) > _usable(device, was.least or was.point)
        return msgspec.structs.replace(was, least=least, least_since=minute if rises else was.least_since)
    wake_s = next((one.wake_s for one in device.envelopes if one.point == was.point), 0.0)
    ready = minute + math.ceil(wake_s / MINUTE_S)
    sinking = there.usable_rps < _usable(device, was.point)
    ready = max(ready, was.ready)
    return Asked(there.point, minute, ready, was.stuck_until, least, least_since=minute, sinking=sinking)


def _choosing(asked: Sequence[Asked], options: Sequence[tuple[Option, ...]], minute: int) -> list[Choosing]:
    return [
        Choosing(there, was.point, float(minute - was.since))
        for was, there in zip(asked, options, strict=True)
    ]


def _able(device: Device, was: Asked) -> tuple[Envelope, ...]:
    """What is worth asking: of a device that didn't follow nothing above where it is seen."""
    if was.stuck_until is None:
        return device.envelopes
    most = _usable(device, device.at)
    return tuple(one for one in device.envelopes if one.usable_rps <= most)


def _option(device: Device, was: Asked, there: Envelope, terms: Terms, minute: int) -> Option:
    """The envelope as it can be counted on in this minute."""
    asleep = any(one.point == was.point and one.wake_s > 0.0 for one in device.envelopes)
    stays = there.point == was.point
    if minute < was.ready or (asleep and not stays):
        return Option(there, 0.0)
    if stays and not was.sinking:
        return Option(there, there.usable_rps)
    # One that may be on its way down may go in this very minute, and then has to dwell where it comes to:
    # others are raised before it.
    risky = was.sinking and there.usable_rps > _usable(device, was.point)
    dread_w = there.full_watts if risky else 0.0
    return Option(there, there.usable_rps * (1.0 - terms.switch_pause_s / MINUTE_S), dread_w)


def _words(options: Sequence[Option], demand: Guarded | None, held: float) -> str:
    counts: dict[str, int] = {}
    for one in sorted((to.envelope for to in options), key=lambda one: (-one.usable_rps, one.point)):
        counts[one.point] = counts.get(one.point, 0) + 1
    who = ", ".join(f"{count} at {point}" for point, count in counts.items()) or "nobody"
    if demand is None:
        return f"the fleet's demand is not known: {who}, each at its strongest"
    capacity = sum(to.rps for to in options)
    if capacity < demand.rps:
        return f"{demand.words} exceed what all can serve, {capacity:.0f} rps: {who}"
    kept = f", {held:.0f} lately" if held > demand.rps else ""
    return f"{demand.words} = {demand.rps:.0f} rps{kept}, carried by {who} for {capacity:.0f} rps"
