"""Who may sleep, and when each must serve again. Pure.

A board that sleeps is woken by its own alarm and by nothing else, so each nap is a promise about every minute
until its end: in each of them those that serve, without the strongest `spare` of them, must carry what may
be asked for. A nap can be lengthened a minute before it ends: the board, which looks when its alarm goes off,
finds the newer hint and sleeps on.

Invariants (each is a property test):
- nobody sleeps without a minute to serve again, and none is further away than the longest nap;
- whenever somebody is let sleep, in each minute of that nap at least `awake_at_least` boards serve and what
  they can serve, less the strongest `spare`, is at least what was to be ready for;
- who did not come back is not counted, is not let sleep again until somebody says so, and the others stay up;
- of like boards, more demand never lets more sleep.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from tidewatt_coordinator.planning.envelopes import Choosing, Envelope, Option, choose
from tidewatt_coordinator.planning.terms import Count


class NapTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one site's sleep."""

    tail_quantile: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.99
    """Each minute of a nap is guarded by this quantile of how far demand exceeded what was expected."""
    awake_at_least: Count = 2
    """Boards that serve whatever is asked for."""
    spare: Annotated[int, msgspec.Meta(ge=0)] = 1
    """Boards that could go missing at any minute without anything being lost."""
    longest_nap_min: Count = 30
    """To the next look; more is slept in several naps."""
    least_nap_min: Count = 3
    """Shorter ones save nothing: falling asleep and waking cost about a minute."""
    least_awake_min: Annotated[int, msgspec.Meta(ge=0)] = 3
    """Minutes that a board serves before it may sleep again."""


class Sleeper(msgspec.Struct, frozen=True):
    """A device of the site as sleep sees it."""

    name: str
    envelopes: tuple[Envelope, ...]
    """Awake; at least one."""
    asleep: Envelope | None = None
    """None: it may not sleep, by its policy, its qualification, a lease."""
    up: bool = True
    """Whether it is known to be awake: its birth was heard since its last nap began."""
    at: str | None = None

    @property
    def most_rps(self) -> float:
        """What it can serve at its strongest."""
        return max(one.usable_rps for one in self.envelopes)


class Nap(msgspec.Struct, frozen=True):
    """An order to sleep: from `since` without a share, serving again from the start of `serve`.

    Before `since` it is a notice: the others are raised while the board still serves, and at `since` it is
    confirmed by what is known then, or it is void.
    """

    since: int
    serve: int


class NapState(msgspec.Struct, frozen=True):
    """What is remembered of a site's sleep, by device."""

    naps: dict[str, Nap] = {}
    woke: dict[str, int] = {}
    """Since which minute it serves."""
    slept_min: dict[str, int] = {}
    """In all, so that it isn't always the same one."""
    barred: frozenset[str] = frozenset()
    """Did not come back from a nap: sleeps no more until somebody says so."""


class _Site:
    """What serves in each minute of the outlook, while sleepers are taken out one by one."""

    def __init__(self, needs: Sequence[float], terms: NapTerms) -> None:
        self.needs, self._terms = needs, terms
        self._rooms: list[list[float]] = [[] for _ in needs]

    def serves(self, most_rps: float, first: int) -> None:
        """A board that serves from the `first` minute ahead on."""
        for room in self._rooms[first:]:
            room.append(most_rps)

    def longest(self, most_rps: float, first: int) -> int:
        """For how many minutes from the `first` ahead it can be done without."""
        end = min(len(self.needs), first + self._terms.longest_nap_min)
        for ahead in range(first, end):
            if not self._carries(ahead, most_rps):
                return ahead - first
        return end - first

    def without(self, most_rps: float, first: int, minutes: int) -> None:
        """Let it sleep for so long."""
        for room in self._rooms[first : first + minutes]:
            room.remove(most_rps)

    def _carries(self, ahead: int, less_rps: float) -> bool:
        rooms = sorted(self._rooms[ahead])
        rooms.remove(less_rps)
        sure = rooms[: len(rooms) - self._terms.spare] if self._terms.spare else rooms
        return len(rooms) >= self._terms.awake_at_least and sum(sure) >= self.needs[ahead]


