"""What a lower least capacity by night would have saved, and what it must not be. Pure."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

from tidewatt_coordinator.levers.data.settings import Aurora

DAY_S, HOUR_S = 86_400, 3600
STEP = 0.5
#: Aurora PostgreSQL: memory of a capacity unit, bytes of it for a connection, and the most there can be.
UNIT_BYTES, CONNECTION_BYTES, MOST_CONNECTIONS = 2 * 2**30, 9_531_392, 5000
#: At a least capacity of half a unit or none, whatever the greatest is.
FEW_CONNECTIONS, FEW_UNITS = 2000, 0.5
#: Share of the connections that are allowed, from which on they are too many.
CROWDED = 0.8


def at_night(begin_s: int, settings: Aurora, zone: ZoneInfo) -> bool:
    """Whether a whole hour from then on lies between evening and morning."""
    local = datetime.fromtimestamp(begin_s, timezone.utc).astimezone(zone)
    minute = local.hour * 60 + local.minute
    evening, morning = (
        int(clock[:2]) * 60 + int(clock[3:]) for clock in (settings.evening, settings.morning)
    )
    length = (morning - evening) % 1440
    return (minute - evening) % 1440 <= length - 60


def saved(
    facts: Mapping[str, Any], least: float, night: float, settings: Aurora, zone: ZoneInfo
) -> list[float]:
    """Unit-hours of each day that would not have been held.

    Where the capacity stood at its least, as much would have been held as the processor's use asks for.
    """
    days = [0.0] * settings.days
    hours: Sequence[float] = facts["capacity"]
    cpu: Sequence[float] = facts["cpu"] or [100.0] * len(hours)
    for index, (held, used) in enumerate(zip(hours, cpu, strict=True)):
        if at_night(facts["start_s"] + index * HOUR_S, settings, zone) and 0 < held <= least + STEP / 2:
            asked = math.ceil(held * used / 100 / settings.use / STEP) * STEP
            days[index * HOUR_S // DAY_S] += max(0.0, held - max(night, asked))
    return days


def most_connections(engine: str, greatest: float, least: float) -> int | None:
    """Connections that a cluster allows by default; None: only its own parameters tell."""
    if engine != "aurora-postgresql":
        return None
    most = min(int(greatest * UNIT_BYTES / CONNECTION_BYTES), MOST_CONNECTIONS)
    return min(most, FEW_CONNECTIONS) if least <= FEW_UNITS else most


def night_least(facts: Mapping[str, Any], settings: Aurora, zone: ZoneInfo) -> tuple[float, list[str]]:
    """The least capacity that nights can have, and why not less."""
    night, why = settings.night, []
    connections = facts["connections"]
    nightly = [
        count
        for index, count in enumerate(connections)
        if at_night(facts["start_s"] + index * HOUR_S, settings, zone)
    ]
    if night == 0 and not facts["pauses"]:
        night = STEP
        why.append(f"{facts['engine']} {facts['version']} can't pause, so {STEP:g} is the least")
    elif night == 0 and max(nightly, default=1) > 0:
        night = STEP
        why.append(
            f"up to {max(nightly, default=0):.0f} connections stay open by night: any one keeps it awake"
        )
    peak = max(connections, default=0.0)
    few = most_connections(facts["engine"], facts["greatest"], night)
    if few is not None and peak > CROWDED * few:
        night = max(night, 2 * STEP)
        why.append(f"{peak:.0f} connections at once of {few} that half a unit allows: one unit, or a pool")
    return night, why
