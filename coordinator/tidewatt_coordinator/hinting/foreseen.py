"""What is foreseen for a device's group, and planned of the device: for people who look at it. Pure."""

from pydantic import BaseModel

from tidewatt_coordinator.hinting.explaining import explain
from tidewatt_coordinator.hinting.rounds import Planner
from tidewatt_coordinator.hinting.shown import Shown
from tidewatt_governor.forecast.layout import AHEAD
from tidewatt_governor.forecast.value import Forecast

MINUTE_MS = 60_000


class MinuteAhead(BaseModel):
    """Requests/s of a minute to come, by quantile."""

    at_ms: int
    p50: float
    p90: float
    p99: float


class Foreseen(BaseModel):
    """The plan's sentences about a device, and its group's forecast; `why` where something is not there."""

    device: str
    group: str | None
    sentences: list[str]
    minutes: list[MinuteAhead]
    trusted: bool
    why: str


def foreseen(planner: Planner, device: str) -> Foreseen:
    """What is known; a device that isn't planned is no error, as it may be at any time."""
    shown = planner.last.shown if planner.last else None
    row = next((one for one in shown.devices if one.device == device), None) if shown else None
    if shown is None or row is None:
        return Foreseen(
            device=device, group=None, sentences=[], minutes=[], trusted=False, why=_why(planner, shown)
        )
    forecast = planner.foreseen(row.group)
    return Foreseen(
        device=device,
        group=row.group,
        sentences=list(explain(shown, device)),
        minutes=minutes(forecast) if forecast else [],
        trusted=bool(forecast and forecast.trusted),
        why=forecast.reason if forecast else "there is no forecast of its group's requests",
    )


def minutes(forecast: Forecast) -> list[MinuteAhead]:
    """A forecast's minutes with their times."""
    return [
        MinuteAhead(at_ms=(forecast.minute + ahead + 1) * MINUTE_MS, p50=p50, p90=p90, p99=p99)
        for ahead, (p50, p90, p99) in enumerate(forecast.rps[:AHEAD])
    ]


def _why(planner: Planner, shown: Shown | None) -> str:
    if shown is not None:
        return "it is not in the plan"
    off = planner.settings.mode == "off"
    return 'no plan is made: planning.mode is "off"' if off else planner.obstacle or "none has been made yet"
