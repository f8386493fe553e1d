"""Board profiles: every shipped one is whole, and a broken one says what is missing."""

import pytest

from tidewatt_governor.boards import load_profile, parse_profile, shipped_profiles
from tidewatt_governor.policy import resolve
from tidewatt_wire.documents import DocumentError, to_toml
from tidewatt_wire.messages import Policy, PolicySet, Rule


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_profiles_read_back(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert parse_profile(to_toml(profile), name="again") == profile


def test_wrong_profiles_say_why() -> None:
    with pytest.raises(DocumentError, match="no board profile 'nano'; shipped ones: orin-nano-super"):
        load_profile("nano")
    text = to_toml(load_profile("orin-nano-super"))
    with pytest.raises(DocumentError, match="vendor_default '40W' is none of 15W, 25W"):
        parse_profile(text.replace('vendor_default = "25W"', 'vendor_default = "40W"'), name="x")
    with pytest.raises(DocumentError, match="distinct names"):
        parse_profile(text.replace('name = "15W"', 'name = "25W"'), name="x")
    with pytest.raises(DocumentError, match="caps are missing for 7W"):
        parse_profile(text.replace("[caps.7W]", "[caps.8W]"), name="x")


def test_the_first_rule_that_matches_holds() -> None:
    strict, loose = Policy(slo_p95_ms=20.0), Policy(slo_p95_ms=200.0)
    rules = [
        Rule(match={"site": "a", "tier": "gold"}, policy=strict),
        Rule(match={"site": "a"}, policy=loose),
    ]
    policies = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=rules)
    assert resolve(policies, "d", {"site": "a", "tier": "gold", "rack": "1"}) == strict
    assert resolve(policies, "d", {"site": "a"}) == loose
    assert resolve(policies, "d", {"site": "b"}) == Policy()
