"""What a planner goes by. One set of defaults, tuned on the 15 % of the traces before the last."""

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
#: `worth_rps` of a fleet of which some sleep, in minutes of its whole room: with fewer awake a minute beyond
#: their modes is likelier. Tuned on the 15 % of the traces before the last.
SLEEPERS_WORTH = 8.0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one fleet's planner."""

    tail_quantile: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.994
    """The guard is this quantile of by how much the fleet's demand lately exceeded what was expected."""
    worth_rps: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Instead of by the quantile, the margin is what it is worth, when a minute that is asked for too much is
    as bad as so many requests/s of room held for a minute: more where more is cheap."""
    least_margin: Annotated[float, msgspec.Meta(ge=0)] = 0.015
    """The guard is at least this. It may be less than the agents' own headroom: the strongest boards take
    what is more than expected first, and have nowhere to raise themselves to."""
    steady: Annotated[float, msgspec.Meta(gt=0)] = 0.05
    """A forecast's error is reckoned in its own spread (p99 less median) and this share of its median: what
    it knows of how uncertain a minute is counts, and what it doesn't know is not taken for nothing."""
    hold_min: Count = 3
    """Minutes for which capacity that was needed is kept: what bounds switches under noise."""
    switch_pause_s: Annotated[float, msgspec.Meta(ge=0, lt=60)] = 2.0
    """Seconds without service that a switch costs in its minute."""
    dearer: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.005
    """Share of its watts that a split may cost beyond the cheapest, so that no board raises itself for it."""
    blind_min: Count = 5
    """Telemetry older than this says nothing: every device stands at its strongest."""
    obey_min: Count = 4
    """Minutes in which a device is expected to be seen at its hint, beyond the age of what is seen."""
    stuck_min: Count = 30
    """Minutes for which a device that did not follow isn't counted on to."""
