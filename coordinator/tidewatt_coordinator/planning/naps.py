"""Who may sleep, and when each must serve again. Pure.

A board that sleeps is woken by its own alarm, so each nap is a promise about every minute until its end: in
each of them those that serve, without the strongest `spare` of them, must carry what may be asked for. Where
a neighbour can wake it, too, the promise is about the minutes until it could be back: after that it is called
a minute before it is needed, so that another can be called for one that doesn't come. A nap can be lengthened
a minute before it ends: the board, which looks when its alarm goes off, finds the newer hint and sleeps on.

Invariants (each is a property test):
- nobody sleeps without a minute to serve again, and none is further away than the longest nap;
- whenever somebody is let sleep, in each minute of that nap (until it could be back) at least
  `awake_at_least` boards serve; what they can serve is at least what was to be ready for, and less the
  strongest `spare` what was likely (which is the same where nobody can be called);
- who can be called is, as soon as that doesn't hold for the minute in which it could be back, or the next;
- who did not come back is not counted, is not let sleep again until somebody says so, and the others stay up;
- for each who was to serve from this minute on and doesn't another is called, whatever is needed by now;
- of like boards, more demand never lets more sleep.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from tidewatt_coordinator.planning.rooms import Rooms
from tidewatt_coordinator.planning.sleepers import Others, Sleeper
from tidewatt_coordinator.planning.terms import Count


class NapTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one site's sleep."""

    tail_quantile: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.99
    """Each minute of a nap is guarded by this quantile of how far demand exceeded what was expected,"""
    likely_quantile: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """and, where boards can be called, without the spare by this."""
    worth: Annotated[float, msgspec.Meta(gt=0)] = 8.0
    """Where boards can be called: a minute that is asked for more than all who are awake can carry is as bad
    as the whole fleet held awake for so many."""
    watch_margin: Annotated[float, msgspec.Meta(ge=0)] = 0.05
    """By so much less than those awake can carry more must be woken at once."""
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


class Nap(msgspec.Struct, frozen=True):
    """An order to sleep: from `since` without a share, serving again from the start of `serve`.

    Before `since` it is a notice: the others are raised while the board still serves, and at `since` it is
    confirmed by what is known then, or it is void.
    """

    since: int
    serve: int
    back: int | None = None
    """It was called to serve from that minute on. Its alarm stays: a call that isn't heard bars nobody, but
    whoever doesn't come isn't counted on, at its alarm neither, until it is heard of.
    """


class Watch(msgspec.Struct, frozen=True):
    """Above this rate of the whole fleet somebody must wake that board at once."""

    rps: float
    device: str


class NapState(msgspec.Struct, frozen=True):
    """What is remembered of a site's sleep, by device."""

    naps: dict[str, Nap] = {}
    woke: dict[str, int] = {}
    """Since which minute it serves."""
    slept_min: dict[str, int] = {}
    """In all, so that it isn't always the same one."""
    barred: frozenset[str] = frozenset()
    """Did not come back from a nap: sleeps no more until somebody says so."""


def nap(
    state: NapState,
    sleepers: Sequence[Sleeper],
    needs: Sequence[float],
    minute: int,
    terms: NapTerms,
    likely: Sequence[float] | None = None,
) -> NapState:
    """Who sleeps from `minute` on, and until when. `needs`: what to be ready for in `minute` and after it.

    `likely`: what of that is to be carried without the spare; None is all of it. Whom somebody must wake now
    is said by `called`. Where nothing is known of what will be needed nobody is sent to sleep, nobody sleeps
    on, and who can be called is.
    """
    before, state = state, _seen(state, sleepers, minute)
    site = Rooms(needs, needs if likely is None else likely, terms.spare, terms.awake_at_least)
    for one in sleepers:
        order = state.naps.get(one.name)
        if one.up:
            site.serves(one.most_rps, 0)
        elif order is not None and (due := _due(order, minute)) is not None:
            site.serves(one.most_rps, due - minute)
    # Notice counts for nothing until it is confirmed.
    kept = {name: order for name, order in state.naps.items() if order.since != minute}
    naps = kept | _calls(state, sleepers, site, minute, len(state.barred - before.barred))
    others = Others(sleepers, naps)
    for one, first in _candidates(state, sleepers, minute, terms):
        if one.asleep is None or one.name in state.barred:
            continue
        minutes = _longest(site, one, first, terms)
        bound = first + (one.sure_min or minutes)
        if minutes < terms.least_nap_min or not others.spare_it(one, max(needs[:bound])):
            continue
        site.without(one.most_rps, first, minutes)
        others.without(one)
        since = naps[one.name].since if one.name in naps else minute + first
        naps[one.name] = Nap(since, minute + first + minutes)
    return msgspec.structs.replace(state, naps=naps)


