"""A device takes good policy sets and answers bad ones; the last good one stays, over restarts too."""

import asyncio
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sealing import FLEETS_KEY, FOREIGN_KEY, NEXT_KEY, sealed_rules

from tidewatt_agent.answers import Answers
from tidewatt_agent.config import Link
from tidewatt_agent.policies import Policies
from tidewatt_agent.policyfile import PolicyFile, configured_keys
from tidewatt_wire.messages import Ack, MaintenanceWindow, Policy, Rollout, Rule, TrustedKey, Wave
from tidewatt_wire.signing import MAX_ENVELOPE_BYTES, seal

TRUST = [FLEETS_KEY.trusted]


def rules(slo: float = 40.0, **rest: object) -> list[Rule]:
    return [Rule(match={"site": "a"}, policy=Policy(slo_p95_ms=slo, **rest))]  # type: ignore[arg-type]


def device(file: Path | None = None, keys: list[TrustedKey] | None = None) -> Policies:
    found = Policies("f", "dev", {"site": "a"}, TRUST if keys is None else keys, PolicyFile(file))
    found.load()
    return found


def told(policies: Policies) -> list[Ack]:
    """The acks that wait, taken away."""
    waiting = list(policies.acks._waiting)
    policies.acks._waiting.clear()
    return waiting


def words(policies: Policies) -> list[str]:
    return [f"{ack.status} {ack.revision}" for ack in told(policies)]


async def test_accepted_and_then_applied_by_the_first_tick() -> None:
    policies = device()
    assert policies.at(0) == Policy()
    await policies.offer(sealed_rules(3, rules()), 17)
    assert policies.at(18).slo_p95_ms == 40.0
    assert [(ack.status, ack.revision, ack.at_ms) for ack in told(policies)] == [("accepted", 3, 17)]
    policies.decided(3, 19, needs_reboot=False)
    policies.decided(3, 20, needs_reboot=True)
    policies.decided(2, 21, needs_reboot=False)
    assert words(policies) == ["applied 3"], "and only once, however many ticks follow"


async def test_what_needs_a_reboot_is_pending_until_it_no_longer_does() -> None:
    policies = device()
    await policies.offer(sealed_rules(3, rules()), 0)
    for needs_reboot in (True, True, False, False):
        policies.decided(3, 1, needs_reboot=needs_reboot)
    assert words(policies) == ["accepted 3", "pending_reboot 3", "applied 3"]


async def test_one_that_was_replaced_before_it_was_applied_is_superseded() -> None:
    policies = device()
    await policies.offer(sealed_rules(3, rules()), 0)
    await policies.offer(sealed_rules(4, rules(30.0)), 0)
    policies.decided(3, 1, needs_reboot=False)
    policies.decided(4, 1, needs_reboot=False)
    await policies.offer(sealed_rules(5, rules(20.0)), 0)
    assert words(policies) == ["accepted 3", "superseded 3", "accepted 4", "applied 4", "accepted 5"]
    assert policies.at(2).slo_p95_ms == 20.0


async def test_the_one_in_force_needs_no_answer_but_takes_a_refusal_back() -> None:
    policies = device()
    await policies.offer(sealed_rules(3, rules()), 0)
    policies.decided(3, 1, needs_reboot=False)
    await policies.offer(sealed_rules(3, rules()), 2)
    await policies.offer(b"{}", 3)
    assert policies.refusal
    await policies.offer(sealed_rules(3, rules()), 4)
    assert words(policies) == ["accepted 3", "applied 3", "refused 3", "applied 3"]
    assert policies.refusal is None


async def test_a_field_from_a_later_minor_version_is_ignored() -> None:
    policies = device()
    payload = b'{"schema":"1.9","fleet":"f","revision":3,"issued_at_ms":0,"rules":[],"from_the_future":1}'
    await policies.offer(seal(payload, [FLEETS_KEY]), 0)
    assert policies.revision == 3


