"""Who is in a rollout: stable, even, nested, and never taken out by a further wave."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from tidewatt_governor.policy import fits, member, resolve, share
from tidewatt_wire.messages import Policy, PolicySet, Rollout, Rule, Wave

EXAMPLES = settings(max_examples=300)
names = st.text("abcdef0123456789.-", min_size=1, max_size=20)
labels = st.dictionaries(st.sampled_from(["site", "tier"]), st.sampled_from(["a", "b"]))
waves = st.lists(st.builds(Wave, percent=st.floats(0, 100), match=labels), max_size=5)
OLD, NEW = Policy(slo_p95_ms=80.0), Policy(slo_p95_ms=40.0)


def rollout(reached: list[Wave], name: str = "r") -> Rollout:
    return Rollout(id=name, rules=[Rule(policy=NEW)], waves=reached)


def test_a_share_is_what_the_contract_says() -> None:
    digest = hashlib.sha256(b"spring\0jetson-01").digest()
    assert abs(share("jetson-01", "spring") - int.from_bytes(digest[:8], "big") / 2**64) < 1e-15


@EXAMPLES
@given(names, names)
def test_a_share_lies_from_0_to_below_1_and_stays(device: str, name: str) -> None:
    assert 0.0 <= share(device, name) < 1.0
    assert share(device, name) == share(device, name)


def test_shares_are_even_and_differ_from_rollout_to_rollout() -> None:
    devices = [f"jetson-{number:05d}" for number in range(10_000)]
    for percent in (1, 10, 50, 90):
        counted = sum(member(rollout([Wave(percent=percent)]), device, {}) for device in devices)
        assert abs(counted - percent * 100) < 250, "five standard deviations of a fair coin"
    first = {device for device in devices if member(rollout([Wave(percent=10)], "one"), device, {})}
    other = {device for device in devices if member(rollout([Wave(percent=10)], "two"), device, {})}
    assert 50 < len(first & other) < 150, "another rollout begins with other devices"


@EXAMPLES
@given(names, labels, waves, st.builds(Wave, percent=st.floats(0, 100), match=labels))
def test_a_further_wave_takes_nobody_out(
    device: str, theirs: dict[str, str], reached: list[Wave], further: Wave
) -> None:
    before, after = rollout(reached), rollout([*reached, further])
    assert member(after, device, theirs) >= member(before, device, theirs)


@EXAMPLES
@given(names, labels, st.floats(0, 100), st.floats(0, 100))
def test_waves_nest(device: str, theirs: dict[str, str], one: float, other: float) -> None:
    small, large = (rollout([Wave(percent=percent)]) for percent in sorted((one, other)))
    assert member(small, device, theirs) <= member(large, device, theirs)


@EXAMPLES
@given(names, labels)
def test_0_percent_is_nobody_and_100_everybody(device: str, theirs: dict[str, str]) -> None:
    assert not member(rollout([]), device, theirs)
    assert not member(rollout([Wave(percent=0)]), device, theirs)
    assert member(rollout([Wave(percent=100)]), device, theirs)


def test_a_wave_may_be_for_a_label_only() -> None:
    canaries = rollout([Wave(percent=100, match={"tier": "canary"})])
    assert member(canaries, "d", {"tier": "canary", "site": "x"})
    assert not member(canaries, "d", {"tier": "gold"})
    assert not member(canaries, "d", {})


def test_members_are_under_the_rollouts_rules_and_others_under_the_sets() -> None:
    held = PolicySet(
        fleet="f",
        revision=1,
        issued_at_ms=0,
        rules=[Rule(policy=OLD)],
        rollout=rollout([Wave(percent=30)]),
    )
    for device in map(str, range(200)):
        assert held.rollout
        inside = member(held.rollout, device, {})
        assert resolve(held, device, {}) == (NEW if inside else OLD)


def test_every_selector_that_is_given_must_fit() -> None:
    rule = Rule(match={"tier": "gold"}, sites=["a", "b"], devices=["d1"])
    theirs = {"tier": "gold", "site": "b"}
    assert fits(rule, "d1", theirs)
    assert not fits(rule, "d2", theirs)
    assert not fits(rule, "d1", {"tier": "gold", "site": "c"})
    assert not fits(rule, "d1", {"tier": "gold"})
    assert not fits(rule, "d1", {"site": "a"})
    assert fits(Rule(), "anything", {})


def test_the_first_rule_that_fits_holds_and_none_is_the_built_in() -> None:
    rules = [Rule(devices=["d1"], policy=NEW), Rule(sites=["a"], policy=OLD)]
    held = PolicySet(fleet="f", revision=1, issued_at_ms=0, rules=rules)
    assert resolve(held, "d1", {"site": "a"}) == NEW
    assert resolve(held, "d2", {"site": "a"}) == OLD
    assert resolve(held, "d2", {"site": "b"}) == Policy()
