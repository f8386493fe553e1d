"""The fleet as a table: what comes first, and what fits. Pure."""

import math
from collections.abc import Callable, Sequence

from rich.table import Table
from rich.text import Text

from tidewatt_coordinator.watching.door import Device, FleetNow
from tidewatt_wire.strangers import printable

#: Worst first; what isn't named is worse than all that is.
ORDER = ("lost", "overdue", "silent", "stopped", "asleep", "online")
COLOURS = {"online": "green", "asleep": "blue", "stopped": "yellow"}
HOT_C = 85.0
#: Lines of `top` that aren't devices: title, head with its rules, the end, the keys.
FRAME = 7


def _down(value: float | None) -> float:
    return math.inf if value is None else -value


#: By the key that is pressed: what it sorts by, and how.
SORTS: dict[str, tuple[str, Callable[[Device], tuple[float | str, ...]]]] = {
    "x": ("problem", lambda one: (_badness(one), one.device)),
    "n": ("name", lambda one: (one.device,)),
    "s": ("site", lambda one: (one.site, one.device)),
    "w": ("watts", lambda one: (_down(one.watts), one.device)),
    "r": ("requests", lambda one: (_down(one.requests_rps), one.device)),
    "p": ("p95", lambda one: (_down(one.p95_ms), one.device)),
    "t": ("temperature", lambda one: (_down(one.temperature_c), one.device)),
}


def _badness(one: Device) -> float:
    if one.refused or (one.temperature_c or 0.0) >= HOT_C:
        return 0
    return 1 + ORDER.index(one.status) if one.status in ORDER else 0


def ordered(devices: Sequence[Device], key: str) -> list[Device]:
    """The devices by the order of a key of SORTS; what isn't known comes last."""
    return sorted(devices, key=SORTS[key][1])


def table(devices: Sequence[Device], *, narrow: bool) -> Table:
    """One row for each; `narrow` fits into 80 columns."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0)) if narrow else Table()
    for name, width in (("device", 20), ("site", 8), ("status", 8), ("mode", 9)):
        shown.add_column(name, no_wrap=True, max_width=width if narrow else None)
    for name, width in (("W", 7), ("req/s", 8), ("p95 ms", 8), ("°C", 3)):
        shown.add_column(name, justify="right", no_wrap=True, min_width=width)
    for one in devices:
        colour = COLOURS.get(one.status, "red")
        figures = (_figure(one.watts, 1), _figure(one.requests_rps, 1), _figure(one.p95_ms, 1))
        heat = Text(_figure(one.temperature_c, 0), "red" if (one.temperature_c or 0.0) >= HOT_C else "")
        device, site, point = (Text(printable(said)) for said in (one.device, one.site, one.point or "-"))
        shown.add_row(device, site, Text(one.status, colour), point, *figures, heat)
    return shown


def title(now: FleetNow) -> str:
    """The fleet in a line."""
    watts = "-" if now.watts is None else f"{now.watts:,.1f}"
    rate = "-" if now.requests_rps is None else f"{now.requests_rps:,.1f}"
    return f"{now.fleet}: {now.online} of {len(now.devices)} online, {watts} W, {rate} requests/s"


def keys(key: str) -> str:
    """The last line of `top`."""
    named = " ".join(
        f"[{each}]{name}" if each == key else f"{each} {name}" for each, (name, _) in SORTS.items()
    )
    return f"{named}  q quit"


def fitting(devices: Sequence[Device], height: int) -> Sequence[Device]:
    """As many as a terminal of this height has lines for."""
    return devices[: max(1, height - FRAME)]


def sentences(one: Device) -> list[str]:
    """Everything about one device, a line each."""
    facts = {
        "status": one.status,
        "board": one.board,
        "control": one.control,
        "labels": ", ".join(f"{name}={value}" for name, value in sorted(one.labels.items())) or None,
        "mode": one.point,
        "watts": None if one.watts is None else f"{one.watts:.2f} W",
        "requests": None if one.requests_rps is None else f"{one.requests_rps:.2f} requests/s",
        "p95": None if one.p95_ms is None else f"{one.p95_ms:.1f} ms",
        "temperature": None if one.temperature_c is None else f"{one.temperature_c:.1f} °C",
        "weight": None if one.weight is None else f"{one.weight:.2%} of the traffic",
        "out of promise": None if one.violating_minutes is None else f"{one.violating_minutes:.1f} minutes",
        "policy": one.policy_status and f"revision {one.policy_revision}, {one.policy_status}",
        "sleep": None if one.sleeps is None else one.sleeps or "it may sleep",
        "refused": one.refused,
        "decision": one.reason,
    }
    return [f"{name:15} {'not known' if value is None else value}" for name, value in facts.items()]


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
