"""Who is in a rollout, and which rule holds for whom: as every device decides it for itself. Pure."""

import hashlib
from collections.abc import Mapping, Sequence

from tidewatt_coordinator.rollout.terms import PlannedWave
from tidewatt_wire.messages import Policy, PolicySet, Rule, Wave


def share(device: str, rollout: str) -> float:
    """Where in [0, 1) a device stands in a rollout: evenly spread, and anew with every rollout."""
    digest = hashlib.sha256(f"{rollout}\0{device}".encode()).digest()
    return float(int.from_bytes(digest[:8], "big")) / 2.0**64


def is_member(
    rollout: str, waves: Sequence[Wave | PlannedWave], device: str, labels: Mapping[str, str]
) -> bool:
    """Whether any of the waves reached includes the device."""
    place = share(device, rollout) * 100.0
    return any(place < wave.percent and wave.match.items() <= labels.items() for wave in waves)


def fits(rule: Rule, device: str, labels: Mapping[str, str]) -> bool:
    """Whether a rule is for this device: every selector that it gives must fit."""
    return (
        rule.match.items() <= labels.items()
        and (not rule.sites or labels.get("site") in rule.sites)
        and (not rule.devices or device in rule.devices)
    )


def rule_for(rules: Sequence[Rule], device: str, labels: Mapping[str, str]) -> Policy:
    """The policy of the first rule that fits; the built-in default if none does."""
    return next((rule.policy for rule in rules if fits(rule, device, labels)), Policy())


def policy_for(policies: PolicySet, device: str, labels: Mapping[str, str]) -> Policy:
    """The policy that a set means for a device."""
    rollout = policies.rollout
    if rollout and is_member(rollout.id, rollout.waves, device, labels):
        return rule_for(rollout.rules, device, labels)
    return rule_for(policies.rules, device, labels)
