"""A rollout that completed, as a change whose saving is to be seen."""

from decimal import Decimal

from tidewatt_coordinator.questions.changes import Change, Selector
from tidewatt_coordinator.rollout.plan import Content, State


def change_of(state: State, now_ms: int) -> Change:
    """The change that this rollout was. Its canary tells what share of the energy it saves, and no price."""
    factor = state.joules_factor
    return Change(
        id=state.id,
        kind="policy",
        what=f"policy {state.new.name}",
        begun_ms=min(state.reached_ms, default=state.begun_ms),
        at_ms=now_ms,
        selector=Selector(match=touched(state.base, state.new)),
        predicted_share=None if factor is None else Decimal(str(round(1.0 - factor, 6))),
        evidence=_evidence(state),
    )


def touched(base: Content, new: Content) -> list[dict[str, str]]:
    """The labels of the rules that differ; none where that can be any device."""
    changed = [
        rule.match for rule in (*base.rules, *new.rules) if rule not in base.rules or rule not in new.rules
    ]
    found: list[dict[str, str]] = []
    for match in changed:
        if not match:
            return []
        if match not in found:
            found.append(match)
    return found  # rules in another order can touch any device: none again


def _evidence(state: State) -> str:
    if state.joules_factor is None:
        return "the rollout saw too few requests to tell joules per request"
    against = "against the devices not reached yet" if state.compared else "against the time before"
    return (
        f"joules per request {(state.joules_factor - 1.0) * 100.0:+.3g} % {against}, in the rollout's waves"
    )
