"""What new rules would change, for which of the known devices, key by key. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tidewatt_governor.policy import resolve
from tidewatt_wire.messages import Policy, PolicySet, Rule


class Change(msgspec.Struct, frozen=True):
    """The same change of policy, and the devices that it happens to."""

    keys: dict[str, tuple[object, object]]
    """By key: as it is, as it would be."""
    devices: list[str]


def changes(
    now: PolicySet, rules: Sequence[Rule], devices: Iterable[tuple[str, Mapping[str, str]]]
) -> list[Change]:
    """The changes, those of most devices first. `devices`: id and labels."""
    then = msgspec.structs.replace(now, rules=list(rules), rollout=None)
    found: dict[bytes, tuple[dict[str, tuple[object, object]], list[str]]] = {}
    for device, labels in devices:
        keys = _differing(resolve(now, device, labels), resolve(then, device, labels))
        if keys:
            found.setdefault(msgspec.json.encode(keys, order="sorted"), (keys, []))[1].append(device)
    return sorted((Change(keys, names) for keys, names in found.values()), key=lambda one: -len(one.devices))


def _differing(was: Policy, will: Policy) -> dict[str, tuple[object, object]]:
    before, after = msgspec.to_builtins(was), msgspec.to_builtins(will)
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def lines(found: Sequence[Change], known: int) -> list[str]:
    """The changes as people read them."""
    touched = sum(len(change.devices) for change in found)
    told = [f"{touched} of {known} known devices change"]
    for change in found:
        told.append(f"{_names(change.devices)}:")
        told += [f"  {key}: {_value(was)} -> {_value(will)}" for key, (was, will) in change.keys.items()]
    return told


def _names(devices: Sequence[str], most: int = 5) -> str:
    more = f" and {len(devices) - most} more" if len(devices) > most else ""
    return ", ".join(devices[:most]) + more


def _value(value: object) -> str:
    return "none" if value is None else msgspec.json.encode(value).decode()
