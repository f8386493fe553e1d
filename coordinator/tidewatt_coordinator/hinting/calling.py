"""Who can be woken before its alarm, who is, and who must be while a minute runs. Pure.

A board is woken by a packet that a neighbour sends (waking.py). It can be counted on to hear a call if it
says where it listens, if somebody near it stays awake and may send, and if no call before went unheard.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import msgspec

from tidewatt_coordinator.hinting.gathering import Seen
from tidewatt_coordinator.hinting.metering import Meter
from tidewatt_coordinator.planning.envelopes import Envelope
from tidewatt_coordinator.planning.naps import NapState, Watch
from tidewatt_coordinator.waking import Place, place_of
from tidewatt_wire.messages import Report

MINUTE_S, MINUTE_MS = 60.0, 60_000
#: A second's count of requests scatters by its root: what is within two of them is no news.
SCATTER = 2.0


class Watched(msgspec.Struct, frozen=True):
    """Whom to wake at once when more comes to a group than its plan is for."""

    members: tuple[str, ...]
    rows: tuple[Watch, ...]
    """By rising rate of the group."""
    back_ms: Mapping[str, int]
    """How long each takes until it serves again."""

    def above(self, rps: float) -> frozenset[str]:
        """Who must be woken at that rate."""
        return frozenset(row.device for row in self.rows if rps > row.rps)


class Ear:
    """The rate of a group by the reports as they come."""

    def __init__(self) -> None:
        self._meter = Meter()

    def rps(self, reports: Collection[Report]) -> float:
        """Requests/s: by the counters between the last two reports of each, or by what each saw in its last
        second if that is clearly more, as a rise shows there first.
        """
        counted = sum(self._meter.rps(one) or 0.0 for one in reports)
        seen = sum(max(0.0, one.gauges.requests_rps or 0.0) for one in reports)
        return max(counted, seen - SCATTER * math.sqrt(seen))


def callers(members: Sequence[Seen], may: Collection[str], naps: Mapping[str, object]) -> frozenset[Place]:
    """Where somebody stays awake who may wake others. `may`: who may be sent to sleep, by this plan."""
    return frozenset(
        where
        for one in members
        if one.status == "online"
        and one.known.name not in may
        and one.known.name not in naps
        and wakes(one)
        and (where := place_of(one.known.birth.labels))
    )


def wakes(one: Seen) -> bool:
    """Whether it may wake others, while it is awake."""
    sleep = one.known.policy.sleep
    return one.known.birth.control == "enforce" and sleep is not None and sleep.wake_neighbours


def callable_of(
    members: Sequence[Seen], rests: Collection[str], near: Collection[Place], deaf: Collection[str]
) -> frozenset[str]:
    """Of those who may sleep who would hear a call. `near`: where somebody stays awake to send one."""
    return frozenset(
        one.known.name
        for one in members
        if one.known.name in rests
        and one.known.name not in deaf
        and one.sleep
        and one.sleep.mac
        and place_of(one.known.birth.labels) in near
    )


def called(state: NapState) -> frozenset[str]:
    """Who was called, and isn't known to be back."""
    return frozenset(name for name, order in state.naps.items() if order.back is not None)


def deaf(before: Collection[str], state: NapState, members: Sequence[Seen], minute: int) -> frozenset[str]:
    """Whose last call went unheard: it isn't counted on to hear one until it was woken by one."""
    found = set(before)
    for one in members:
        name, order = one.known.name, state.naps.get(one.known.name)
        if one.status != "online" and order and order.back is not None and order.back < minute:
            found.add(name)
        elif one.status == "online" and one.sleep and one.sleep.last:
            found -= {name} if one.sleep.last.outcome == "woke_early" else set()
    return frozenset(found & {one.known.name for one in members})


def with_calls(state: NapState, back_ms: Mapping[str, int], now_ms: int) -> NapState:
    """The orders of those who are called now: to be back when each can be, alarm or not; notice is void."""
    naps = dict(state.naps)
    for name, takes_ms in back_ms.items():
        order = naps.get(name)
        if order and order.since > now_ms // MINUTE_MS:
            del naps[name]
        elif order and order.back is None:
            back = max(now_ms // MINUTE_MS + 1, math.ceil((now_ms + takes_ms) / MINUTE_MS))
            naps[name] = msgspec.structs.replace(order, back=back)
    return msgspec.structs.replace(state, naps=naps)


def watched(members: Sequence[Seen], rows: Sequence[Watch], rests: Mapping[str, Envelope]) -> Watched | None:
    """What to watch of a group until its next plan; None where there is nothing to do."""
    if not rows:
        return None
    back_ms = {row.device: round(1000 * rests[row.device].wake_s) for row in rows}
    return Watched(tuple(one.known.name for one in members), tuple(rows), back_ms)
