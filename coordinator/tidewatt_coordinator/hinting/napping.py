"""A group's sleep, as the planner is told of it. Pure.

The planner knows its own orders; boards follow them in their own time, or not at all. What is seen comes
first: who sleeps by its own word, who is on its way to bed, who is late but has its alarm ahead of it, who is
overdue. An order is never taken for a nap, and a nap that nobody here ordered is known all the same.
"""

import math
from collections.abc import Mapping, Sequence

import msgspec

from tidewatt_coordinator.hinting.calling import wakes
from tidewatt_coordinator.hinting.gathering import Seen, envelopes
from tidewatt_coordinator.planning.envelopes import Envelope
from tidewatt_coordinator.planning.naps import Nap, NapState, NapTerms, told
from tidewatt_coordinator.waking import place_of
from tidewatt_wire.sleeping import SleepState

MINUTE_S, MINUTE_MS = 60.0, 60_000
#: Who was ordered to sleep and is still there after so many minutes doesn't go: its own rules say no.
GOING_MIN = 4
#: A board wakes earlier than it must by its slowest resume and this share of it, and seconds on top.
SLOWER, PATIENCE_S = 1.25, 5.0
ROUNDING_MS = 500.0
#: Who has slept for so many minutes more than others takes its turn awake. A turn costs the minute or two in
#: which both are up, so it comes after many naps: with the longest, after sixteen.
TURN_MIN = 480


#: What a minute has time for: this many of those asked about, times the boards of their group.
MOST_PAIRS, FEWEST_A_MINUTE = 400_000, 8


class Bed(msgspec.Struct, frozen=True):
    """What is remembered of a group's sleep beside the planner's own state."""

    changed: Mapping[str, int] = {}
    """The minute in which a board's order was last changed, or it was last seen asleep."""
    deaf: frozenset[str] = frozenset()
    """Who did not hear its last call."""


