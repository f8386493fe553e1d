"""Reports on their way into the ledger: what can't be true is kept aside, with the reason."""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import delete, func, select

from tidewatt_coordinator.ledger.belief import Believed, Code, Wrong, believed, judge, run_of, unpacked
from tidewatt_coordinator.ledger.keeping import detail_from
from tidewatt_coordinator.ledger.merging import merge_rows
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import quarantine
from tidewatt_wire.messages import Report
from tidewatt_wire.strangers import printable

K = TypeVar("K", bound=Hashable)

#: Of each device so many are kept, the newest; a broken board says the same thing for ever.
MOST_KEPT = 100
LONGEST_MESSAGE = 4000
UNREADABLE: Code = "unreadable"
#: A word on sleep that isn't known to be the device's.
UNPROVEN: Code = "unproven"
#: Unreadable messages that wait to be kept; of a flood the rest is only counted, by who refused them.
MOST_UNREAD = 100
#: Devices remembered by their newest session, and older sessions; of those forgotten the next report is
#: judged by itself alone.
MOST_SESSIONS = 200_000


class Quarantined(msgspec.Struct, frozen=True):
    """A report, or a word on sleep, that wasn't believed."""

    device: str
    came_ms: int
    at_ms: int
    """The report's own time; of what can't be read or isn't proven, when it came."""
    code: str
    reason: str
    message: str
    """The report as JSON, or what came in its place."""
    sha256: str
    """Of all that came: of a long one the message is only the beginning."""


class Unread(msgspec.Struct, frozen=True):
    """What came as a device's report or word, and why it isn't read as one, or not believed."""

    device: str
    payload: bytes
    reason: str
    code: Code = UNREADABLE


class Intake:
    """The ledger's door. Not thread-safe: one task takes reports; `set_aside` may be called meanwhile."""

    def __init__(self, ledger: Ledger, now_ms: Callable[[], int]) -> None:
        self._ledger, self._now_ms = ledger, now_ms
        self._newest: dict[str, bytes] = {}
        """By device: the newest report that was believed, packed."""
        self._others: dict[tuple[str, int], bytes] = {}
        """The same of the runs that are not a device's newest one, by device and run."""
        self.unread: list[Unread] = []
        """What the next `take` keeps aside beside the reports that can't be true."""
        self.told: Callable[[list[str]], None] = lambda _: None
        """Called with the devices of each batch that was taken."""
        self.quarantined: Counter[str] = Counter()
        """What was not believed since the start, by code."""

    def set_aside(self, device: str, payload: bytes, reason: str, code: Code = UNREADABLE) -> None:
        """Have something kept in quarantine that came as a report or a word, and is none to be believed."""
        if len(self.unread) < MOST_UNREAD:
            self.unread.append(Unread(device, payload, reason, code))

    def take(self, reports: Sequence[Report]) -> None:
        """Merge what can be true, keep the rest aside. What the database raises: nothing was taken."""
        now_ms, detail_ms = self._now_ms(), detail_from(self._ledger)
        unread = self.unread[:]
        bad: list[tuple[Report, Wrong]] = []
        runs = dict[tuple[str, int], Believed]()

        def good() -> Iterator[Report]:
            # One by one: the ledger takes each while the processor still has it at hand from the judging.
            for report in reports:
                key = report.device, hash((report.epoch, report.session))
                before = runs.get(key) or self._before(*key)
                last = believed(report)
                if wrong := judge(report, before, now_ms, detail_ms, last):
                    bad.append((report, wrong))
                    continue
                if before is None or last.seq > before.seq:
                    runs[key] = last
                yield report

        self._ledger.take(good())
        self.told([report.device for report in reports])
        if bad or unread:
            keep_aside(self._ledger, bad, now_ms, unread)
            del self.unread[: len(unread)]
        self.quarantined.update([wrong.code for _, wrong in bad] + [one.code for one in unread])
        for (device, run), last in runs.items():
            self._remember(device, run, last.packed(run))

    def _before(self, device: str, run: int) -> Believed | None:
        packed = self._newest.get(device)
        if packed is not None and run_of(packed) != run:
            packed = self._others.get((device, run))
        return unpacked(packed)

    def _remember(self, device: str, run: int, packed: bytes) -> None:
        before = self._newest.pop(device, None)
        self._newest[device] = packed  # now the last one that is forgotten
        if before is not None and (other := run_of(before)) != run:
            self._others.pop((device, run), None)
            self._others[device, other] = before
            _forget_oldest(self._others)
        _forget_oldest(self._newest)


def _forget_oldest(kept: dict[K, bytes]) -> None:
    if len(kept) > MOST_SESSIONS:
        del kept[next(iter(kept))]


def keep_aside(
    ledger: Ledger, bad: Iterable[tuple[Report, Wrong]], now_ms: int, unread: Iterable[Unread] = ()
) -> None:
    """Keep reports in quarantine; one that is there already stays once."""
    aside = [
        (report.device, msgspec.json.encode(report), report.at_ms, wrong.code, wrong.reason)
        for report, wrong in bad
    ]
    aside += [(one.device, one.payload, now_ms, one.code, one.reason) for one in unread]
    rows = {}
    for name, message, at_ms, code, reason in aside:
        key = (printable(name)[:63], hashlib.sha256(message).hexdigest())
        text = message[:LONGEST_MESSAGE].decode(errors="replace")
        rows[key] = (*key, now_ms, at_ms, code, printable(reason), printable(text))
    names = ("came_ms", "at_ms", "code", "reason", "message")
    ledger.transact(
        lambda connection: merge_rows(
            connection, quarantine, dict.fromkeys(names, "new"), [rows[key] for key in sorted(rows)]
        )
    )
    for device in sorted({device for device, _ in rows}):
        _thin(ledger, device)


def in_quarantine(
    ledger: Ledger, device: str = "", most: int = 1000, after: tuple[int, str, str] | None = None
) -> list[Quarantined]:
    """What is in quarantine, the newest first; what comes `after` a time, device and digest."""
    table = quarantine.c
    names = Quarantined.__struct_fields__
    order = (table.came_ms.desc(), table.device, table.sha256)
    rows = select(*(table[name] for name in names)).order_by(*order).limit(most)
    if device:
        rows = rows.where(table.device == device)
    if after:
        came_ms, name, sha256 = after
        later = (table.device > name) | ((table.device == name) & (table.sha256 > sha256))
        rows = rows.where((table.came_ms < came_ms) | ((table.came_ms == came_ms) & later))
    with ledger.engine.connect() as connection:
        return [Quarantined(*row) for row in connection.execute(rows)]


def _thin(ledger: Ledger, device: str) -> None:
    table = quarantine.c
    mine = select(table.sha256).where(table.device == device)
    with ledger.engine.begin() as connection:
        count = connection.execute(select(func.count()).select_from(mine.subquery())).scalar() or 0
        if count > MOST_KEPT:
            newest = mine.order_by(table.came_ms.desc(), table.sha256).limit(MOST_KEPT)
            kept = [sha256 for (sha256,) in connection.execute(newest)]
            connection.execute(delete(quarantine).where(table.device == device, table.sha256.not_in(kept)))
