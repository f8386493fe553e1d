"""The report's first half: what the month cost, day by day, for what, and what has moved. Pure."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta
from decimal import Decimal

from tidewatt_coordinator.costs.attribution import fitted, rounded
from tidewatt_coordinator.costs.charge import total
from tidewatt_coordinator.costs.days import DAY_MS, Window, day_of
from tidewatt_coordinator.questions.rows import NONE, Cost
from tidewatt_coordinator.questions.why import Why, sentence
from tidewatt_coordinator.reports.document import (
    MOST_ROWS,
    Chart,
    Section,
    Series,
    Table,
    Tile,
    change,
    money,
    parts_table,
)
from tidewatt_coordinator.reports.facts import Breakdown, Facts, month_sums

#: Services with a colour of their own; the others share one.
MOST_COLOURS = 4
OTHERS = "all others"
#: Sentences about what moved.
MOST_REASONS = 6
MILLION = 1_000_000


def tiles(facts: Facts) -> list[Tile]:
    """The figures that are seen first."""
    found = []
    for currency in facts.currencies:
        spent, before = facts.effective(currency), facts.before(currency)
        against = "the same days of the month before" if not facts.over else "the month before"
        moved = f"{change(before, spent)} against {against}" if before else "nothing the month before"
        first = _begun(facts, currency)
        if before and first and first >= day_of(facts.compared.start_ms):
            # Missing is not zero: of half a month a whole one is always more.
            moved = f"{money(before)} the month before, of which only the days from {first} on are known"
        found.append(Tile("spent, amortised", f"{money(spent)} {currency}", moved))
        found.append(Tile("billed", f"{money(facts.billed(currency))} {currency}", "as invoices say"))
    for month in facts.months:
        low, high = money(month.end.low), money(month.end.high)
        middle = f"{money(month.end.middle)} {month.currency}"
        found.append(Tile("at the month's end", middle, f"80 of 100: {low} to {high}"))
    served = facts.requests.totals[0].requests if facts.requests.totals else None
    if served:
        found.append(Tile("requests at the edge", f"{served:,}", _each(facts)))
    return found


def overview(facts: Facts) -> Section:
    """The totals, and the last months beside them."""
    tables, charts = [], []
    for currency in facts.currencies:
        sums = month_sums(facts.days, currency)
        labels = [name for name in _months(facts) if name >= min(sums)]
        values = [sums.get(name, Decimal(0)) for name in labels]  # each is a total by itself
        if len(labels) > 1:
            said = "; ".join(f"{name} {money(value)}" for name, value in zip(labels, values, strict=True))
            charts.append(
                Chart(
                    title=f"Months, {currency}",
                    alt=f"Bars of what each month cost in {currency}: {said}.",
                    labels=labels,
                    series=[Series("spent, amortised", [float(value) for value in values])],
                    unit=currency,
                    aside="" if facts.over else facts.month,
                )
            )
        tables.append(_months_table(facts, currency, labels, values))
    return Section(
        title="Totals and trend",
        text=[*_coverage(facts)],
        charts=charts,
        tables=tables,
    )


def days(facts: Facts) -> Section:
    """What each day cost, by the dearest services."""
    charts, tables = [], []
    every = _days(facts)
    for currency in facts.currencies:
        mine = [one for one in facts.costs if one.currency == currency]
        names, rest = _dearest(mine), _unlike({one.key[1] for one in mine})
        cells: dict[tuple[str, str], Decimal] = {}
        for one in mine:
            place = (one.key[0], one.key[1] if one.key[1] in names else rest)
            cells[place] = cells.get(place, Decimal(0)) + one.effective
        if any(name == rest for _, name in cells):
            names = [*names, rest]
        wholes = _by_service(facts, currency, names, rest)
        columns = [
            fitted([cells.get((day, name), Decimal(0)) for day in every], whole)
            for name, whole in zip(names, wholes, strict=True)
        ]
        sums = [total(row) for row in zip(*columns, strict=True)]
        charts.append(_days_chart(currency, every, names, columns, sums))
        missing = {str(day) for _, some in facts.missing for day in some}
        told = [*columns, sums]
        rows = [
            [day, *(_told(column[place], missing=day in missing) for column in told)]
            for place, day in enumerate(every)
        ]
        tables.append(
            Table(
                caption=f"By day, {currency}, amortised",
                columns=["day (UTC)", *names, "sum"],
                rows=rows,
                total=["total", *(money(total(column)) for column in columns), money(total(sums))],
            )
        )
    return Section(title="Day by day", charts=charts, tables=tables)


def breakdowns(facts: Facts) -> list[Section]:
    """By service, site and tags: each sums to the same total."""
    found = []
    for one in facts.breakdowns:
        if one.by not in ("service", "site") and all(cost.key == (NONE,) for cost in one.costs):
            continue  # nothing bears the tag
        found.append(_breakdown(facts, one))
    return found


def movers(facts: Facts) -> Section:
    """What cost something else than before, the largest difference first, and why."""
    tables: list[Table] = []
    wholes, moved = [], []
    for currency in sorted({one.currency for one in facts.movers}):
        mine = [one for one in facts.movers if one.currency == currency]
        before, after = rounded([one.before for one in mine]), rounded([one.after for one in mine])
        tables.append(_movers_table(currency, mine, before, after))
        # A sentence says what its row does, to the cent, which is shared out among the rows.
        differences = [new - old for old, new in zip(before, after, strict=True)]
        wholes += [(one, total(differences)) for one in facts.moved if one.currency == currency]
        moved += list(zip(mine, differences, strict=True))
    notes = [sentence(one, by) for one, by in [*wholes, *moved[:MOST_REASONS]] if by]
    days = _span(facts.compared)
    begun = [first for currency in facts.currencies if (first := _begun(facts, currency))]
    if begun and max(begun) >= day_of(facts.compared.start_ms):
        days += f", of which only the days from {max(begun)} on are known"
    return Section(
        title="Top movers",
        text=[f"Compared with {days}."] if tables else ["There is nothing to compare with."],
        tables=tables,
        notes=notes,
    )


def _breakdown(facts: Facts, one: Breakdown) -> Section:
    tables, charts = [], []
    name = one.by.removeprefix("tag:")
    for currency in facts.currencies:
        mine = [cost for cost in one.costs if cost.currency == currency]
        names = [_named(cost.key[0], one.by) for cost in mine]
        values = [[cost.effective for cost in mine], [cost.billed for cost in mine]]
        table = parts_table(f"By {name}, {currency}", [name, "amortised", "billed"], names, values)
        tables.append(table)
        shown = rounded(values[0])[:MOST_ROWS]
        said = "; ".join(f"{label} {money(value)}" for label, value in zip(names, shown, strict=False))
        if len(names) > 1:
            charts.append(
                Chart(
                    title=f"By {name}, {currency}",
                    alt=f"Bars of what each {name} cost in {currency}: {said}.",
                    labels=names[:MOST_ROWS],
                    series=[Series("spent, amortised", [float(value) for value in shown])],
                    unit=currency,
                    lying=True,
                )
            )
    return Section(title=f"By {name}", charts=charts, tables=tables)


def _named(value: str, by: str) -> str:
    if value != NONE:
        return value
    return {"service": "(no service)", "site": "(no site: the cloud)"}.get(
        by, f"(no {by.removeprefix('tag:')})"
    )


def _coverage(facts: Facts) -> list[str]:
    """What the figures rest on, and what is missing."""
    end = day_of(facts.window.end_ms)
    said = [
        f"Days are of UTC: {_span(facts.window)}.",
        "Amounts are amortised unless they say otherwise, and parts sum to totals, to the cent.",
    ]
    if not facts.over:
        said.append("The month is not over: it is told as far as every source has told its days.")
    elif facts.until < end:
        said.append(f"Not all may be told yet: of {facts.until} and later more may come.")
    for source, missing in facts.missing:
        told = "the edge" if source == "edge" else f"the bill ({source})"
        if len(missing) * DAY_MS == facts.window.end_ms - facts.window.start_ms:
            said.append(f"Of {told} nothing is known in this month: that is missing, not free.")
        else:
            said.append(f"Of {told} these days are missing, not free: {_runs(missing)}.")
    return said


def _runs(days: Sequence[date]) -> str:
    """Days of a month, in order, as 3, 5 to 9."""
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day.day - 1:
            runs[-1][1:] = [day.day]
        else:
            runs.append([day.day])
    return ", ".join(" to ".join(map(str, run)) for run in runs)


def _told(amount: Decimal, *, missing: bool) -> str:
    """Nothing, on a day that some source has not told of, is not known to be nothing."""
    return "-" if missing and not amount else money(amount)


def _span(window: Window) -> str:
    first, last = day_of(window.start_ms), day_of(window.end_ms) - timedelta(days=1)
    return str(first) if first >= last else f"{first} to {last}"


def _each(facts: Facts) -> str:
    one = facts.requests.totals[0]
    joules = f"{one.joules_per_request:,.3g} J each" if one.joules_per_request else ""
    edge = [
        (currency, total(row.effective or Decimal(0) for row in facts.requests.rows
                         if row.currency == currency and row.requests))
        for currency in facts.currencies
    ]  # fmt: skip
    costs = [
        f"{amount / (one.requests or 1) * MILLION:,.2f} {currency} a million"
        for currency, amount in edge
        if amount
    ]
    return ", ".join([*([joules] if joules else []), *costs])


def _months(facts: Facts) -> list[str]:
    first = date.fromisoformat(min(one.key[0] for one in facts.days)).replace(day=1)
    found = []
    while first <= facts.first:
        found.append(f"{first:%Y-%m}")
        first = (first + timedelta(days=31)).replace(day=1)
    return found


def _begun(facts: Facts, currency: str) -> date | None:
    """The first day with a cost in a currency, where that is within a month; None where it begins one."""
    first = min(
        (date.fromisoformat(one.key[0]) for one in facts.days if one.currency == currency), default=None
    )
    return None if first is None or first.day == 1 or str(first)[:7] == facts.month else first


def _months_table(facts: Facts, currency: str, labels: Sequence[str], values: Sequence[Decimal]) -> Table:
    rows = [
        [name, money(value), change(values[place - 1], value) if place else "-"]
        for place, (name, value) in enumerate(zip(labels, values, strict=True))
    ]
    if first := _begun(facts, currency):
        rows[0][0] = f"{rows[0][0]}, from {first} on"
        rows[1][2] = "-"
    if not facts.over:
        rows[-1][0], rows[-1][2] = f"{rows[-1][0]} so far", "-"
    return Table(
        caption=f"By month, {currency}, amortised", columns=["month", "spent", "change"], rows=rows[::-1]
    )


def _days(facts: Facts) -> list[str]:
    count = (facts.window.end_ms - facts.window.start_ms) // DAY_MS
    return [str(facts.first + timedelta(days=number)) for number in range(count)]


def _dearest(costs: Sequence[Cost]) -> list[str]:
    sums: dict[str, Decimal] = {}
    for one in costs:
        sums[one.key[1]] = sums.get(one.key[1], Decimal(0)) + one.effective
    ordered = sorted(sums, key=lambda name: (-sums[name], name))
    return ordered if len(ordered) <= MOST_COLOURS + 1 else ordered[:MOST_COLOURS]


def _unlike(services: Collection[str]) -> str:
    """A name for all others together that none of them has."""
    name = OTHERS
    while name in services:
        name = f"({name})"
    return name


def _by_service(facts: Facts, currency: str, names: Sequence[str], rest: str) -> list[Decimal]:
    """What the table by service shows for these; of `rest` what it shows for all others."""
    costs = next(one.costs for one in facts.breakdowns if one.by == "service")
    mine = [one for one in costs if one.currency == currency]
    shown = dict(zip([one.key[0] for one in mine], rounded([one.effective for one in mine]), strict=True))
    wholes = [shown.get(name, Decimal(0)) for name in names]
    if rest in names:
        wholes[names.index(rest)] = total(shown.values()) - total(wholes)
    return wholes


def _days_chart(
    currency: str,
    every: Sequence[str],
    names: Sequence[str],
    columns: Sequence[Sequence[Decimal]],
    sums: Sequence[Decimal],
) -> Chart:
    dearest = max(range(len(every)), key=sums.__getitem__)
    return Chart(
        title=f"Each day, {currency}",
        alt=f"Bars of what each day cost in {currency}, by {', '.join(names)}; the dearest day is "
        f"{every[dearest]} with {money(sums[dearest])}. The table has every day.",
        labels=[str(int(day[-2:])) for day in every],
        series=[
            Series(name, [float(value) for value in column])
            for name, column in zip(names, columns, strict=True)
        ],
        unit=currency,
    )


def _movers_table(
    currency: str, mine: Sequence[Why], before: Sequence[Decimal], after: Sequence[Decimal]
) -> Table:
    rows = [
        [_what(one), money(old), money(new), f"{new - old:+,.2f}", change(old, new)]
        for one, old, new in zip(mine, before, after, strict=True)
    ][:MOST_ROWS]
    if len(mine) > MOST_ROWS:
        old, new = total(before[MOST_ROWS:]), total(after[MOST_ROWS:])
        rest = f"{len(mine) - MOST_ROWS} more"
        rows.append([rest, money(old), money(new), f"{new - old:+,.2f}", change(old, new)])
    old, new = total(before), total(after)
    return Table(
        caption=f"Before and now, {currency}, amortised",
        columns=["what", "before", "now", "difference", "change"],
        rows=rows,
        total=["total", money(old), money(new), f"{new - old:+,.2f}", change(old, new)],
    )


def _what(one: Why) -> str:
    return one.service if one.site in ("", NONE) else f"{one.service} at {one.site}"
