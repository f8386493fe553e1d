"""Which rule of a policy set holds for a device, and which operating points it leaves."""

import re
from collections.abc import Mapping, Sequence

from tidewatt_governor.points import find, watts_at
from tidewatt_wire.messages import OperatingPoint, Policy, PolicySet

#: The watts in a mode's name: 15W, MODE_30W, 10W_2CORE.
_LABEL = re.compile(r"(?<![0-9.])(\d{1,4})W(?![A-Za-z0-9])", re.ASCII)


def resolve(policies: PolicySet, labels: Mapping[str, str]) -> Policy:
    """The policy of the first rule whose labels all match; the built-in default if none does."""
    for rule in policies.rules:
        if rule.match.items() <= labels.items():
            return rule.policy
    return Policy()


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
