"""The journal's state machine and the verdict, as functions of values: properties over what may happen."""

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.coordinator.test_drivers import a_recommendation
from tests.coordinator.test_proposals import BEFORE, MINUTE_MS, START_MS

from tidewatt_coordinator.levers.driver import Effect
from tidewatt_coordinator.levers.lever import Lever
from tidewatt_coordinator.levers.settings import Levers
from tidewatt_coordinator.levers.standing import standing
from tidewatt_coordinator.proposals.limits import Busy, by_rule, held
from tidewatt_coordinator.proposals.orders import approve, roll_back
from tidewatt_coordinator.proposals.state import LIVE, Proposal, Seen, Terms, outcome, step
from tidewatt_coordinator.rollout.orders import NothingToDo
from tidewatt_coordinator.sla.objectives import Metric, Service
from tidewatt_coordinator.sla.verdict import Series, Verdict, Word, judge


@settings(max_examples=150)
@given(st.data())
def test_a_late_request_never_stands_with_nobody_to_see_it(data: st.DataObject) -> None:
    """Requests without an answer may land any time within `late_ms`; the journal ends as the setting does."""
    terms = Terms(deadline_ms=600_000, guard_ms=120_000)
    told = a_recommendation()
    now_ms, content, flying = START_MS, dict(BEFORE), list[tuple[int, dict[str, Any], dict[str, Any]]]()
    state = Proposal(
        id="p", recommendation=told, made_ms=0, stage="approved", since_ms=now_ms, approved_by="me"
    )
    ok = Verdict(word="ok", sentence="good")
    while state.stage in LIVE:
        now_ms += data.draw(st.sampled_from([1_000, 30_000, 90_000]))
        word = (
            data.draw(st.sampled_from(["ok", "ok", "ok", "violates"])) if state.stage == "guarding" else "ok"
        )
        for due_ms, expect, put in [one for one in flying if one[0] <= now_ms]:
            flying.remove((due_ms, expect, put))
            if all(content.get(part) == expect.get(part) for part in put):
                content |= put
        seen = Seen(
            standing=standing(told.before, told.after, content),
            verdict=replace(ok, word=word),
        )
        before = state
        state, deed = step(before, seen, terms, now_ms)
        if deed:
            put = dict(told.after if deed == "apply" else told.before)
            how = data.draw(st.sampled_from(["done", "refused", "flies", "flies, and the process dies"]))
            if how == "done":
                content |= put
                state = outcome(state, "", "", before.unanswered_ms)
            elif how == "refused":
                failure: Any = "refused" if deed == "apply" else "again"
                state = outcome(state, failure, "no", before.unanswered_ms)
            else:
                flying.append((now_ms + data.draw(st.integers(0, terms.late_ms)), dict(content), put))
    left = [one for one in flying if all(content.get(part) == one[1].get(part) for part in one[2])]
    for _due_ms, _expect, put in left:
        content |= put
    ends = {"kept": "applied", "rolled_back": "untouched", "failed": "untouched"}
    assert standing(told.before, told.after, content) == ends[state.stage], state


@settings(max_examples=150)
@given(st.data())
def test_routine_passes_no_freeze_dry_run_irreversibility_nor_blast_radius(data: st.DataObject) -> None:
    draw = data.draw
    told = a_recommendation(
        routine=True,
        spending=None,
        risk=draw(st.sampled_from(["low", "low", "medium", "high"])),
        disruption=draw(st.sampled_from([0.0, 0.05, 0.2])),
        capacity=draw(st.sampled_from([0.0, 0.2, 0.3])),
        effects=draw(st.sampled_from([{}, None, {"p95_ms": Effect(factor=2.0)}])),
        irreversible=draw(st.booleans()),
    )
    word: Word = draw(st.sampled_from(get_args(Word)))
    one = Proposal(id="p", recommendation=told, made_ms=0, verdict=Verdict(word=word, sentence="so"))
    lever = Lever(approve=draw(st.sampled_from(["rule", "rule", "person"])), dry_run=draw(st.booleans()))
    begun = [replace(one, id="q", recommendation=a_recommendation(target="u", capacity=0.1))]
    busy = Busy(
        begun=begun if draw(st.booleans()) else [],
        lately=99,
        window=draw(st.booleans()),
        stop=draw(st.sampled_from(["", "everything is frozen"])),
    )
    most = 0.25 - 0.1 * len(busy.begun)
    begins = not (busy.stop or busy.window or lever.dry_run or told.capacity > most + 1e-9)
    assert (held(one, busy, Levers(), lever) == "") == begins
    promised = told.effects == {} or word == "ok"
    fits = told.risk == "low" and told.disruption <= 0.05 and not told.irreversible
    approves = lever.approve == "rule" and not lever.dry_run and fits and promised
    assert bool(by_rule(one, lever)) == approves
    if approves:
        assert approve(one, "the rule", 0).stage == "approved"


