"""Which days' edge charges are kept, and those charges: replaced day by day, each in one transaction.

Rolling up counts a version of every hour that changed (`hour_version`); it only ever rises. A day's
charges are kept with the hours that they are of and the sum of these hours' versions, and are worked
out anew where that isn't what stands: an hour has closed, or one has changed. Charges and mark are
written together or not at all, so it doesn't matter who of several coordinators does it, how often,
or where it breaks off.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.costs.store import batch_rows, replace_batch
from tidewatt_coordinator.electricity.charges import SOURCE, Period
from tidewatt_coordinator.electricity.rates import HOUR_MS
from tidewatt_coordinator.ledger.merging import Rule, merge_rows
from tidewatt_coordinator.ledger.rolled import DAY_MS
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import edge_month, edge_settled, edge_site_hour, hour_version

#: No sum of versions: to be worked out again.
NEVER = -1
#: Money in whole numbers of 10^-12.
UNITS = Decimal(10) ** 12
#: Fees go back no further than this before now, whatever a device's clock has said.
LONGEST_MS = 400 * DAY_MS

_MARK: dict[str, Rule] = {
    "from_ms": "new",
    "until_ms": "new",
    "versions": "new",
    "times": "sum",
    "terms": "new",
}
_SITE_HOUR: dict[str, Rule] = dict.fromkeys(("currency", "energy_mj", "cost_e12"), "new")


class Due(msgspec.Struct, frozen=True, order=True):
    """A day to be worked out: its closed hours, and the sum of their versions, 0 if nothing was reported."""

    day_ms: int
    from_ms: int
    until_ms: int
    versions: int

    @property
    def period(self) -> Period:
        """From when, until when."""
        return self.from_ms, self.until_ms


class Used(msgspec.Struct, frozen=True):
    """A site's energy in an hour, and what it paid for it."""

    hour_ms: int
    site: str
    currency: str
    energy_mj: int
    cost: Decimal