NOWHERE = [
    Rule(policy=Policy(quiet_hours=[MaintenanceWindow(start="00:00", minutes=1, zone="Nowhere/Land")]))
]
REFUSALS = [
    ("too_big", b"x" * (MAX_ENVELOPE_BYTES + 1), "an envelope of"),
    ("malformed", b"{}", "not a signed envelope"),
    ("malformed", seal(b"{}", [FLEETS_KEY]), "malformed: PolicySet is not a JSON message"),
    ("malformed", seal(b'{"schema":"2.0"}', [FLEETS_KEY]), "unknown_major: PolicySet has schema '2.0'"),
    ("malformed", seal(b'{"schema":"1.2"}', [FLEETS_KEY]), "invalid: PolicySet is invalid"),
    ("unknown_key", sealed_rules(9, rules(), [FOREIGN_KEY]), f"this device trusts {FLEETS_KEY.id}"),
    ("bad_signature", sealed_rules(9, rules()).replace(b'"sig":"', b'"sig":"A'), "not by that key"),
    ("wrong_fleet", sealed_rules(9, rules(), fleet="g"), "it is for fleet 'g', this is 'f'"),
    ("older_revision", sealed_rules(2, rules(), not_before_ms=10**6), "older than revision 3"),
    ("not_yet", sealed_rules(9, rules(), not_before_ms=61_000, not_after_ms=0), "holds 60 s from now"),
    ("expired", sealed_rules(9, NOWHERE, not_after_ms=1), "its time was over before it came"),
    ("unusable", sealed_rules(9, NOWHERE), "no time zone 'Nowhere/Land' is known"),
    ("unusable", sealed_rules(9, rules(), keys=[NEXT_KEY.trusted]), "would be locked out"),
    ("unusable", sealed_rules(9, rules(), keys=[TrustedKey(id="k", public="!" * 44)]), "is no public key"),
]


@pytest.mark.parametrize(("code", "envelope", "reason"), REFUSALS)
async def test_refused_with_code_and_reason_and_the_last_good_stays(
    code: str, envelope: bytes, reason: str, tmp_path: Path
) -> None:
    policies = device(tmp_path / "policy.json")
    await policies.offer(sealed_rules(3, rules()), 0)
    policies.decided(3, 0, needs_reboot=False)
    told(policies)
    await policies.offer(envelope, 1000)
    (ack,) = told(policies)
    assert (ack.status, ack.code) == ("refused", code)
    assert reason in ack.reason
    assert policies.refused == {code: 1}
    assert policies.refusal == ack
    assert (policies.revision, policies.at(1000).slo_p95_ms) == (3, 40.0)
    assert device(tmp_path / "policy.json").policy.slo_p95_ms == 40.0


async def test_a_device_without_a_key_refuses_every_set() -> None:
    policies = device(keys=[])
    await policies.offer(sealed_rules(3, rules()), 0)
    assert [ack.code for ack in told(policies)] == ["unknown_key"]
    assert "trusts no key at all" in (policies.refusal.reason if policies.refusal else "")


async def test_one_that_begins_later_waits_for_its_time(tmp_path: Path) -> None:
    policies = device(tmp_path / "policy.json")
    await policies.offer(sealed_rules(3, rules()), 0)
    policies.decided(3, 0, needs_reboot=False)
    await policies.offer(sealed_rules(4, rules(30.0), not_before_ms=5000), 0)
    assert policies.at(4999).slo_p95_ms == 40.0
    again = device(tmp_path / "policy.json")
    assert again.at(4999).slo_p95_ms == 40.0
    for one in (policies, again):
        assert one.at(5000).slo_p95_ms == 30.0
        assert one.revision == 4
    assert words(policies) == ["accepted 3", "applied 3", "refused 4", "accepted 4"]


