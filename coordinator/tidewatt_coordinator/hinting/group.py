"""A group of devices among which traffic can be moved: what is remembered of it, and its plan of a minute."""

from collections.abc import Mapping, Sequence

import msgspec

from tidewatt_coordinator.hinting import calling, gathering, napping
from tidewatt_coordinator.hinting.calling import Ear, Watched
from tidewatt_coordinator.hinting.gathering import Seen
from tidewatt_coordinator.hinting.napping import Bed
from tidewatt_coordinator.hinting.outlook import Outlook
from tidewatt_coordinator.planning.demand import Guarded
from tidewatt_coordinator.planning.envelopes import Envelope
from tidewatt_coordinator.planning.plan import Device, Plan, plan
from tidewatt_coordinator.planning.resting import RestState, plan_rest
from tidewatt_coordinator.planning.terms import SLEEPERS_WORTH, Terms
from tidewatt_wire.messages import Report

MINUTE_MS = 60_000
#: By so much the plan's margin is above the boards' headroom.
HAIR = 0.005
#: What margins are worth goes by the group's room: one that changed by less is taken as it was, as nothing
#: that was learned holds under other terms.
LIKE = 0.25


class Group(msgspec.Struct):
    """What is remembered of it. Its members sleep, or may: then `room_rps` is all that they could serve."""

    outlook: Outlook
    terms: Terms
    room_rps: float = 0.0
    state: RestState = RestState()
    bed: Bed = Bed()
    ear: Ear = msgspec.field(default_factory=Ear)

    def rises(self, watched: Watched, reports: Sequence[Report], share: float, now_ms: int) -> frozenset[str]:
        """Whom to wake at once, as more comes than the plan is for: each is told once, and noted as called.
        Who has notice only doesn't go.

        `share`: of all requests what the devices are given.
        """
        new = watched.above(self.ear.rps(reports) / share) - calling.called(self.state.naps)
        new &= self.state.naps.naps.keys()
        naps = calling.with_calls(self.state.naps, {name: watched.back_ms[name] for name in new}, now_ms)
        self.state = msgspec.structs.replace(self.state, naps=naps)
        return new & naps.naps.keys()


class Planned(msgspec.Struct, frozen=True):
    """A group's plan, and who sleeps under it."""

    plan: Plan
    devices: list[Device]
    serve_ms: Mapping[str, int] = {}
    missing: tuple[str, ...] = ()
    called: frozenset[str] = frozenset()
    watched: Watched | None = None
    assumed: int = 0
    """Sleepers whose watts nobody has measured."""


def room_of(members: Sequence[Seen], before: float) -> float:
    """What they serve at their strongest, if any may sleep; else 0. `before`: as it was taken last."""
    if not any(one.obeys and one.known.policy.sleep for one in members):
        return 0.0
    room_rps = gathering.most_rps(members)
    return before if abs(room_rps - before) <= LIKE * before else room_rps


def terms_of(members: Sequence[Seen], room_rps: float) -> Terms:
    """The margin is never below the boards' own headroom: with less they would raise themselves."""
    headroom = max((one.known.policy.headroom for one in members if one.obeys), default=0.0)
    least = max(Terms().least_margin, headroom + HAIR)
    return Terms(least_margin=least, worth_rps=SLEEPERS_WORTH * room_rps or None)


def planned(
    group: Group, members: Sequence[Seen], guarded: Guarded | None, minute: int, spare: int
) -> Planned:
    """The plan of a group; with sleep where its policy allows that, or somebody sleeps already."""
    rests = {one.known.name: how for one in members if (how := gathering.rest_of(one))}
    if not rests and all(one.status == "online" for one in members):
        devices = gathering.devices(members, {})
        after, alone = plan(group.state.plan, devices, guarded, minute, group.terms)
        group.state = msgspec.structs.replace(group.state, plan=after)
        return Planned(alone, devices)
    return _rested(group, members, rests, guarded, minute, spare)


def _rested(
    group: Group,
    members: Sequence[Seen],
    rests: Mapping[str, Envelope],
    guarded: Guarded | None,
    minute: int,
    spare: int,
) -> Planned:
    before = napping.noted(group.state.naps, members, minute)
    deaf = calling.deaf(group.bed.deaf, before, members, minute)
    kept = napping.kept_awake(before, members, rests, spare)
    relieved = napping.relieved(before, members, rests, kept, minute)
    may = napping.considered(before, rests, kept | relieved, minute, len(members))
    devices = gathering.devices(members, may)
    up = napping.awake(before, group.bed, members, rests, minute)
    near = calling.callers(members, may, before.naps)
    hear = calling.callable_of(members, may, near, deaf)
    needs, likely = group.outlook.ahead(minute, callable_=hear >= may.keys()) if guarded else ((), None)
    if guarded and needs:
        needs = (max(guarded.rps, needs[0]), *needs[1:])
    state = msgspec.structs.replace(group.state, naps=before)
    group.state, made = plan_rest(
        state, devices, up, guarded, needs, minute, group.terms, napping.terms_of(members, spare),
        likely=likely, callable_=hear,
    )  # fmt: skip
    group.bed = napping.remembered(group.bed, before, group.state.naps, members, deaf, minute)
    serve_ms = {name: at * MINUTE_MS for name, at in made.serve.items()}
    watched = calling.watched(members, made.watch, rests)
    guessed = {one.known.name for one in members if not (one.sleep and one.sleep.watts is not None)}
    assumed = len(guessed & serve_ms.keys())
    called = calling.called(group.state.naps)
    return Planned(made.plan, devices, serve_ms, made.missing, called, watched, assumed)
