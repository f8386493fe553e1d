"""What a policy document says: the rules, when they hold, and how they reach the fleet. Pure values."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from tidewatt_wire.messages import Identifier, MaintenanceWindow, Rule, Share

Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]
Worse = Annotated[float, msgspec.Meta(ge=0, le=100)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class PlannedWave(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wave as planned: of the devices whose labels match, this many percent."""

    percent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 100.0
    match: dict[str, str] = {}
    soak_s: Seconds | None = None
    """How long this wave is watched before the next; null: the rollout's soak_s."""


class Gates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much worse the devices reached may do than those not yet reached; null switches a gate off.

    Each group is compared with itself before the rollout, and then with the other, so what
    happens to the whole fleet (a hot day, more traffic) is not blamed on the rules.
    """

    joules_per_request: Worse | None = 0.1
    """Share by which energy per request may rise."""
    p95_ms: Worse | None = 0.25
    """Share by which the median of the devices' 95th percentiles may rise."""
    violating_share: Share | None = 0.01
    """Part of the judged time by which breaking the promise may grow."""
    refused_share: Share | None = 0.02
    """Part of the reached devices that may refuse the rules."""
    offline_share: Share | None = 0.05
    """Part of the devices by which those offline may grow."""
    forecast_skill: Worse | None = 0.05
    """How far the median skill of the forecasts may fall. What no device measures is not judged."""
    settle_s: Seconds = 60.0
    """Nothing is judged sooner than this after a wave was reached."""
    least_requests: Annotated[int, msgspec.Meta(ge=1, le=10**12)] = 1000
    """Fewer requests than this, in either group and time, are too little evidence."""
    least_answers: Share = 0.5
    """Part of the reached devices that are online and must have answered."""


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How new rules reach the fleet: the document's [rollout]."""

    mode: Literal["waves", "at_once"] = "waves"
    waves: Annotated[list[PlannedWave], msgspec.Meta(min_length=1, max_length=32)] = msgspec.field(
        default_factory=lambda: [PlannedWave(percent=percent) for percent in (5.0, 25.0, 100.0)]
    )
    soak_s: Seconds = 3600.0
    """How long a wave is watched at the least."""
    longest_soak_s: Seconds = 86_400.0
    """With too little evidence for this long the rollout pauses."""
    baseline_s: Annotated[float, msgspec.Meta(ge=1, le=31_536_000)] = 3600.0
    """How long before the rollout each group is measured, to compare with."""
    approval: Literal["none", "start", "each_wave"] = "none"
    """What waits for `tidewatt policy approve`."""
    on_failure: Literal["pause", "abort"] = "pause"
    """When a gate fails: stay as it is, or give everybody the old rules again."""
    waves_per_hour: Annotated[int, msgspec.Meta(ge=1, le=60)] | None = None
    """No more waves than this within any hour."""
    window: MaintenanceWindow | None = None
    """A wave is reached only in this time of the day or week."""
    not_before: Moment | None = None
    """The first wave is reached no sooner."""
    not_after: Moment | None = None
    """A rollout that isn't through by then pauses."""
    gates: Gates = Gates()


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy document."""

    name: Identifier = "policy"
    not_before: Moment | None = None
    """Devices don't apply the rules sooner."""
    not_after: Moment | None = None
    """Then devices go back to their safe default."""
    rules: Annotated[list[Rule], msgspec.Meta(min_length=1, max_length=2000)]
    rollout: Plan = Plan()


def unix_ms(moment: datetime | None) -> int | None:
    """Milliseconds since 1970 UTC."""
    return None if moment is None else round(moment.timestamp() * 1000)
