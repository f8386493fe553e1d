"""Which hours' edge charges are kept, and those charges: replaced hour by hour, each in one transaction.

Rolling up counts a version of every hour that changed (`hour_version`). An hour's charges are kept
with the version that they are of, and are worked out anew where that isn't the latest. Charges and
version are written together or not at all, so it doesn't matter who of several coordinators does it,
how often, or where it breaks off.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from tidewatt_coordinator.costs.charge import Charge
from tidewatt_coordinator.costs.store import replace_batch
from tidewatt_coordinator.electricity.charges import SOURCE
from tidewatt_coordinator.electricity.rates import HOUR_MS
from tidewatt_coordinator.ledger.merging import Rule, merge_rows
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.ledger.tables import edge_hour, edge_month, edge_site_hour, hour_version

#: No version of any hour: to be worked out again.
NEVER = -1
#: Money in whole numbers of 10^-12.
UNITS = Decimal(10) ** 12
#: Fees go back no further than this before now, whatever a device's clock has said.
LONGEST_MS = 400 * 24 * HOUR_MS

_SITE_HOUR: dict[str, Rule] = dict.fromkeys(("currency", "energy_mj", "cost_e12"), "new")


class Due(msgspec.Struct, frozen=True, order=True):
    """An hour to be worked out, of a version: 0 if nothing was reported in it."""

    hour_ms: int
    version: int


class Used(msgspec.Struct, frozen=True):
    """A site's energy in an hour, and what it paid for it."""

    site: str
    currency: str
    energy_mj: int
    cost: Decimal


def due(ledger: Ledger, until_ms: int, most: int) -> list[Due]:
    """The latest hours that are to be worked out, of those that end by `until_ms`; `most` of them."""
    new, kept = hour_version.c, edge_hour.c
    closed = new.hour_ms <= until_ms - HOUR_MS
    changed = (
        select(new.hour_ms, new.version)
        .select_from(hour_version.outerjoin(edge_hour, new.hour_ms == kept.hour_ms))
        .where(closed, (kept.version.is_(None)) | (kept.version != new.version))
        .order_by(new.hour_ms.desc())
        .limit(most)
    )
    again = select(kept.hour_ms).where(kept.version == NEVER).order_by(kept.hour_ms.desc()).limit(most)
    with ledger.engine.connect() as connection:
        found = {Due(int(hour_ms), int(version)) for hour_ms, version in connection.execute(changed)}
        first = connection.execute(select(func.min(new.hour_ms)).where(closed)).scalar()
        if first is None:
            return []
        quiet = set(connection.execute(again).scalars())
        begin = max(first, until_ms - until_ms % HOUR_MS - LONGEST_MS)
        quiet.update(_never(connection, range(begin, until_ms - HOUR_MS + 1, HOUR_MS)))
        known = set(
            connection.execute(select(new.hour_ms).where(new.hour_ms.between(begin, until_ms))).scalars()
        )
    found.update(Due(hour_ms, 0) for hour_ms in quiet - known)
    return sorted(found, reverse=True)[:most]


def _never(connection: Connection, wanted: range) -> set[int]:
    """The hours of a range that were never worked out."""
    if not wanted:
        return set()
    here = edge_hour.c.hour_ms.between(wanted[0], wanted[-1])
    if connection.execute(select(func.count()).select_from(edge_hour).where(here)).scalar() == len(wanted):
        return set()
    return set(wanted).difference(connection.execute(select(edge_hour.c.hour_ms).where(here)).scalars())


def keep_hour(
    ledger: Ledger, one: Due, terms: str, charges: Sequence[Charge], used: Iterable[Used], now_ms: int
) -> bool:
    """Let these be all of an hour's charges; False, and nothing done, if the hour has changed since."""
    sums = sorted(
        (one.hour_ms, it.site, it.currency, it.energy_mj, int(it.cost * UNITS)) for it in used if it.energy_mj
    )

    def kept(connection: Connection) -> bool:
        this = hour_version.c.hour_ms == one.hour_ms
        version = connection.execute(select(hour_version.c.version).where(this)).scalar() or 0
        if version != one.version:
            return False
        mark = [(one.hour_ms, version, 1, terms)]
        merge_rows(connection, edge_hour, {"version": "new", "times": "sum", "terms": "new"}, mark)
        replace_batch(connection, SOURCE, f"hour/{one.hour_ms}", charges, now_ms)
        connection.execute(delete(edge_site_hour).where(edge_site_hour.c.hour_ms == one.hour_ms))
        merge_rows(connection, edge_site_hour, _SITE_HOUR, sums)
        return True

    return bool(ledger.transact(kept))


def times(connection: Connection, month: tuple[int, int]) -> int:
    """How often the hours of a month were worked out, together: it rises whenever one of them changes."""
    here = (edge_hour.c.hour_ms >= month[0]) & (edge_hour.c.hour_ms < month[1])
    return int(connection.execute(select(func.sum(edge_hour.c.times)).where(here)).scalar() or 0)


def month_due(ledger: Ledger, site: str, month: tuple[int, int]) -> int:
    """How often a month's hours were worked out, if its demand charge is not of that; else 0."""
    mine = (edge_month.c.month_ms == month[0]) & (edge_month.c.site == site)
    with ledger.engine.connect() as connection:
        count = times(connection, month)
        kept = connection.execute(select(edge_month.c.times).where(mine)).scalar()
    return 0 if kept == count else count


def used_in(ledger: Ledger, site: str, month: tuple[int, int]) -> dict[int, int]:
    """A site's energy by hour, as far as its hours' charges are kept."""
    table = edge_site_hour.c
    rows = select(table.hour_ms, table.energy_mj).where(
        table.hour_ms >= month[0], table.hour_ms < month[1], table.site == site
    )
    with ledger.engine.connect() as connection:
        return {int(hour_ms): int(energy_mj) for hour_ms, energy_mj in connection.execute(rows)}


def keep_month(
    ledger: Ledger, site: str, month: tuple[int, int], count: int, charges: Sequence[Charge], now_ms: int
) -> bool:
    """Let these be a month's demand charges of a site; False if one of its hours has changed since."""

    def kept(connection: Connection) -> bool:
        if times(connection, month) != count:
            return False
        merge_rows(connection, edge_month, {"times": "new"}, [(month[0], site, count)])
        replace_batch(connection, SOURCE, f"month/{month[0]}/{site}", charges, now_ms)
        return True

    return bool(ledger.transact(kept))


def terms_kept(ledger: Ledger) -> dict[int, str]:
    """Under which terms each hour's charges are kept."""
    with ledger.engine.connect() as connection:
        rows = connection.execute(select(edge_hour.c.hour_ms, edge_hour.c.terms))
        return {int(hour_ms): str(terms) for hour_ms, terms in rows}


def again(ledger: Ledger, hours: Sequence[int]) -> None:
    """Have hours worked out again, whether they changed or not."""

    def marked(connection: Connection) -> None:
        for start in range(0, len(hours), 1000):
            some = edge_hour.c.hour_ms.in_(hours[start : start + 1000])
            connection.execute(update(edge_hour).where(some).values(version=NEVER))

    ledger.transact(marked)


def energy_costs(ledger: Ledger) -> Mapping[str, tuple[int, Decimal]]:
    """By currency: the energy of the hours whose charges are kept, and what it cost."""
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
