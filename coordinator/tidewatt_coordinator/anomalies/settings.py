"""The [anomalies] section of the coordinator's file."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated

import msgspec

Hours = Annotated[int, msgspec.Meta(ge=0, le=24 * 14)]


class Anomalies(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as a day that costs too much."""

    enabled: bool = True
    """Whether alerts are raised; `tidewatt anomalies ls` works all the same."""
    floor: Decimal = Decimal(10)
    """Less than this too much, in the charges' currency, is none."""
    percent: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 20
    """Less than this share of what was expected is none."""
    deviations: Annotated[float, msgspec.Meta(ge=0, le=100)] = 4.0
    """Robust standard deviations of such days that a day must exceed."""
    weeks: Annotated[int, msgspec.Meta(ge=4, le=26)] = 8
    """Weeks that a day is compared with."""
    quiet_days: Annotated[int, msgspec.Meta(ge=1, le=14)] = 3
    """An anomaly is over after so many ordinary days."""
    tags: list[str] = []
    """Tags whose values are watched each by itself, beside every service and every site."""
    settle_hours: Hours = 48
    """Clouds bill late: a day is judged so many hours after its end."""
    edge_settle_hours: Hours = 3
    """The same for the edge's own charges."""


def wrong_anomalies(anomalies: Anomalies) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    if not anomalies.floor.is_finite() or anomalies.floor < 0:
        yield f"anomalies.floor {anomalies.floor} is not an amount from zero on"
