"""The devices as last heard of, kept in the database for commands that run while no coordinator does."""

import msgspec
from sqlalchemy import Engine, delete, insert, select

from tidewatt_coordinator.fleet import Fleet
from tidewatt_coordinator.ledger.tables import known_device
from tidewatt_coordinator.rollout.sight import Glimpse

#: Rows written together; SQLite takes 32,766 parameters in one statement.
CHUNK = 2000
LONGEST_REASON = 500


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One device as last heard of; an empty `ack` means that it has answered nothing yet."""

    device: str
    status: str = "silent"
    labels: dict[str, str] = {}
    revision: int = 0
    ack: str = ""
    code: str = ""
    reason: str = ""
    skew_ms: int | None = None
    """How far its clock is ahead of the coordinator's; null where it isn't measured."""


class Roster:
    """One fleet's devices in the database; it remembers what it wrote, so that only news is written."""

    def __init__(self, database: Engine, fleet: str) -> None:
        self._database, self._fleet = database, fleet
        self._written: dict[str, Known] | None = None

    def read(self) -> list[Known]:
        """All devices, by name."""
        table = known_device.c
        names = Known.__struct_fields__
        rows = (
            select(*(table[name] for name in names)).where(table.fleet == self._fleet).order_by(table.device)
        )
        known = []
        with self._database.connect() as connection:
            for row in connection.execute(rows):
                values = dict(zip(names, row, strict=True))
                values["labels"] = msgspec.json.decode(values["labels"], type=dict[str, str])
                known.append(Known(**values))
        return known

    def write(self, known: list[Known], now_ms: int) -> int:
        """Write what is news; how many devices that is. A device once known stays."""
        if self._written is None:
            self._written = {one.device: one for one in self.read()}
        news = [one for one in known if self._written.get(one.device) != one]
        for start in range(0, len(news), CHUNK):
            some = news[start : start + CHUNK]
            rows = [_row(self._fleet, one, now_ms) for one in some]
            mine = (known_device.c.fleet == self._fleet) & known_device.c.device.in_(
                [one.device for one in some]
            )
            with self._database.begin() as connection:
                connection.execute(delete(known_device).where(mine))
                connection.execute(insert(known_device), rows)
            self._written.update((one.device, one) for one in some)
        return len(news)


def known_of(fleet: Fleet, now_ms: int) -> list[Known]:
    """The fleet view as the roster keeps it; skews by the second, else each report would be news."""
    known = []
    for name, device in fleet.known():
        ack = device.ack
        known.append(
            Known(
                device=name,
                status=device.status(now_ms, fleet.stale_after_ms),
                labels=device.birth.labels if device.birth else {},
                revision=ack.revision if ack else 0,
                ack=ack.status if ack else "",
                code=(ack.code or "") if ack else "",
                reason=ack.reason[:LONGEST_REASON] if ack else "",
                skew_ms=None if device.skew.ms is None else round(device.skew.ms, -3),
            )
        )
    return known


def glimpses(fleet: Fleet, now_ms: int) -> list[Glimpse]:
    """The fleet view as the gates judge it."""
    seen = []
    for name, device in fleet.known():
        gauges = device.report.gauges if device.report else None
        seen.append(
            Glimpse(
                device=name,
                labels=device.birth.labels if device.birth else {},
                online=device.status(now_ms, fleet.stale_after_ms) == "online",
                p95_ms=gauges.p95_ms if gauges else None,
                skill=gauges.forecast_skill if gauges else None,
                ack=device.ack,
            )
        )
    return seen


def _row(fleet: str, one: Known, now_ms: int) -> dict[str, object]:
    labels = msgspec.json.encode(one.labels, order="sorted").decode()
    return msgspec.structs.asdict(one) | {"fleet": fleet, "labels": labels, "seen_ms": now_ms}
