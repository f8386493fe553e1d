"""What the agent knows of the world at a tick, as the governor's Situation. Pure."""

import contextlib

import msgspec

from tidewatt_agent.maintenance import open_now
from tidewatt_agent.power import TotalPower
from tidewatt_agent.signals import Worth
from tidewatt_governor.sample import Sample
from tidewatt_governor.situation import Situation
from tidewatt_wire.messages import Policy

#: The sensor that stands for the board: the junction, else what older boards print.
HOTTEST_SENSORS = ("tj", "thermal", "gpu", "cpu", "GPU", "CPU")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The board as last read; None after a silence."""

    sample: Sample | None = None
    power: TotalPower = TotalPower(None, "none")
    over_current: dict[str, float] = {}
    """Events per second by channel over the last minute."""


def hottest(sample: Sample) -> float | None:
    """The junction's temperature in degrees C, or of the sensor that stands for it on older boards."""
    for name in HOTTEST_SENSORS:
        with contextlib.suppress(KeyError):
            if reading := sample.temperatures[name]:
                return reading.now
    return None


def situation(
    seen: Seen,
    policy: Policy,
    at_ms: int,
    battery: float | None,
    *,
    as_supposed: bool,
    trim: str | None = None,
    energy: Worth = Worth(),  # noqa: B008 - frozen
) -> Situation:
    """The situation at `at_ms`. `battery`: the charge as a share, None where it isn't known.

    `as_supposed`: whether the board stands where the governor takes it to stand. A board that is only
    observed doesn't: what it draws and how hot it gets tells nothing of the point it would be at.
    `trim`: the caps that it is under. `energy`: what a joule is worth now.
    """
    quiet = any(open_now(window, at_ms) for window in policy.quiet_hours)
    if not as_supposed:
        return Situation(
            battery=battery, quiet=quiet, energy_price_weight=energy.price, carbon_weight=energy.carbon
        )
    return Situation(
        watts=seen.power.watts,
        trim=trim,
        temperature_c=hottest(seen.sample) if seen.sample else None,
        over_current=seen.over_current,
        battery=battery,
        quiet=quiet,
        energy_price_weight=energy.price,
        carbon_weight=energy.carbon,
    )
