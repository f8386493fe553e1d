"""A report as people read it: sections of sentences, charts and tables, for HTML and PDF alike. Pure.

Amounts are rounded here and nowhere else: rows of a table sum to its last row, to the cent.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from tidewatt_coordinator.costs.attribution import rounded
from tidewatt_coordinator.costs.charge import total

#: Rows of a table that are shown; what is not shown is summed up.
MOST_ROWS = 12


class Series(msgspec.Struct, frozen=True):
    """One colour of a chart."""

    name: str
    values: list[float]


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Bars, one upon the other where there are several series."""

    title: str
    alt: str
    """What it shows, for those who can't see it."""
    labels: list[str]
    series: list[Series]
    unit: str
    lying: bool = False
    """Bars from the left to the right: names are long."""
    aside: str = ""
    """Of this label the bar is not whole: a month that isn't over."""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of text; columns from `words` on are numbers."""

    caption: str
    columns: list[str]
    words: int = 1
    rows: list[list[str]]
    total: list[str] | None = None


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part with a heading."""

    title: str
    text: list[str] = []
    charts: list[Chart] = []
    tables: list[Table] = []
    notes: list[str] = []
    """Shown as a list, after all else."""


class Tile(msgspec.Struct, frozen=True):
    """A figure that is seen first."""

    name: str
    value: str
    more: str = ""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report."""

    title: str
    subtitle: str
    tiles: list[Tile]
    sections: list[Section]


def money(value: Decimal | None) -> str:
    """As it is read; a dash for what isn't known."""
    return "-" if value is None else f"{value:,.2f}"


def percent(part: Decimal, whole: Decimal) -> str:
    """A share of something; a dash where it says nothing."""
    return f"{100 * part / whole:.1f} %" if whole > 0 else "-"


def change(before: Decimal, after: Decimal) -> str:
    """By how much it has changed, as a share."""
    return f"{100 * (after - before) / before:+.1f} %" if before > 0 and after >= 0 else "-"


def parts_table(
    caption: str, columns: Sequence[str], names: Sequence[str], values: Sequence[Sequence[Decimal]]
) -> Table:
    """Named amounts, the first `MOST_ROWS` shown, with each column's sum: `values` are the columns'.

    The last column is the first amount's share of the whole.
    """
    shown = [rounded(column) for column in values]
    sums = [total(column) for column in shown]
    most = len(names) if len(names) <= MOST_ROWS + 1 else MOST_ROWS  # "1 more" takes as much room as it
    rows = [
        [name, *(money(column[place]) for column in shown), percent(shown[0][place], sums[0])]
        for place, name in enumerate(names[:most])
    ]
    if len(names) > most:
        rest = [total(column[most:]) for column in shown]
        rows.append([f"{len(names) - most} more", *map(money, rest), percent(rest[0], sums[0])])
    return Table(
        caption=caption,
        columns=[*columns, "share"],
        rows=rows,
        total=["total", *map(money, sums), percent(sums[0], sums[0])],
    )
