"""The fleet as it changes: rows of what the page lists, and which of them changed since when.

No history is kept: a row remembers at which turn it last changed, and a viewer only the turn that it
has seen. So a viewer who was away, or is slow, is told what is new in one piece, and costs nothing.
"""

import secrets
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec

from tidewatt_coordinator.web.models import DeviceNow, FleetNow
from tidewatt_coordinator.web.troubles import problem_of

#: What a row tells, in this order; units as in /v1/fleet.
COLUMNS = (
    "device", "site", "board", "status", "control", "point", "watts", "requests_rps", "p95_ms",
    "temperature_c", "weight", "weighs", "problem",
)  # fmt: skip
#: Of the fleet itself.
TOTALS = (
    "fleet", "now_ms", "version", "progress", "speed", "known", "online", "watts", "requests_rps",
    "energy_joules", "requests", "cost", "currency", "violating_minutes", "model_error_share",
    "dispatch_reason", "sleep_saved_joules",
)  # fmt: skip

#: Of these nothing is known by site here.
_WHOLE_FLEETS = (
    "energy_joules", "requests", "cost", "violating_minutes", "model_error_share", "dispatch_reason",
    "sleep_saved_joules",
)  # fmt: skip
#: Real seconds for which a look is new enough for a viewer's first.
KEPT_S = 30.0
SITE, STATUS = COLUMNS.index("site"), COLUMNS.index("status")

Row = tuple[Any, ...]


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What a viewer is told. `whole`: forget what was known, these are all rows."""

    id: str
    whole: bool
    totals: dict[str, Any]
    policies: dict[str, Any]
    columns: tuple[str, ...]
    rows: list[Row]


class Live:
    """The rows of one coordinator's life."""

    def __init__(self, current: Callable[[], FleetNow], now_s: Callable[[], float] = time.monotonic) -> None:
        self._current, self._now_s, self._lock = current, now_s, threading.Lock()
        self._life = secrets.token_hex(4)
        self._turn = 0
        self._seen: FleetNow | None = None
        self._seen_s = 0.0
        self._rows: dict[str, tuple[int, Row]] = {}
        self._whole_since = 0
        """The turn at which a device was last gone: before it only the whole is true."""

    def since(self, seen: str, sites: Collection[str] = ()) -> Delta:
        """What changed since the id that a viewer saw last; everything, if it isn't known.

        `sites`: he is bound to these, so that of the fleet's totals he is told what they sum to.
        """
        now = self._looked(seen)
        with self._lock:
            now = self._take(now)
            turn = self._turn_of(seen)
            whole = turn is None or turn < self._whole_since
            shown = [one for one in self._rows.values() if not sites or one[1][SITE] in sites]
            totals = {name: getattr(now, name) for name in TOTALS}
            return Delta(
                id=f"{self._life}-{self._turn}",
                whole=whole,
                totals=totals | _sums([row for _, row in shown]) if sites else totals,
                policies={} if sites else {name: one.model_dump() for name, one in now.policies.items()},
                columns=COLUMNS,
                rows=[row for changed, row in shown if whole or changed > (turn or 0)],
            )

    def _looked(self, seen: str) -> FleetNow:
        # Who is new is shown at once what somebody else was shown just now; what is newer follows.
        kept = self._seen
        if kept and self._turn_of(seen) is None and self._now_s() - self._seen_s < KEPT_S:
            return kept
        return self._current()

    def _take(self, now: FleetNow) -> FleetNow:
        before = self._seen
        if before and (now is before or now.now_ms < before.now_ms):
            return before
        self._seen_s = self._now_s()
        self._turn, self._seen = self._turn + 1, now
        gone = self._rows.keys() - {device.device for device in now.devices}
        for name in gone:
            del self._rows[name]
        if gone:
            self._whole_since = self._turn
        for device in now.devices:
            row, old = row_of(device, now.speed), self._rows.get(device.device)
            if old is None or old[1] != row:
                self._rows[device.device] = self._turn, row
        return now

    def _turn_of(self, seen: str) -> int | None:
        life, _, turn = seen.partition("-")
        known = life == self._life and turn.isascii() and turn.isdecimal() and len(turn) < 20  # noqa: PLR2004 - digits of 64 bits
        return int(turn) if known and int(turn) <= self._turn else None


def row_of(device: DeviceNow, speed: float = 1.0) -> Row:
    """A device as the list shows it, rounded to what is shown: what nobody sees is no change."""
    found = problem_of(device, speed)
    return (
        device.device,
        device.labels.get("site", ""),
        device.board,
        device.status,
        device.control,
        device.point,
        _round(device.watts, 2),
        _round(device.requests_rps, 1),
        _round(device.p95_ms, 1),
        _round(device.temperature_c, 1),
        _round(device.weight, 4),
        found.weight,
        found.sentence,
    )


def _sums(rows: Sequence[Row]) -> dict[str, Any]:
    sums: dict[str, Any] = dict.fromkeys(_WHOLE_FLEETS)
    for name in ("watts", "requests_rps"):
        known = [row[COLUMNS.index(name)] for row in rows if row[COLUMNS.index(name)] is not None]
        sums[name] = sum(known) if known else None
    online = sum(row[STATUS] == "online" for row in rows)
    return sums | {"known": len(rows), "online": online}


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