def due(ledger: Ledger, until_ms: int, most: int) -> list[Due]:
    """The latest days that are to be worked out, of the hours that end by `until_ms`; `most` of them."""
    closed_ms = until_ms - until_ms % HOUR_MS
    new, mark = hour_version.c, edge_settled.c
    day = (new.hour_ms // DAY_MS * DAY_MS).label("day_ms")
    reported = select(day, func.sum(new.version)).where(new.hour_ms < closed_ms).group_by(day)
    with ledger.engine.connect() as connection:
        first_ms = connection.execute(select(func.min(new.hour_ms)).where(new.hour_ms < closed_ms)).scalar()
        if first_ms is None:
            return []
        versions = {int(day_ms): int(count) for day_ms, count in connection.execute(reported)}
        marks = select(mark.day_ms, mark.from_ms, mark.until_ms, mark.versions)
        kept = {int(row[0]): Due(*map(int, row)) for row in connection.execute(marks)}
    begin = max(first_ms - first_ms % DAY_MS, closed_ms - closed_ms % DAY_MS - LONGEST_MS)
    found = []
    for day_ms in sorted({*versions, *range(begin, closed_ms, DAY_MS)}, reverse=True):
        end_ms = min(day_ms + DAY_MS, closed_ms)
        wanted = Due(day_ms, max(day_ms, first_ms), end_ms, versions.get(day_ms, 0))
        before = kept.get(day_ms)
        # Of two coordinators' clocks the faster one has closed more hours: they don't undo each other's.
        if before is None or (before != wanted and before.until_ms <= end_ms):
            found.append(wanted)
    return found[:most]


def keep_day(
    ledger: Ledger, one: Due, terms: str, charges: Sequence[Charge], used: Iterable[Used], now_ms: int
) -> bool:
    """Let these be all of a day's charges; False, and nothing done, if one of its hours has changed since."""
    sums = sorted(
        (it.hour_ms, it.site, it.currency, it.energy_mj, int(it.cost * UNITS)) for it in used if it.energy_mj
    )

    batch = f"day/{one.day_ms}"
    rows = batch_rows(batch, charges, now_ms)

    def kept(connection: Connection) -> bool:
        mine = (hour_version.c.hour_ms >= one.day_ms) & (hour_version.c.hour_ms < one.until_ms)
        versions = connection.execute(select(func.sum(hour_version.c.version)).where(mine)).scalar() or 0
        if versions != one.versions:
            return False
        mark = (one.day_ms, one.from_ms, one.until_ms, one.versions, 1, terms)
        merge_rows(connection, edge_settled, _MARK, [mark])
        replace_batch(connection, SOURCE, batch, rows)
        hour = edge_site_hour.c.hour_ms
        connection.execute(delete(edge_site_hour).where(hour >= one.day_ms, hour < one.day_ms + DAY_MS))
        merge_rows(connection, edge_site_hour, _SITE_HOUR, sums)
        return True

    return bool(ledger.transact(kept))


def times(connection: Connection, month: Period) -> int:
    """How often the days of a month were worked out, together: it rises whenever one of them changes."""
    here = (edge_settled.c.day_ms > month[0] - DAY_MS) & (edge_settled.c.day_ms < month[1])
    return int(connection.execute(select(func.sum(edge_settled.c.times)).where(here)).scalar() or 0)


def month_due(ledger: Ledger, site: str, month: Period) -> int:
    """How often a month's days were worked out, if its demand charge is not of that; else 0."""
    mine = (edge_month.c.month_ms == month[0]) & (edge_month.c.site == site)
    with ledger.engine.connect() as connection:
        count = times(connection, month)
        kept = connection.execute(select(edge_month.c.times).where(mine)).scalar()
    return 0 if kept == count else count


def used_in(ledger: Ledger, site: str, month: Period) -> dict[int, int]:
    """A site's energy by hour, as far as its days' charges are kept."""
    table = edge_site_hour.c
    rows = select(table.hour_ms, table.energy_mj).where(
        table.hour_ms >= month[0], table.hour_ms < month[1], table.site == site
    )
    with ledger.engine.connect() as connection:
        return {int(hour_ms): int(energy_mj) for hour_ms, energy_mj in connection.execute(rows)}


def keep_month(
    ledger: Ledger, site: str, month: Period, count: int, charges: Sequence[Charge], now_ms: int
) -> bool:
    """Let these be a month's demand charges of a site; False if one of its days has changed since."""
    batch = f"month/{month[0]}/{site}"

    def kept(connection: Connection) -> bool:
        if times(connection, month) != count:
            return False
        merge_rows(connection, edge_month, {"times": "new"}, [(month[0], site, count)])
        replace_batch(connection, SOURCE, batch, batch_rows(batch, charges, now_ms))
        return True

    return bool(ledger.transact(kept))


def terms_kept(ledger: Ledger) -> dict[Period, str]:
    """Under which terms each day's charges are kept: by its hours."""
    mark = edge_settled.c
    with ledger.engine.connect() as connection:
        rows = connection.execute(select(mark.from_ms, mark.until_ms, mark.terms).order_by(mark.day_ms))
        return {(int(from_ms), int(until_ms)): str(terms) for from_ms, until_ms, terms in rows}


def again(ledger: Ledger, days: Sequence[int]) -> None:
    """Have days worked out again, whether they changed or not."""

    def marked(connection: Connection) -> None:
        for start in range(0, len(days), 1000):
            some = edge_settled.c.day_ms.in_(days[start : start + 1000])
            connection.execute(update(edge_settled).where(some).values(versions=NEVER))

    ledger.transact(marked)


def energy_costs(ledger: Ledger) -> Mapping[str, tuple[int, Decimal]]:
    """By currency: the energy of the days whose charges are kept, and what it cost."""
    table, million = edge_site_hour.c, 1_000_000
    low = table.cost_e12 % million  # in two parts, because SQLite's sums end at 2^63
    rows = select(
        table.currency, func.sum(table.energy_mj), func.sum((table.cost_e12 - low) // million), func.sum(low)
    ).group_by(table.currency)
    with ledger.engine.connect() as connection:
        return {
            currency: (int(mj), (Decimal(int(high)) * million + int(low)) / UNITS)
            for currency, mj, high, low in connection.execute(rows)
        }