async def test_an_older_one_does_not_take_the_place_of_the_one_that_waits() -> None:
    policies = device()
    await policies.offer(sealed_rules(4, rules(30.0), not_before_ms=5000), 0)
    await policies.offer(sealed_rules(3, rules()), 0)
    assert [ack.code for ack in told(policies)] == ["not_yet", "older_revision"]
    await policies.offer(sealed_rules(5, rules(20.0)), 0)
    assert policies.at(5000).slo_p95_ms == 20.0, "a newer one does"


async def test_one_whose_time_is_over_when_its_turn_comes_is_refused() -> None:
    policies = device()
    await policies.offer(sealed_rules(4, rules(), not_before_ms=5000, not_after_ms=6000), 0)
    assert policies.at(7000) == Policy()
    assert [ack.code for ack in told(policies)] == ["not_yet", "expired"]


async def test_past_its_time_it_decays_says_so_once_and_a_newer_one_heals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    policies = device(tmp_path / "policy.json")
    await policies.offer(sealed_rules(3, rules(), not_after_ms=5000), 0)
    policies.decided(3, 0, needs_reboot=False)
    told(policies)
    assert policies.at(4999).slo_p95_ms == 40.0
    caplog.clear()
    for at_ms in (5000, 5001, 5002):
        assert policies.at(at_ms) == Policy()
        policies.decided(3, at_ms, needs_reboot=False)
    assert [(ack.status, ack.code) for ack in told(policies)] == [("refused", "expired")]
    assert len(caplog.records) == 1
    again = device(tmp_path / "policy.json")
    assert again.at(6000) == Policy(), "a restart doesn't bring it back"
    await policies.offer(sealed_rules(4, rules(30.0)), 7000)
    assert policies.at(7000).slo_p95_ms == 30.0
    assert words(policies) == ["accepted 4"]


async def test_a_clock_set_back_brings_it_back() -> None:
    policies = device()
    await policies.offer(sealed_rules(3, rules(), not_after_ms=5000), 0)
    assert policies.at(6000) == Policy()
    assert policies.at(1000).slo_p95_ms == 40.0
    policies.decided(3, 1000, needs_reboot=False)
    assert words(policies)[-1] == "applied 3"