@settings(max_examples=80)
@given(st.data())
def test_what_is_final_is_never_taken_back_nor_approved_by_the_rule(data: st.DataObject) -> None:
    told = a_recommendation(final="make it of its copy", routine=data.draw(st.booleans()))
    ok = Verdict(word="ok", sentence="good")
    state = Proposal(id="p", recommendation=told, made_ms=0, verdict=ok, since_ms=START_MS)
    assert not by_rule(state, Lever(approve="rule", dry_run=False))
    with pytest.raises(NothingToDo, match="--final"):
        approve(state, "me", START_MS)
    state, now_ms = approve(state, "me", START_MS, final=True), START_MS
    for _ in range(data.draw(st.integers(1, 12))):
        now_ms += data.draw(st.sampled_from([10_000, 600_000, 4_000_000]))
        seen = Seen(
            standing=data.draw(st.sampled_from(["untouched", "applied", "partial", "foreign", None])),
            settled=data.draw(st.booleans()),
            verdict=replace(ok, word=data.draw(st.sampled_from(["ok", "unknown", "violates"]))),
        )
        before = state
        state, deed = step(state, seen, Terms(), now_ms)
        assert deed != "undo"
        assert state.stage not in ("undoing", "rolled_back")
        word = seen.verdict.word if seen.verdict else ""
        if (before.stage, state.stage, word) == ("guarding", "kept", "violates") and not told.routine:
            assert "make it of its copy" in state.reason
        if deed:
            state = outcome(state, data.draw(st.sampled_from(["", "again", "refused"])), "no", 0)
    if state.stage in ("applying", "guarding", "kept"):
        with pytest.raises(NothingToDo, match="make it of its copy"):
            roll_back(state, "me", "", now_ms)


ratios = st.floats(0.9, 1.0)


@settings(max_examples=100)
@given(st.lists(ratios, max_size=12), st.lists(st.floats(1, 200), max_size=12), st.floats(0, 50))
def test_a_verdict_is_never_better_for_less_evidence_or_a_worse_effect(
    shares: list[float], latencies: list[float], worse: float
) -> None:
    service = Service(service="s", availability=0.99, p95_ms=60.0, window_s=600.0)
    order = ("violates", "unknown", "ok")

    def verdict(shares: list[float], latencies: list[float], plus: float) -> Verdict:
        measured: dict[Metric, Series] = {
            "availability": {START_MS - at * MINUTE_MS: one for at, one in enumerate(shares)},
            "p95_ms": {START_MS - at * MINUTE_MS: one for at, one in enumerate(latencies)},
        }
        return judge(service, measured, START_MS, {"p95_ms": Effect(plus=plus)})

    found = verdict(shares, latencies, 0.0)
    if min(len(shares), len(latencies)) < 8:
        assert found.word != "ok"
    assert order.index(verdict(shares, latencies, worse).word) <= order.index(found.word)
    assert verdict([], latencies, 0.0).word != "ok"
    if found.word == "ok":
        assert found.margin is not None
        assert found.margin >= 0
        assert (found.from_ms, found.until_ms) == (START_MS - 600_000, START_MS)
