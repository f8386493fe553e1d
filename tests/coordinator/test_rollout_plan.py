"""The rollout's state machine: whatever is interrupted, ordered or measured, its invariants hold."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tidewatt_coordinator.rollout import orders
from tidewatt_coordinator.rollout.gates import Contrast, Reading, Seen, Tally, judge
from tidewatt_coordinator.rollout.orders import NothingToDo
from tidewatt_coordinator.rollout.plan import LIVE, Content, Evidence, Facts, State, step
from tidewatt_coordinator.rollout.standing import (
    Attached,
    Standing,
    begin,
    carrying,
    first,
    moved,
    policy_set_of,
    put,
    rolled_back,
    same_to_devices,
)
from tidewatt_coordinator.rollout.terms import Gates, Plan, PlannedWave
from tidewatt_governor.policy import member, resolve
from tidewatt_wire.messages import Policy, Rule, TrustedKey

T0 = 1_800_000_000_000
HOUR = 3_600_000
OLD = Content(rules=[Rule(policy=Policy(slo_p95_ms=60.0))])
NEW = Content(rules=[Rule(policy=Policy(slo_p95_ms=40.0))], document="d" * 64, name="winter")
GOOD = [Seen(device="a", reached=True, answered=True)]
#: Only what these tests turn: a device that refuses fails, one that hasn't answered is too little evidence.
GATES = Gates(joules_per_request=None, violating_share=None, settle_s=0.0)
WAVES = [PlannedWave(percent=percent) for percent in (5.0, 25.0, 100.0)]
DEVICES = [f"d{number}" for number in range(60)]


def planned(**changes: Any) -> Standing:
    plan = replace(Plan(waves=WAVES, gates=GATES, soak_s=600.0), **changes)
    return begin(first("f", OLD, 0, T0), NEW, plan, T0)


def facts(state: State, kind: str = "good", *, window_open: bool = True) -> Facts:
    if kind == "none":
        return Facts(window_open=window_open)
    seen = [replace(one, refused=kind == "bad", answered=kind != "unsure") for one in GOOD]
    contrasts = [Contrast() for _ in state.plan.waves]
    evidence = Evidence(wave=state.wave, since_ms=state.since_ms, seen=seen, contrasts=contrasts)
    return Facts(window_open=window_open, evidence=evidence)


def going(standing: Standing) -> State:
    assert standing.rollout is not None
    return standing.rollout


def ticked(standing: Standing, now_ms: int, kind: str = "good", *, window_open: bool = True) -> Standing:
    state = going(standing)
    after, reason = step(state, facts(state, kind, window_open=window_open), now_ms)
    assert after.reason == reason
    return moved(standing, after, now_ms)


def run(standing: Standing, now_ms: int, times: int = 50, every_ms: int = 60_000) -> Standing:
    for number in range(times):
        standing = ticked(standing, now_ms + number * every_ms)
    return standing


def members(standing: Standing) -> set[str]:
    rollout = policy_set_of(standing).rollout
    return {device for device in DEVICES if rollout and member(rollout, device, {})}


def under_new(standing: Standing) -> set[str]:
    policies = policy_set_of(standing)
    return {device for device in DEVICES if resolve(policies, device, {}).slo_p95_ms == 40.0}


def test_wave_by_wave_to_the_end() -> None:
    standing = planned()
    seen: list[tuple[str, int]] = []
    for minute in range(60):
        standing = ticked(standing, T0 + minute * 60_000)
        if (news := (going(standing).stage, going(standing).wave)) not in seen:
            seen.append(news)
    assert seen == [("soaking", 1), ("soaking", 2), ("soaking", 3), ("complete", 3)]
    assert standing.content == NEW
    assert standing.previous == OLD
    assert policy_set_of(standing).rollout is None
    assert under_new(standing) == set(DEVICES)
    assert going(standing).reached_ms == [T0, T0 + 600_000, T0 + 1_200_000]


orders_drawn = st.sampled_from(["approve", "pause", "resume", "abort"])
moves = st.lists(
    st.tuples(
        st.integers(0, 2 * HOUR),
        st.one_of(st.sampled_from(["good", "good", "good", "bad", "unsure", "none"]), orders_drawn),
        st.booleans(),
    ),
    max_size=60,
)
plans = st.builds(
    Plan,
    waves=st.just(WAVES),
    gates=st.just(GATES),
    soak_s=st.sampled_from([0.0, 600.0]),
    approval=st.sampled_from(["none", "start", "each_wave"]),
    on_failure=st.sampled_from(["pause", "abort"]),
    waves_per_hour=st.sampled_from([None, 1, 2]),
)


def act(standing: Standing, now_ms: int, what: str, window_open: bool) -> Standing:
    state = going(standing)
    try:
        match what:
            case "approve":
                return moved(standing, orders.approve(state), now_ms)
            case "pause":
                return moved(standing, orders.pause(state, ""), now_ms)
            case "resume":
                return moved(standing, orders.resume(state, now_ms), now_ms)
            case "abort":
                return moved(standing, orders.abort(state, ""), now_ms)
    except NothingToDo:
        return standing
    return ticked(standing, now_ms, what, window_open=window_open)


@given(plans, moves)
@settings(max_examples=200)
def test_the_invariants_hold_whatever_happens(plan: Plan, drawn: list[tuple[int, str, bool]]) -> None:
    standing, now_ms = begin(first("f", OLD, 0, T0), NEW, plan, T0), T0
    for wait_ms, what, window_open in drawn:
        now_ms += wait_ms
        before, was = standing, going(standing)
        standing = act(standing, now_ms, what, window_open)
        state = going(standing)
        # What devices read never changes without a higher revision, nor the revision without that.
        assert same_to_devices(before, standing) == (standing.revision == before.revision)
        assert standing.revision >= before.revision
        if state.stage in LIVE:
            assert members(before) <= members(standing)
            assert members(standing) == under_new(standing)
        if state.wave > was.wave:
            assert state.wave == was.wave + 1
            assert window_open
            assert was.stage not in ("paused", "complete", "aborted")
            assert plan.approval == "none" or was.approved > 0
            if plan.waves_per_hour is not None:
                lately = [at_ms for at_ms in state.reached_ms if now_ms - at_ms < HOUR]
                assert len(lately) <= plan.waves_per_hour
        if state.stage == "aborted":
            assert members(standing) == under_new(standing) == set()
        if was.stage in ("complete", "aborted"):
            assert state == was, "what has ended stays ended"
        assert state.reached_ms == sorted(state.reached_ms)


@given(plans, moves, st.data())
@settings(max_examples=60)
def test_any_interrupted_prefix_goes_on_from_what_was_kept(
    plan: Plan, drawn: list[tuple[int, str, bool]], data: st.DataObject
) -> None:
    """Nothing lives outside the kept bytes: read back after every step the run is the same."""
    straight = kept = begin(first("f", OLD, 0, T0), NEW, plan, T0)
    killed_at = data.draw(st.sets(st.integers(0, len(drawn))))
    now_ms = T0
    for number, (wait_ms, what, window_open) in enumerate(drawn):
        now_ms += wait_ms
        straight = act(straight, now_ms, what, window_open)
        # Killed before the write: the same step again. Killed after it: the step is in the bytes.
        if number in killed_at:
            act(kept, now_ms, what, window_open)
        kept = msgspec.json.decode(msgspec.json.encode(act(kept, now_ms, what, window_open)), type=Standing)
    assert kept == straight


def test_a_step_repeated_at_the_same_moment_does_nothing_more() -> None:
    standing = ticked(planned(), T0)
    assert ticked(standing, T0) == ticked(ticked(standing, T0), T0)
    assert going(standing).wave == 1


def test_a_paused_rollout_never_advances_and_is_watched_anew_when_resumed() -> None:
    standing = ticked(planned(), T0)
    standing = moved(standing, orders.pause(going(standing), "hot day"), T0)
    later = run(standing, T0 + 10 * HOUR)
    assert going(later).wave == 1
    assert going(later).reason == "paused by the operator: hot day"
    assert later.revision == standing.revision, "a pause is no news to devices"
    resumed = moved(later, orders.resume(going(later), T0 + 20 * HOUR), T0 + 20 * HOUR)
    assert going(ticked(resumed, T0 + 20 * HOUR + 599_000)).wave == 1
    assert going(ticked(resumed, T0 + 20 * HOUR + 600_000)).wave == 2


@pytest.mark.parametrize(("on_failure", "stage"), [("pause", "paused"), ("abort", "aborted")])
def test_a_failed_gate_pauses_or_takes_back(on_failure: str, stage: str) -> None:
    standing = ticked(planned(on_failure=on_failure), T0)
    before = standing.revision
    standing = ticked(standing, T0 + 1000, "bad")
    assert going(standing).stage == stage
    assert "refusals +100 % is beyond the gate of +2 %" in going(standing).reason
    assert (standing.revision > before) == (stage == "aborted")
    assert bool(members(standing)) == (stage == "paused")


def test_too_little_evidence_soaks_on_then_pauses_unless_approved() -> None:
    standing = ticked(planned(), T0)
    standing = ticked(standing, T0 + 700_000, "unsure")
    assert going(standing).stage == "soaking"
    assert "for want of evidence: 0 of 1 devices online have answered" in going(standing).reason
    approved = moved(standing, orders.approve(going(standing)), T0 + 800_000)
    assert going(ticked(approved, T0 + 800_000, "unsure")).wave == 2
    late = ticked(standing, T0 + 86_400_000, "unsure")
    assert going(late).stage == "paused"
    assert "still too little evidence" in going(late).reason


def test_approval() -> None:
    standing = ticked(planned(approval="each_wave"), T0)
    assert going(standing).stage == "waiting_approval"
    assert going(standing).reason == "wave 1 of 3 waits for approval"
    standing = moved(standing, orders.approve(going(standing)), T0)
    with pytest.raises(NothingToDo, match="wave 1 of rollout .* is approved already"):
        orders.approve(going(standing))
    standing = run(standing, T0 + 1)
    assert (going(standing).stage, going(standing).wave) == ("waiting_approval", 1)
    assert going(ticked(standing, T0 + 5 * HOUR, "bad")).stage == "paused", "it is watched while it waits"


def test_times_windows_and_rates() -> None:
    state = going(planned())
    at = {"not_before": msgspec.convert("2027-02-01T00:00:00Z", type=Any)}
    plan = msgspec.convert({**msgspec.to_builtins(state.plan), **at}, Plan)
    waiting, reason = step(replace(state, plan=plan), facts(state), T0)
    assert waiting.wave == 0
    assert reason == "wave 1 is not reached before 2027-02-01 00:00:00 UTC"
    plan = msgspec.convert({**msgspec.to_builtins(state.plan), "not_after": "2027-01-01T00:00:00Z"}, Plan)
    assert step(replace(state, plan=plan), facts(state), T0)[0].stage == "paused"
    assert step(state, facts(state, window_open=False), T0)[1] == "wave 1 waits for its maintenance window"
    assert step(state, facts(state, "none"), T0)[1] == "the fleet is looked at once before the first wave"
    ended = replace(state, new=replace(NEW, not_after_ms=T0))
    assert step(ended, facts(state), T0)[0].stage == "aborted"
    limited = run(planned(waves_per_hour=1), T0)
    assert going(limited).wave == 1
    assert going(limited).reason == "wave 2 waits: 1 an hour at the most"


def test_stale_evidence_is_not_believed() -> None:
    standing = ticked(planned(), T0)
    state = going(standing)
    stale = facts(replace(state, since_ms=T0 - 1), "bad")
    assert step(state, stale, T0 + HOUR)[0].stage == "soaking"


def test_standing_orders() -> None:
    standing = first("f", OLD, 0, T0)
    assert standing.revision == T0 // 1000
    assert first("f", OLD, 2 * T0, T0).revision == 2 * T0 + 1, "above what was known, whatever the clock"
    with pytest.raises(NothingToDo, match="nothing was in force before"):
        rolled_back(standing, "", T0)
    with pytest.raises(NothingToDo, match="in force already"):
        put(standing, OLD, T0)
    with pytest.raises(NothingToDo, match="in force already"):
        begin(standing, OLD, Plan(), T0)
    after = put(standing, NEW, T0)
    assert after.revision == standing.revision + 1
    assert rolled_back(after, "", T0).content == OLD
    live = planned()
    with pytest.raises(ValueError, match=r"rollout winter-\d+ is on its way \(planned\): abort it first"):
        put(live, OLD, T0)
    assert going(rolled_back(ticked(live, T0), "why", T0)).reason.startswith("aborted by the operator: why")
    key = TrustedKey(id="k", public="A" * 44)
    assert carrying(standing, Attached(keys=[key]), T0).revision > standing.revision


# The gates.

day = Tally(joules=1000.0, requests=10_000, violating_ms=0, judged_ms=3_600_000)


def device(name: str, *, reached: bool, worse: float = 1.0, **changes: Any) -> Seen:
    after = replace(day, joules=1000.0 * worse)
    return Seen(
        device=name,
        reached=reached,
        answered=True,
        before=day,
        after=after,
        p95_ms=30.0,
        skill=0.4,
        **changes,
    )


EVEN = Reading(devices=1, p95_ms=30.0, skill=0.4)
BEFORE = Contrast(reached=EVEN, rest=EVEN)


def test_what_happens_to_the_whole_fleet_is_not_blamed_on_the_rules() -> None:
    hot = [device("a", reached=True, worse=1.5), device("b", reached=False, worse=1.5)]
    assert judge(Gates(), hot, BEFORE).failed == []
    own = [device("a", reached=True, worse=1.5), device("b", reached=False)]
    assert judge(Gates(), own, BEFORE).failed == ["joules per request +50 % is beyond the gate of +10 %"]
    alone = [device("a", reached=True, worse=1.5)]
    assert judge(Gates(), alone, BEFORE).failed, "with nobody to compare with, with itself before"


@pytest.mark.parametrize(
    ("changed", "clause"),
    [
        ({"p95_ms": 60.0}, "p95 +100 % is beyond the gate of +25 %"),
        ({"skill": 0.1}, "loss of forecast skill +0.3 is beyond the gate of +0.05"),
        ({"refused": True}, "refusals +100 % is beyond the gate of +2 %"),
        ({"online": False}, "offline devices +100 % is beyond the gate of +5 %"),
        ({"after": replace(day, violating_ms=360_000)}, "broken promise +10 % is beyond the gate of +1 %"),
    ],
)
def test_every_gate_fails_by_itself(changed: dict[str, Any], clause: str) -> None:
    seen = [replace(device("a", reached=True), **changed), device("b", reached=False)]
    assert judge(Gates(), seen, BEFORE).failed == [clause]
    off = Gates(
        joules_per_request=None, p95_ms=None, violating_share=None, refused_share=None,
        offline_share=None, forecast_skill=None,
    )  # fmt: skip
    assert judge(off, seen, BEFORE).failed == []


def test_too_little_evidence_is_neither_good_nor_bad() -> None:
    few = replace(day, requests=10)
    seen = [replace(device("a", reached=True), after=few), device("b", reached=False)]
    assert judge(Gates(), seen, BEFORE).unsure == [
        "joules per request: 10 requests to compare, 1000 are asked"
    ]
    blind = [replace(device("a", reached=True), after=replace(day, judged_ms=0)), device("b", reached=False)]
    assert "too little judged time" in judge(Gates(), blind, BEFORE).unsure[0]
    unmeasured = [replace(device("a", reached=True), after=replace(day, joules=None))]
    assert "0 requests to compare" in judge(Gates(), unmeasured, BEFORE).unsure[0]
    assert judge(Gates(), [device("b", reached=False)], BEFORE).unsure == [
        "none of the known devices is in the waves reached"
    ]
    silent = [replace(device("a", reached=True), answered=False, p95_ms=None, skill=None)]
    assert len(judge(Gates(), silent, BEFORE).unsure) == 3
    unknown = Contrast()
    assert judge(Gates(), [replace(device("a", reached=True), p95_ms=None)], unknown).unsure == []


@given(st.floats(0.5, 2.0), st.floats(0.5, 2.0), st.integers(1, 20), st.integers(0, 20))
def test_the_same_change_in_both_groups_is_none(common: float, own: float, some: int, others: int) -> None:
    seen = [device(f"a{i}", reached=True, worse=common * own) for i in range(some)]
    seen += [device(f"b{i}", reached=False, worse=common) for i in range(others)]
    excess = own if others else common * own
    failed = judge(Gates(), seen, BEFORE).failed
    assert bool(failed) == (excess - 1.0 > 0.1 + 1e-9) or abs(excess - 1.1) < 1e-6