async def test_the_last_good_one_is_on_the_disk_and_verified_again(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    policies = device(path)
    await policies.offer(sealed_rules(3, rules()), 0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = device(path)
    assert (again.revision, again.at(1).slo_p95_ms) == (3, 40.0)
    again.decided(3, 2, needs_reboot=False)
    assert words(again) == ["applied 3"], "said again: the broker may have forgotten"
    await again.offer(sealed_rules(2, rules()), 3)
    assert again.refused == {"older_revision": 1}, "what is older stays older over a restart"


async def test_a_file_that_was_tampered_with_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    await device(path).offer(sealed_rules(3, rules()), 0)
    good = path.read_bytes()
    bad_key = good.replace(FLEETS_KEY.trusted.public.encode(), b"!" * 44).replace(
        b'"configured":["' + b"!" * 44, b'"configured":["' + FLEETS_KEY.trusted.public.encode()
    )
    for spoiled in (good[:50], b"", good.replace(b'"current":"ey', b'"current":"eX'), b"\xff", bad_key):
        path.write_bytes(spoiled)
        policies = device(path)
        assert (policies.revision, policies.at(0)) == (0, Policy())
        await policies.offer(sealed_rules(4, rules()), 0)
        assert policies.revision == 4


async def test_a_disk_that_fails_costs_the_outliving_not_the_policy(tmp_path: Path) -> None:
    policies = device(tmp_path / "missing" / "policy.json")
    await policies.offer(sealed_rules(3, rules()), 0)
    (ack,) = told(policies)
    assert ack.status == "accepted"
    assert "does not outlive a restart" in ack.reason
    assert policies.at(0).slo_p95_ms == 40.0


async def test_a_key_is_rotated_without_a_hand_on_the_device(tmp_path: Path) -> None:
    path, both = tmp_path / "policy.json", [FLEETS_KEY, NEXT_KEY]
    overlap = sealed_rules(4, rules(), both, keys=[key.trusted for key in both])
    policies = device(path)
    await policies.offer(overlap, 0)
    await policies.offer(sealed_rules(5, rules(30.0), [NEXT_KEY], keys=[NEXT_KEY.trusted]), 0)
    for one in (policies, device(path)):
        assert one.revision == 5
        await one.offer(sealed_rules(6, rules(), [FLEETS_KEY]), 0)
        assert one.refused == {"unknown_key": 1}, "the old key is worth nothing any more"
        await one.offer(sealed_rules(6, rules(20.0), [NEXT_KEY]), 0)
        assert one.at(0).slo_p95_ms == 20.0


async def test_who_configures_other_keys_sets_the_trust_anew(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    await device(path).offer(sealed_rules(2**53, rules(), keys=[FLEETS_KEY.trusted]), 0)
    rescued = device(path, keys=[NEXT_KEY.trusted])
    assert rescued.revision == 0
    await rescued.offer(sealed_rules(4, rules(), [NEXT_KEY]), 0)
    assert rescued.revision == 4


async def test_a_rollout_is_told_with_the_answer() -> None:
    new = Rollout(id="spring", rules=rules(25.0), waves=[Wave(percent=100, match={"site": "a"})])
    policies = device()
    await policies.offer(sealed_rules(3, rules(), rollout=new), 0)
    assert policies.at(0).slo_p95_ms == 25.0
    (ack,) = told(policies)
    assert (ack.rollout, ack.member) == ("spring", True)
    away = Rollout(id="summer", rules=rules(25.0), waves=[Wave(percent=100, match={"site": "b"})])
    await policies.offer(sealed_rules(4, rules(), rollout=away), 0)
    assert policies.at(0).slo_p95_ms == 40.0
    assert (policies.rollout, policies.member) == ("summer", False)


steps = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([0, 50, 90]), st.sampled_from([None, 40, 80])), max_size=8
)


@settings(max_examples=60)
@given(steps)
def test_whatever_comes_in_whatever_order_revisions_never_fall(offers: list[tuple[int, int, int]]) -> None:
    async def story() -> None:
        policies, newest, at_ms = device(), 0, 0
        for revision, begins, ends in offers:
            at_ms += 10
            await policies.offer(
                sealed_rules(revision, rules(), not_before_ms=begins, not_after_ms=ends), at_ms
            )
            policies.at(at_ms)
            assert policies.revision >= newest
            newest = policies.revision
        held = policies.accepted
        over = held is None or (held.not_after_ms is not None and held.not_after_ms <= at_ms)
        assert (policies.at(at_ms) == Policy()) == over

    asyncio.run(story())


def test_keys_come_from_the_configuration_and_its_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the fleet's\n{FLEETS_KEY.trusted.public}  # spring\n\n{NEXT_KEY.trusted.public}\n")
    link = Link(policy_keys=[FLEETS_KEY.trusted.public], policy_keys_file=str(file))
    assert configured_keys(link) == [FLEETS_KEY.trusted, NEXT_KEY.trusted]
    file.write_text("# one\nno key\n")
    with pytest.raises(ValueError, match="keys, line 2: 'no key' is no public key"):
        configured_keys(link)


async def test_the_answers_keep_order_forget_the_oldest_and_tell_the_newest_again() -> None:
    answers = Answers()
    answers.reconnected()
    acks = [Ack(device="d", revision=number, status="accepted", at_ms=0) for number in range(20)]
    waits = asyncio.create_task(answers.next())
    await asyncio.sleep(0)
    answers.put(acks[0])
    assert await waits is acks[0]
    answers.sent(acks[0])
    answers.reconnected()
    assert await answers.next() is acks[0], "the broker may have forgotten it"
    for ack in acks[1:]:
        answers.put(ack)
    assert (await answers.next()).revision == 4
    answers.sent(acks[0])
    assert (await answers.next()).revision == 4, "what was given up meanwhile takes no other with it"
