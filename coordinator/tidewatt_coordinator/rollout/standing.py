"""What the operator wants of a fleet, whole: the rules in force, the rollout, the revision. Pure.

The policy set that devices read follows from it and from nothing else. Every change that
they would notice raises the revision; no other does.
"""

import msgspec
from msgspec.structs import replace

from tidewatt_coordinator.rollout.orders import NothingToDo, abort
from tidewatt_coordinator.rollout.plan import LIVE, Content, State, rollout_of
from tidewatt_coordinator.rollout.terms import Plan
from tidewatt_wire.messages import Model, PolicySet, TrustedKey


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """What goes with every policy set, whatever the rules: from the coordinator's own folders."""

    keys: list[TrustedKey] = []
    """While keys are rotated, and ever after: those to trust."""
    models: list[Model] = []


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One fleet's policy as it stands."""

    fleet: str
    revision: int
    issued_ms: int
    content: Content
    previous: Content | None = None
    """What was in force before, to go back to."""
    rollout: State | None = None
    """The last one, ended or not."""
    attached: Attached = Attached()

    @property
    def live(self) -> State | None:
        """The rollout on its way, if there is one."""
        return self.rollout if self.rollout and self.rollout.stage in LIVE else None


def policy_set_of(standing: Standing) -> PolicySet:
    """The set that devices are to read."""
    state, content = standing.live, standing.content
    rollout = rollout_of(state, state.wave) if state and state.wave else None
    return PolicySet(
        fleet=standing.fleet,
        revision=standing.revision,
        issued_at_ms=standing.issued_ms,
        rules=content.rules,
        not_before_ms=content.not_before_ms,
        not_after_ms=content.not_after_ms,
        rollout=rollout,
        models=standing.attached.models,
        keys=standing.attached.keys,
    )


def first(fleet: str, content: Content, revision: int, now_ms: int) -> Standing:
    """Where a fleet begins. `revision`: the last one known of, 0 if none."""
    return Standing(fleet=fleet, revision=_above(revision, now_ms), issued_ms=now_ms, content=content)


def put(standing: Standing, content: Content, now_ms: int) -> Standing:
    """Put rules in force for everybody at once."""
    _no_rollout(standing)
    if _asks(content) == _asks(standing.content):
        raise NothingToDo(f"{content.name} is in force already, at revision {standing.revision}")
    return _revised(standing, replace(standing, content=content, previous=standing.content), now_ms)


def begin(standing: Standing, content: Content, plan: Plan, now_ms: int) -> Standing:
    """Plan a rollout of new rules; the engine takes it from there."""
    _no_rollout(standing)
    if _asks(content) == _asks(standing.content):
        raise NothingToDo(
            f"the rules of {content.name} are in force already, at revision {standing.revision}"
        )
    name = f"{content.name[:40]}-{_above(standing.revision, now_ms)}"
    state = State(id=name, plan=plan, base=standing.content, new=content, begun_ms=now_ms)
    return replace(standing, rollout=state)


def moved(standing: Standing, state: State, now_ms: int) -> Standing:
    """The standing with its rollout in another state."""
    after = replace(standing, rollout=state)
    if state.stage == "complete" and standing.live:
        after = replace(after, content=state.new, previous=state.base)
    return _revised(standing, after, now_ms)


def carrying(standing: Standing, attached: Attached, now_ms: int) -> Standing:
    """The same with other keys and models beside it."""
    return _revised(standing, replace(standing, attached=attached), now_ms)


def overtaking(standing: Standing, revision: int, now_ms: int) -> Standing:
    """The same above a revision that devices hold and this database doesn't know: it comes from a copy."""
    return replace(standing, revision=_above(revision, now_ms), issued_ms=now_ms)


def rolled_back(standing: Standing, why: str, now_ms: int) -> Standing:
    """Abort the rollout on its way; without one put in force what was before."""
    if standing.live:
        return moved(standing, abort(standing.live, why), now_ms)
    if standing.previous is None:
        raise NothingToDo("nothing was in force before, so there is nothing to go back to")
    return _revised(standing, replace(standing, content=standing.previous, previous=standing.content), now_ms)


def same_to_devices(one: Standing, other: Standing) -> bool:
    """Whether devices would read the same."""
    return policy_set_of(replace(one, revision=0, issued_ms=0)) == policy_set_of(
        replace(other, revision=0, issued_ms=0)
    )


def _revised(before: Standing, after: Standing, now_ms: int) -> Standing:
    if same_to_devices(before, after):
        return after
    return replace(after, revision=_above(before.revision, now_ms), issued_ms=now_ms)


def _asks(content: Content) -> tuple[object, ...]:
    return content.rules, content.not_before_ms, content.not_after_ms


def _above(revision: int, now_ms: int) -> int:
    # The clock's seconds, so that it rises even if the database was lost.
    return max(revision + 1, now_ms // 1000)


def _no_rollout(standing: Standing) -> None:
    if standing.live:
        raise ValueError(
            f"rollout {standing.live.id} is on its way ({standing.live.stage}): abort it first, or let it end"
        )
