"""What the fleet's plan asks of one board: to stand at a point at least, for a while.

A hint is a hint: it only raises, within the board's policy and its own limits (docs/decisions/0028, 0032). It
is signed as policies are, as a forged one could waste power or keep a board from its margin.
"""

import msgspec

from tidewatt_wire.messages import Count, Identifier, Message, NonNegative, UnixMs


class EnoughAt(msgspec.Struct, frozen=True, kw_only=True):
    """While the board's own rate was at most `most_rps` in the last minute, `point` carries the plan."""

    most_rps: NonNegative | None
    """Null: whatever it was."""
    point: Identifier


class PlanHint(Message, frozen=True, kw_only=True):
    """Stand at `point` or above it. Retained; void from `expires_at_ms` on."""

    fleet: Identifier
    device: Identifier
    plan: Count
    """The plan that asks: its minute since 1970 UTC."""
    issued_at_ms: UnixMs
    expires_at_ms: UnixMs
    point: Identifier
    guarded: bool = False
    """Whether the plan has the margin for what may come. While it stands the board needs none of its own
    beyond its headroom: no tail guard, and the demand of the last minute."""
    reason: str = ""
    enough: list[EnoughAt] | msgspec.UnsetType = msgspec.UNSET
    """By rising rate, for a planner whose telemetry is older than the board's own. Of a board that saw more
    than all of them `point` is asked."""
