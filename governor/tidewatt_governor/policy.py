"""Which rule of a policy set holds for a device, and which operating points it leaves."""

import hashlib
import re
from collections.abc import Mapping, Sequence

from tidewatt_governor.points import find, watts_at
from tidewatt_wire.messages import OperatingPoint, Policy, PolicySet, Rollout, Rule

#: The watts in a mode's name: 15W, MODE_30W, 10W_2CORE.
_LABEL = re.compile(r"(?<![0-9.])(\d{1,4})W(?![A-Za-z0-9])", re.ASCII)


def resolve(policies: PolicySet, device: str, labels: Mapping[str, str]) -> Policy:
    """The policy of the first rule that fits the device; the built-in default if none does.

    Where a wave of the set's rollout includes the device, the rollout's rules stand in the set's place.
    """
    rollout = policies.rollout
    rules = rollout.rules if rollout and member(rollout, device, labels) else policies.rules
    return next((rule.policy for rule in rules if fits(rule, device, labels)), Policy())


def fits(rule: Rule, device: str, labels: Mapping[str, str]) -> bool:
    """Whether every selector that the rule gives fits; a rule that gives none fits all."""
    return (
        rule.match.items() <= labels.items()
        and (not rule.sites or labels.get("site") in rule.sites)
        and (not rule.devices or device in rule.devices)
    )


def member(rollout: Rollout, device: str, labels: Mapping[str, str]) -> bool:
    """Whether one of the waves reached so far includes the device.

    A device's share is its own for the whole rollout: a further wave never takes a device out, and a
    wave of more percent holds all of one of fewer.
    """
    mine = share(device, rollout.id)
    return any(wave.match.items() <= labels.items() and mine < wave.percent / 100 for wave in rollout.waves)


def share(device: str, rollout_id: str) -> float:
    """The device's place in a rollout, 0 to below 1, as good as random from one rollout to the next.

    The first 8 bytes of sha256(rollout id, NUL, device), big-endian, over 2^64; of its 64 bits the first
    53, so that no rounding ever makes it 1 and a wave of 100 percent is everybody.
    """
    digest = hashlib.sha256(f"{rollout_id}\0{device}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def allowed(board: Sequence[OperatingPoint], policy: Policy) -> list[OperatingPoint]:
    """The points of a board (at least one) that the policy allows.

    A policy may name modes that this board does not have; one that leaves it none can't be obeyed, and the
    board is better governed than stuck. But a limit of watts is a limit: beyond it only the point with the
    fewest is left.
    """
    points = named(board, policy.mode) if policy.mode else list(board)
    points = points or list(board)
    if policy.allowed_points is not None:
        points = [point for point in points if point.name in policy.allowed_points] or points
    if policy.max_watts is not None:
        within = [point for point in points if most_watts(point) <= policy.max_watts]
        within = within or [point for point in board if most_watts(point) <= policy.max_watts]
        points = within or [min(board, key=most_watts)]
    return points


def named(board: Sequence[OperatingPoint], mode: str) -> list[OperatingPoint]:
    """The point of that name; else those whose name has the same watts: `30W` is MODE_30W, too."""
    point = find(board, mode)
    if point:
        return [point]
    watts = _LABEL.fullmatch(mode)
    return [one for one in board if watts and (label := _LABEL.search(one.name)) and label[1] == watts[1]]


def most_watts(point: OperatingPoint) -> float:
    """The watts that a mode is named for, else what it draws at full load by its model.

    The name's watts are what the vendor chose the caps for, not a metered limit.
    """
    label = _LABEL.search(point.name)
    return float(label[1]) if label else watts_at(point, point.capacity_rps)
