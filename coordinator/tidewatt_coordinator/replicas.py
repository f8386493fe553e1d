"""The fleet view of coordinators that share the reports: what each hears, all of them show.

Births, wills, acks and words on sleep are retained, and everybody hears them. Of the reports each hears a
part: it writes what a device said last beside the batch that it merged, and reads what the others wrote. A
view, not a truth: energy and money are the ledger's, whoever merged them.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, literal_column, select
from sqlalchemy.exc import SQLAlchemyError

from tidewatt_coordinator.fleet import Device, Fleet
from tidewatt_coordinator.ledger.merging import Row, Rule, merge_rows
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import device_now
from tidewatt_wire.codec import Refused, decode, encode
from tidewatt_wire.messages import Report

log = logging.getLogger(__name__)

#: Real seconds between two looks at what the others heard.
LOOK_S = 1.0
#: What was written so long before the last look is read again: its transaction may have ended after it.
OVERLAP_MS = 2000
#: Who said nothing for so long is known by what is retained alone.
FORGOTTEN_MS = 86_400_000
#: One who hasn't looked for so long, real seconds, doesn't know who is silent; nor one who has just begun to.
BLIND_S, STEADY_S = 5.0, 3.0
#: Rows that are taken into the view before other work has its turn.
TURN = 500

_RULES: dict[str, Rule] = dict.fromkeys(
    ("session", "seq", "heard_ms", "told", "refused", "teller", "written_ms"), "new"
)
_T = device_now.c
#: As text: a statement that many rows are given to has no room for other values.
_NONE: Any = literal_column("0")


class Now(msgspec.Struct, frozen=True):
    """What a device said last, by the coordinator that heard it."""

    device: str
    heard_ms: int
    told: str
    """Its last report that was taken, as JSON; empty where none was."""
    refused: str | None


class Replicas:
    """One coordinator's part in the view that it shares with the others of its fleet."""

    def __init__(self, ledger: Ledger, fleet: Fleet, fleet_name: str, name: str) -> None:
        """`name`: this coordinator's, another than all others'."""
        self._ledger, self._fleet, self._fleet_name, self._name = ledger, fleet, fleet_name, name
        self._since_ms: int | None = None
        self.failing = False
        """Whether the last look failed."""
        self.read = 0
        """Rows of others that were read."""
        self._looked_s: tuple[float, float] | None = None
        """The last look that succeeded, and the first one since when all did, by the monotonic clock."""

    def tell(self, devices: Iterable[str]) -> None:
        """Write what these said last; what stands and is newer stays. Raises what the database does."""
        known = [(name, self._fleet.devices.get(name)) for name in sorted(set(devices))]
        heads = [(self._fleet_name, name, *_said(device)) for name, device in known if device]
        if not heads:
            return

        def told(connection: Connection) -> None:
            ends = (self._name, _database_ms(connection))
            merge_rows(connection, device_now, _RULES, [(*head, *ends) for head in heads], _newer)

        self._ledger.transact(told)

    def look(self) -> list[Now]:
        """What others wrote since the last look; at the first one what anybody wrote within a day."""
        mine = _T.fleet == self._fleet_name
        with self._ledger.engine.connect() as connection:
            now_ms = _database_ms(connection)
            rows = select(*(_T[name] for name in Now.__struct_fields__)).where(mine)
            if self._since_ms is None:
                rows = rows.where(_T.written_ms > now_ms - FORGOTTEN_MS)
            else:
                rows = rows.where(_T.teller != self._name, _T.written_ms > self._since_ms - OVERLAP_MS)
            found = [Now(*row) for row in connection.execute(rows)]
        self._since_ms = now_ms
        return found

    def take(self, found: Sequence[Now]) -> None:
        """Show what others heard, where it is newer than what we know."""
        for one in found:
            self.read += 1
            try:
                report = decode(Report, one.told.encode()) if one.told else None
            except Refused as error:  # a coordinator of a later version took it
                log.debug("%s: %s", one.device, error)
                report = None
            self._fleet.relayed(one.device, report, one.heard_ms, one.refused)

    async def run(self) -> None:
        """Look for ever; ends only by cancellation."""
        while True:
            await self.turn()
            await asyncio.sleep(LOOK_S)

    async def turn(self) -> None:
        """One look. What fails is logged once and tried again by the next."""
        began_s = time.monotonic()
        try:
            found = await asyncio.to_thread(self.look)
        except (SQLAlchemyError, OSError) as error:
            if not self.failing:
                log.error("what others hear can't be read: %s", str(error).partition("\n")[0])  # noqa: TRY400
            self.failing, self._looked_s = True, None
            return
        if self.failing:
            log.warning("what others hear is read again")
        self.failing = False
        for start in range(0, len(found), TURN):
            self.take(found[start : start + TURN])
            await asyncio.sleep(0)
        self._looked_s = began_s, self._looked_s[1] if self._looked_s else began_s

    def sees(self) -> bool:
        """Whether it knows what the others hear, and has for a while."""
        if self._looked_s is None:
            return False
        last_s, first_s = self._looked_s
        return time.monotonic() - last_s < BLIND_S and last_s - first_s >= STEADY_S


def _said(device: Device) -> Row:
    report = device.report
    session, seq, told = (report.session, report.seq, encode(report).decode()) if report else ("", -1, "")
    return session, seq, device.heard_ms, told, device.refused


def _newer(kept: Any, new: Any) -> Any:
    """Of one run of an agent the higher number, of two what was heard later."""
    same = new.session == kept.session
    later = (new.heard_ms > kept.heard_ms) & ((new.seq >= _NONE) | (kept.seq < _NONE))
    return (same & (new.seq > kept.seq)) | (later & ~(same & (new.seq < kept.seq)))


def _database_ms(connection: Connection) -> int:
    """One clock for all who write; SQLite has none of its own, and one machine's is enough for it."""
    if connection.dialect.name != "postgresql":
        return round(time.time() * 1000)
    clock = func.extract("epoch", func.clock_timestamp())
    return round(float(connection.execute(select(clock)).scalar_one()) * 1000)
