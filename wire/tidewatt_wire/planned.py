"""What the fleet's plan asks of one board: to stand at a point at least, for a while.

A hint is a hint: it only raises, within the board's policy and its own limits (docs/decisions/0028, 0032). It
is signed as policies are, as a forged one could waste power or keep a board from its margin.
"""

from tidewatt_wire.messages import Count, Identifier, Message, UnixMs


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
