"""Who may sleep, by whose word and for how long; and what is counted of it: rules that need no board."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.napping import GOOD, IDENTITY, NOW_MS, facts_of, hint_of
from tests.sealing import FLEETS_KEY, FOREIGN_KEY

from tidewatt_agent.actuator.nap import SHORTEST_NAP_S
from tidewatt_agent.counters import Tally, add_nap, add_power, add_tick
from tidewatt_agent.sleeping.hints import Hints
from tidewatt_agent.sleeping.judge import Facts, clocks_differ, lead_s, nap_s, needed, unable
from tidewatt_agent.sleeping.verdict import Identity, disqualified, load, obstacle, save
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import MaintenanceWindow, Policy, SleepLimits
from tidewatt_wire.signing import HINT_TYPE, PAYLOAD_TYPE, seal

ALL_DAY = MaintenanceWindow(start="00:00", minutes=1440)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (facts_of(leases=["7W or more: batch"]), "an application holds 7W or more: batch"),
        (facts_of(requests_rps=None), "the load is not known"),
        (facts_of(requests_rps=0.5), "it still serves 0.5 requests/s"),
        (facts_of(outcome="reboot_planned"), "a reboot is planned or has just been"),
        (facts_of(Policy(sleep=SleepLimits(), maintenance=ALL_DAY)), "a maintenance window is open"),
        (facts_of(), ""),
    ],
)
def test_who_needs_the_board_is_named(facts: Facts, why: str) -> None:
    assert needed(facts, hint_of(), 30.0) == why


def test_who_may_not_sleep_at_all_is_told_why() -> None:
    assert unable(facts_of(), "") == ""
    assert unable(facts_of(Policy()), "") == "the policy allows no sleep"
    assert unable(facts_of(acts=False), "") == "the agent only observes this board"
    assert unable(facts_of(), "disqualified: late") == "disqualified: late"


@given(st.floats(30.0, 86_400.0), st.floats(-1e5, 1e5), st.one_of(st.none(), st.floats(0.0, 600.0)))
def test_a_nap_ends_before_the_longest_and_in_time_to_serve(
    longest_s: float, serve_in_s: float, resume_s: float | None
) -> None:
    policy = Policy(sleep=SleepLimits(longest_nap_s=longest_s))
    hint, lead = hint_of(0.0, serve_at_ms=max(0, NOW_MS + round(serve_in_s * 1000))), lead_s(resume_s)
    for_s = nap_s(policy, hint, NOW_MS, lead)
    assert 0.0 <= for_s <= longest_s
    assert for_s == 0.0 or for_s + (resume_s or 0.0) < serve_in_s + 0.001
    too_short = "too short" in needed(facts_of(policy), hint, lead)
    assert too_short == (for_s < SHORTEST_NAP_S)


def test_a_clock_that_is_about_to_be_set_is_not_trusted() -> None:
    assert clocks_differ(NOW_MS // 1000 + 30, NOW_MS) == ""
    assert "can't be read" in clocks_differ(None, NOW_MS)
    assert "s off" in clocks_differ(100, NOW_MS)


def test_a_verdict_is_about_one_kernel_jetpack_and_application(tmp_path: Path) -> None:
    assert "not qualified" in obstacle(None, IDENTITY)
    assert obstacle(GOOD, IDENTITY) == ""
    for name in ("kernel", "jetpack", "application"):
        changed = Identity(**{"kernel": "5.15", "jetpack": "R36", "application": "v1", name: "other"})
        assert f"its {name} changed" in obstacle(GOOD, changed)
    late = disqualified(GOOD, "it woke 300 s after its alarm", 5)
    assert obstacle(late, IDENTITY) == "disqualified: it woke 300 s after its alarm"
    save(tmp_path / "v", late)
    assert load(tmp_path / "v") == late
    (tmp_path / "v").write_bytes(b"{")
    assert load(tmp_path / "v") is None
    assert load(tmp_path / "none") is None


def test_only_a_trusted_hint_for_this_device_counts() -> None:
    hints = Hints("f", "d", lambda: [FLEETS_KEY.trusted])
    good = seal(encode(hint_of()), [FLEETS_KEY], HINT_TYPE)
    refused = [
        b"{}",
        encode(hint_of()),
        seal(encode(hint_of()), [FOREIGN_KEY], HINT_TYPE),
        seal(encode(hint_of()), [FLEETS_KEY], PAYLOAD_TYPE),
        seal(encode(hint_of(device="other")), [FLEETS_KEY], HINT_TYPE),
        seal(b'{"schema": "1.2"}', [FLEETS_KEY], HINT_TYPE),
    ]
    for payload in refused:
        hints.take(payload)
    assert (hints.refused, hints.at(NOW_MS)) == (len(refused), None)
    hints.take(good)
    hints.take(seal(encode(hint_of(issued_at_ms=NOW_MS - 1)), [FLEETS_KEY], HINT_TYPE))
    assert hints.at(NOW_MS) == hint_of(), "an older one changes nothing"
    assert hints.at(NOW_MS + 10**9) is None, "it expires"
    hints.forget()
    assert hints.at(NOW_MS) is None
    hints.take(seal(encode(hint_of(issued_at_ms=NOW_MS - 1)), [FLEETS_KEY], HINT_TYPE))
    assert hints.at(NOW_MS) is None, "an older one is none after a nap either"
    hints.take(good)
    assert hints.at(NOW_MS) == hint_of(), "the broker still holds it"
    hints.take(b"")
    assert hints.at(NOW_MS) is None


@given(st.lists(st.tuples(st.floats(0.0, 1e5), st.one_of(st.none(), st.floats(0.0, 50.0))), max_size=5))
def test_time_asleep_is_counted_once_and_its_energy_apart(naps: list[tuple[float, float | None]]) -> None:
    tally, now_s = add_power(Tally(), 5.0, 0.0, 10.0), 0.0
    for asleep_s, watts in naps:
        before, had_mj = tally.counters, tally.counters.energy_mj + tally.energy_rest_mj
        now_s += 1.0
        tally = add_tick(tally, point="7W", elapsed_ms=1000, load=None, violating=None, switched=False)
        tally = add_power(tally, 5.0, now_s, 10.0)
        now_s += asleep_s
        tally = add_nap(tally, asleep_s, watts, now_s)
        has_mj = tally.counters.energy_mj + tally.energy_rest_mj
        assert has_mj == pytest.approx(had_mj + 5000.0, abs=1e-3), "what was measured, and nothing else"
        unmeasured = tally.counters.unmeasured_ms - before.unmeasured_ms
        assert unmeasured == (round(asleep_s * 1000) if watts is None else 0)
    total = sum(round(asleep_s * 1000) for asleep_s, _ in naps)
    assert tally.counters.mode_ms.get("asleep", 0) == total
    estimate = sum(asleep_s * (watts or 0.0) * 1000 for asleep_s, watts in naps)
    assert tally.counters.asleep_mj == pytest.approx(estimate, abs=len(naps))
