"""A device takes good policy sets and answers bad ones; the last good one stays."""

import pytest

from tidewatt_agent.policies import Policies
from tidewatt_wire.codec import encode
from tidewatt_wire.messages import Policy, PolicySet, Rule


def policy_set(revision: int, slo: float = 40.0, fleet: str = "f") -> bytes:
    rules = [Rule(match={"site": "a"}, policy=Policy(slo_p95_ms=slo))]
    return encode(PolicySet(fleet=fleet, revision=revision, issued_at_ms=0, rules=rules))


@pytest.fixture
def policies() -> Policies:
    return Policies("f", "dev", {"site": "a"})


def test_applied_and_superseded(policies: Policies) -> None:
    assert policies.policy == Policy()
    ack = policies.offer(policy_set(3), 17)
    assert ack is not None
    assert (ack.status, ack.revision, ack.at_ms, policies.policy.slo_p95_ms) == ("applied", 3, 17, 40.0)
    assert policies.offer(policy_set(3), 18) is None, "the one in force needs no answer"
    policies.offer(policy_set(4, slo=30.0), 19)
    assert policies.policy.slo_p95_ms == 30.0


def test_a_field_from_a_later_minor_version_is_ignored(policies: Policies) -> None:
    policies.offer(policy_set(3).replace(b'"slo_p95_ms"', b'"from_the_future":1,"slo_p95_ms"'), 0)
    assert policies.policy.slo_p95_ms == 40.0


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (policy_set(2), "older than revision 3"),
        (policy_set(9, fleet="other"), "it is for fleet 'other', this is 'f'"),
        (b"{}", "malformed"),
        (policy_set(9).replace(b'"1.1"', b'"2.0"'), "unknown_major"),
        (policy_set(9).replace(b"40.0", b"-1"), "invalid"),
    ],
)
def test_refused_with_the_reason_and_the_last_good_stays(
    policies: Policies, payload: bytes, reason: str
) -> None:
    policies.offer(policy_set(3), 0)
    ack = policies.offer(payload, 1)
    assert ack is not None
    assert ack.status == "refused"
    assert reason in ack.reason
    assert (policies.revision, policies.policy.slo_p95_ms) == (3, 40.0)
