"""Hints: the fleet's planner asks a device to stand at a point at least, for a while. Pure.

A hint can only raise a board: traffic is on its way that the device can't see yet. Sinking stays with the
device's own reactive rule, which sees what really comes; a hint of less simply raises nothing.
"""

import msgspec


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """Stand at `point` or above it until `until_s` (monotonic seconds), as `reason` says."""

    point: str
    until_s: float
    reason: str