def watch(state: NapState, sleepers: Sequence[Sleeper], minute: int, terms: NapTerms) -> tuple[Watch, ...]:
    """Who is to be woken at once when more comes in `minute` than those awake can be sure to carry.

    In the order in which they are to be woken: each above the rate up to which those before it will do, also
    if one of those who are to come doesn't: so two are woken for one. Before them who has notice: it stays.
    """
    rests = resting(state, minute)
    leaving = [one for one in sleepers if one.up and one.name in state.naps and one.name not in rests]
    down = [one for one in sleepers if not one.up and one.name in rests]
    coming = [one for one in down if _due(state.naps[one.name], minute) == minute + 1]
    able = [one for one in down if one.back_min and state.naps[one.name].back is None and one not in coming]
    stay = [one for one in sleepers if one.up and one.name not in state.naps]
    room, unsure = sum(one.most_rps for one in (*stay, *coming)), [one.most_rps for one in coming]
    rows = []
    for one in (*leaving, *sorted(able, key=lambda one: (rests[one.name], one.name))):
        rows.append(Watch((room - max(unsure, default=0.0)) / (1.0 + terms.watch_margin), one.name))
        room, unsure = room + one.most_rps, unsure if one.up else [*unsure, one.most_rps]
    return tuple(rows)


def called(before: NapState, after: NapState) -> tuple[str, ...]:
    """Who must be woken now, before its alarm."""
    return tuple(
        sorted(
            name
            for name, order in after.naps.items()
            if order.back is not None and (name not in before.naps or before.naps[name].back is None)
        )
    )


def _calls(
    state: NapState, sleepers: Sequence[Sleeper], site: Rooms, minute: int, gone: int
) -> dict[str, Nap]:
    """Naps that end as soon as a call can end them, so that enough serve then and in the minute after.

    Beside that somebody for each who was to come and didn't: `gone` at their alarms, others when called. What
    is needed is known with delay, and who was missed was called for a reason.
    """
    calls: dict[str, Nap] = {}
    unheard = [one for one in sleepers if not one.up and one.name in state.naps]
    late = gone + sum(state.naps[one.name].back == minute for one in unheard)
    asleep = [
        (order.serve, one.name, one, order)
        for one in sleepers
        if (order := state.naps.get(one.name)) and not one.up and one.back_min
    ]
    for serve, name, one, order in sorted(asleep, key=lambda row: row[:2]):
        back = one.back_min
        able = order.since < minute and order.back is None and serve > minute + back
        enough = site.carries(back) and (back + 1 >= len(site) or site.carries(back + 1))
        if able and (len(calls) < late or not enough):
            calls[name] = msgspec.structs.replace(order, back=minute + back)
            site.serves(one.most_rps, back, serve - minute)
    return calls


def _candidates(
    state: NapState, sleepers: Sequence[Sleeper], minute: int, terms: NapTerms
) -> list[tuple[Sleeper, int]]:
    """Who could be let sleep, or sleep on, from how many minutes ahead; in the order of `_rank`."""
    firsts = [(one, _first(state, one, minute, terms)) for one in sleepers]
    able = [(one, first) for one, first in firsts if first is not None]
    return sorted(able, key=lambda pair: _rank(state, pair[0], minute))


def _first(state: NapState, one: Sleeper, minute: int, terms: NapTerms) -> int | None:
    """How many minutes ahead the board could be let sleep, or sleep on; None: not yet."""
    order = state.naps.get(one.name)
    if order is None:
        rested = minute - state.woke.get(one.name, minute - terms.least_awake_min)
        return 1 if one.up and rested >= terms.least_awake_min else None
    if order.since == minute:
        return 0
    return 1 if order.serve == minute + 1 and order.back is None else None


def _due(order: Nap, minute: int) -> int | None:
    """From when a sleeper is counted on: its alarm, or a call that it may still follow.

    One that did not come when it was to isn't counted on until it is heard of, whatever its alarm says.
    """
    due = order.serve if order.back is None else order.back
    return due if due > minute else None


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


def _longest(site: Rooms, one: Sleeper, first: int, terms: NapTerms) -> int:
    """For how many minutes from the `first` ahead it can be done without.

    One that can be called is bound only by what comes before it could be back, and by what is likely; it is
    back early enough for another to come in its stead.
    """
    most = terms.longest_nap_min
    end, bound = min(len(site), first + most), first + one.sure_min
    for ahead in range(first, end):
        sure = one.back_min == 0 or ahead < bound
        if not site.carries(ahead, one.most_rps, sure=sure):
            return ahead - first - one.back_min
    return most if one.back_min and end > bound else end - first
