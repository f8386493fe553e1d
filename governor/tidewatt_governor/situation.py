"""What the world around a board says at the moment of a decision, beside its load. Pure values.

Missing is not zero: what isn't known is None, or absent, and binds nothing.
"""

import msgspec


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Optional inputs of one decision; without any the decision knows only the load."""

    watts: float | None = None
    """Measured board power now, in watts."""
    trim: str | None = None
    """The trim of the present point that the board was under when they were; None: uncapped."""
    temperature_c: float | None = None
    """The junction's temperature, in degrees C."""
    over_current: dict[str, float] = {}
    """Throttling events per second by channel (oc1, oc2, oc3) over the last minute."""
    battery: float | None = None
    """Charge as a share, 0 to 1; None: no battery, or not known."""
    quiet: bool = False
    """Whether the policy's quiet hours are on: only who has the date and the time zones can tell."""
    energy_price_weight: float = 1.0
    """What energy costs now, against normal (1); at least 0. See Policy.energy_weight."""
    carbon_weight: float = 1.0
    """How much carbon it carries now, against normal (1); at least 0."""
