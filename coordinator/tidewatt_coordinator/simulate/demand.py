"""Demand by whole days: recorded, or drawn from a daily profile. Pure."""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.train.windows import DAY_MIN, FIRST_WEEKDAY, SATURDAY, Series
from tidewatt_governor.traffic import PEAK_QUANTILE

Floats = NDArray[np.float64]
Hours = Annotated[
    list[Annotated[float, msgspec.Meta(ge=0, le=1e9)]], msgspec.Meta(min_length=24, max_length=24)
]
#: More days than these take minutes to live.
MOST_DAYS = 60


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests/s by hour, UTC."""

    weekday: Hours
    weekend: Hours | None = None
    """Null: as on weekdays."""
    day_spread: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
    """Assumed: by how much days differ in height, as the deviation of their logarithm. 0: they don't, and
    intervals have no width."""
    days: Annotated[int, msgspec.Meta(ge=7, le=MOST_DAYS)] = 7
    """From a Monday on."""


class Demand(msgspec.Struct, frozen=True):
    """(D, 1440) requests/s by minute, and (D,) whether a day is of a weekend."""

    rps: Floats
    weekend: NDArray[np.bool_]
    what: str
    """Where it is from, in words."""

    def times(self, factor: float) -> "Demand":
        """As much more or less."""
        return msgspec.structs.replace(self, rps=self.rps * factor)


def drawn(profile: Profile, seed: int) -> Demand:
    """Days of the profile, each as high as chance has it; weekdays keep their mean, weekends theirs."""
    days = np.arange(profile.days)
    weekend = days % 7 >= SATURDAY
    shapes = np.array([profile.weekday, profile.weekend or profile.weekday], dtype=np.float64)
    heights = np.exp(np.random.default_rng(seed).normal(0.0, profile.day_spread, profile.days))
    for kind in (weekend, ~weekend):
        heights[kind] /= np.mean(heights[kind])
    rps = np.repeat(shapes[weekend.astype(np.int64)], 60, axis=1) * heights[:, None]
    spread = f", days {profile.day_spread:.0%} apart (assumed)" if profile.day_spread else ""
    return Demand(rps, weekend, f"a daily profile over {profile.days} days{spread}")


def recorded(series: Series, peak_rps: float | None = None) -> Demand:
    """The whole days (UTC) of a series; an unknown minute asks for what the last known one did.

    `peak_rps`: scaled so that the 99.5th percentile meets it. ValueError if there is no whole day, or too
    many.
    """
    skipped = -series.first % DAY_MIN
    count = (len(series) - skipped) // DAY_MIN
    if count < 1 and len(series) >= DAY_MIN:
        skipped, count = 0, 1  # a day that doesn't begin at midnight is one, too
    if not 1 <= count <= MOST_DAYS:
        raise ValueError(
            f"{series.name} has {max(count, 0)} whole days (UTC); 1 to {MOST_DAYS} can be lived again"
        )
    rps: Floats = _filled(series.rps)[skipped : skipped + count * DAY_MIN].reshape(count, DAY_MIN)
    if peak_rps is not None:
        level = float(np.quantile(rps, PEAK_QUANTILE))
        if level <= 0.0:
            raise ValueError(f"{series.name} is idle (its 99.5th percentile is zero), so it can't be scaled")
        rps = rps * (peak_rps / level)
    first = (series.first + skipped) // DAY_MIN
    weekend = (first + np.arange(count) + FIRST_WEEKDAY) % 7 >= SATURDAY
    return Demand(rps, weekend, f"{series.name}, {count} recorded days")


def _filled(rps: Floats) -> Floats:
    known = np.isfinite(rps)
    if not np.any(known):
        raise ValueError("not one minute of the demand is known")
    at = np.maximum.accumulate(np.where(known, np.arange(len(rps)), -1))
    return np.asarray(np.where(at < 0, 0.0, rps[np.maximum(at, 0)]))