def terms_of(members: Sequence[Seen], spare: int) -> NapTerms:
    """The terms of a group: each of its sites that may sleep has its floor and its spare."""
    sites: dict[str, int] = {}
    longest = []
    for one in members:
        if limits := one.known.policy.sleep:
            sites[one.site] = max(sites.get(one.site, 0), limits.awake_per_site)
            longest.append(limits.longest_nap_s)
    return NapTerms(
        awake_at_least=max(1, sum(sites.values()) + spare * len(sites)),
        spare=spare * max(1, len(sites)),
        longest_nap_min=max(1, int(min(longest, default=MINUTE_S) // MINUTE_S)),
    )


def noted(state: NapState, members: Sequence[Seen], minute: int) -> NapState:
    """The planner's memory with what was seen since: naps that others ordered, boards that are late though
    their alarm is not, and those that may sleep again by their own word.
    """
    naps = dict(state.naps)
    for one in members:
        name = one.known.name
        if one.status == "online":
            # Its agent takes the qualification of a board away that failed to wake; a person gives it back.
            state = told(state, name) if one.sleep and one.sleep.able else state
            continue
        order = naps.get(name, Nap(minute - 1, 0))
        since = min(order.since, minute - 1)
        if one.status == "overdue":
            naps[name] = Nap(since, min(order.serve, minute) or minute, order.back)
        elif order.serve <= minute or order.since >= minute:
            naps[name] = Nap(since, max(minute + 1, _serves(one.sleep)), order.back)
    # Who is new has slept as much as who has slept least: turns are counted from now on.
    fresh = dict.fromkeys((one.known.name for one in members), min(state.slept_min.values(), default=0))
    return msgspec.structs.replace(state, naps=naps, slept_min=fresh | state.slept_min)


def awake(
    state: NapState, bed: Bed, members: Sequence[Seen], rests: Mapping[str, Envelope], minute: int
) -> frozenset[str]:
    """Who is up, and not on its way to bed."""
    return frozenset(
        one.known.name
        for one in members
        if one.status == "online" and not _going(state, bed, one.known.name, rests, minute)
    )


def _going(state: NapState, bed: Bed, name: str, rests: Mapping[str, Envelope], minute: int) -> bool:
    order = state.naps.get(name)
    if order is None or name not in rests or not order.since < minute < order.serve:
        return False
    if order.back is not None:  # it was called back, and may have heard that before it went
        return False
    return minute - bed.changed.get(name, order.since) <= GOING_MIN


def remembered(
    bed: Bed, before: NapState, after: NapState, members: Sequence[Seen], deaf: frozenset[str], minute: int
) -> Bed:
    """What to remember when the orders of this minute are known."""
    changed = {}
    for one in members:
        name = one.known.name
        if name in after.naps:
            new = after.naps[name] != before.naps.get(name) or one.status == "asleep"
            changed[name] = minute if new else bed.changed.get(name, minute)
    return Bed(changed, deaf)


def kept_awake(
    state: NapState, members: Sequence[Seen], rests: Mapping[str, Envelope], spare: int
) -> frozenset[str]:
    """Who may not sleep now, so that each site keeps its floor and its spare, and who sleeps has somebody
    near to call it: first those that may not sleep anyway, whose turn it is to be awake, those that stand
    highest, and those that have slept most.
    """

    def rank(one: Seen) -> tuple[bool, int, float, int, str]:
        name = one.known.name
        stands = next((there.usable_rps for there in envelopes(one) if there.point == one.point), 0.0)
        slept = state.slept_min.get(name, 0)
        return name in rests, -(slept // TURN_MIN), -stands, -slept, name

    kept: set[str] = set()
    up = sorted((one for one in members if _stays(state, one)), key=rank)
    ready = _by_site(up)
    for site, here in _by_site(members).items():
        kept |= {one.known.name for one in ready.get(site, ())[: floor_of(here, spare)]}
    called = {place_of(one.known.birth.labels) for one in up if one.known.name in kept and wakes(one)}
    for one in up:
        where = place_of(one.known.birth.labels)
        if where and where not in called and wakes(one):
            kept.add(one.known.name)
            called.add(where)
    return frozenset(kept)


def _stays(state: NapState, one: Seen) -> bool:
    return one.status == "online" and one.known.name not in state.naps


def _by_site(members: Sequence[Seen]) -> dict[str, list[Seen]]:
    sites: dict[str, list[Seen]] = {}
    for one in members:
        sites.setdefault(one.site, []).append(one)
    return sites


def relieved(
    state: NapState, members: Sequence[Seen], rests: Mapping[str, Envelope], kept: frozenset[str], minute: int
) -> frozenset[str]:
    """Whose nap isn't lengthened at its end: others of its site, kept awake, have slept a turn less."""
    found: set[str] = set()
    for here in _by_site(members).values():
        names = {one.known.name for one in here}
        turns = [state.slept_min.get(name, 0) // TURN_MIN for name in names & kept & rests.keys()]
        ends = {name for name in names & state.naps.keys() if state.naps[name].serve == minute + 1}
        found |= {name for name in ends if turns and state.slept_min.get(name, 0) // TURN_MIN > min(turns)}
    return frozenset(found)


def considered(
    state: NapState, rests: Mapping[str, Envelope], kept: frozenset[str], minute: int, boards: int
) -> dict[str, Envelope]:
    """Of whom it is decided in this minute whether they sleep: of a large group not of all at once.

    First who has notice, then whose nap ends, then who has slept least; one whose turn doesn't come wakes by
    its alarm, or stays awake.
    """
    found = {name: how for name, how in rests.items() if name not in kept}

    def turn(name: str) -> tuple[int, int, str]:
        order = state.naps.get(name)
        rank = 2 if order is None else int(order.since != minute)
        return rank, state.slept_min.get(name, 0), name

    under = [name for name, order in state.naps.items() if minute not in (order.since, order.serve - 1)]
    asked = sorted(found.keys() - set(under), key=turn)
    for name in asked[max(FEWEST_A_MINUTE, MOST_PAIRS // max(1, boards)) :]:
        del found[name]
    return found


def floor_of(here: Sequence[Seen], spare: int) -> int:
    """How many boards of a site stay awake whatever is asked for."""
    limits = [one.known.policy.sleep for one in here]
    return max((one.awake_per_site for one in limits if one), default=1) + spare


def _serves(told_: SleepState | None) -> int:
    """The first minute in which a board serves that sleeps by its own word until its alarm."""
    if told_ is None or told_.until_ms is None:
        return 0
    lead_ms = 1000.0 * ((told_.resume_s or 0.0) * SLOWER + PATIENCE_S)
    return math.ceil((told_.until_ms + lead_ms - ROUNDING_MS) / MINUTE_MS)