def nap(
    state: NapState, sleepers: Sequence[Sleeper], needs: Sequence[float], minute: int, terms: NapTerms
) -> NapState:
    """Who sleeps from `minute` on, and until when. `needs`: what to be ready for in `minute` and after it.

    Where nothing is known of what will be needed nobody is sent to sleep, and nobody sleeps on.
    """
    state = _seen(state, sleepers, minute)
    site, candidates = _Site(needs, terms), []
    for one in sleepers:
        order = state.naps.get(one.name)
        if one.up:
            site.serves(one.most_rps, 0)
        elif order is not None and order.serve > minute:
            site.serves(one.most_rps, order.serve - minute)
        if (first := _first(state, one, minute, terms)) is not None:
            candidates.append((one, first))
    # Notice counts for nothing until it is confirmed.
    naps = {name: order for name, order in state.naps.items() if order.since != minute}
    for one, first in sorted(candidates, key=lambda pair: _rank(state, pair[0], minute)):
        if one.asleep is None or one.name in state.barred:
            continue
        minutes = site.longest(one.most_rps, first)
        if minutes < terms.least_nap_min or not _worth(one, sleepers, naps, needs, first + minutes):
            continue
        site.without(one.most_rps, first, minutes)
        since = naps[one.name].since if one.name in naps else minute + first
        naps[one.name] = Nap(since, minute + first + minutes)
    return msgspec.structs.replace(state, naps=naps)


def _first(state: NapState, one: Sleeper, minute: int, terms: NapTerms) -> int | None:
    """How many minutes ahead the board could be let sleep, or sleep on; None: not yet."""
    order = state.naps.get(one.name)
    if order is None:
        rested = minute - state.woke.get(one.name, minute - terms.least_awake_min)
        return 1 if one.up and rested >= terms.least_awake_min else None
    if order.since == minute:
        return 0
    return 1 if order.serve == minute + 1 else None


def told(state: NapState, name: str) -> NapState:
    """Somebody says that the board may sleep again."""
    return msgspec.structs.replace(state, barred=state.barred - {name})


def missing(state: NapState, minute: int) -> tuple[str, ...]:
    """Those that should be serving and aren't heard of."""
    return tuple(sorted(name for name, order in state.naps.items() if order.serve <= minute))


def resting(state: NapState, minute: int) -> dict[str, int]:
    """Who rests in `minute`, by when each must serve again."""
    return {name: one.serve for name, one in state.naps.items() if one.since <= minute < one.serve}


def _seen(state: NapState, sleepers: Sequence[Sleeper], minute: int) -> NapState:
    """The state with what is known by now: who is back, who isn't, who is gone from the site."""
    here = {one.name: one for one in sleepers}
    naps = {name: order for name, order in state.naps.items() if name in here}
    woke, slept = _of(state.woke, here), _of(state.slept_min, here)
    barred = state.barred
    for name, order in state.naps.items():
        if name not in here:
            continue
        if not here[name].up:
            barred |= {name} if order.serve <= minute else set()
            slept[name] = slept.get(name, 0) + 1
        elif order.since < minute:
            # It serves, or it never went: its own rules may say no.
            del naps[name]
            woke[name] = minute
    return NapState(naps, woke, slept, barred)


def _of(known: Mapping[str, int], here: Mapping[str, Sleeper]) -> dict[str, int]:
    return {name: value for name, value in known.items() if name in here}


def _rank(state: NapState, one: Sleeper, minute: int) -> tuple[int, float, int, str]:
    """Who sleeps first: who is asleep, who has notice, who stands lowest, who has slept least."""
    order = state.naps.get(one.name)
    standing = next((there.usable_rps for there in one.envelopes if there.point == one.at), one.most_rps)
    slept = state.slept_min.get(one.name, 0)
    if order is None:
        return 2, standing, slept, one.name
    return int(order.since == minute), 0.0, slept, one.name


def _worth(
    one: Sleeper, sleepers: Sequence[Sleeper], naps: Mapping[str, Nap], needs: Sequence[float], until: int
) -> bool:
    """Whether the cheapest way to meet the most that may be asked for meanwhile leaves it asleep.

    It stands last: of like boards the others are raised before it.
    """
    others = [other for other in sleepers if other.name != one.name and other.name not in naps]
    rows = [Choosing(_options(other), "", 0.0) for other in (*others, one)]
    return choose(rows, max(needs[:until]))[-1].envelope == one.asleep


def _options(one: Sleeper) -> tuple[Option, ...]:
    there = (*one.envelopes, one.asleep) if one.asleep else one.envelopes
    return tuple(Option(envelope, envelope.usable_rps) for envelope in there)
