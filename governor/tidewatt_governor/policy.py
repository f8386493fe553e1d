"""Which rule of a policy set holds for a device."""

from collections.abc import Mapping

from tidewatt_wire.messages import Policy, PolicySet


def resolve(policies: PolicySet, labels: Mapping[str, str]) -> Policy:
    """The policy of the first rule whose labels all match; the built-in default if none does."""
    for rule in policies.rules:
        if rule.match.items() <= labels.items():
            return rule.policy
    return Policy()
