"""Whether rows are FOCUS: the columns that there must be, and what may stand in them."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from tidewatt_coordinator.costs.charge import CostError, amount, currency_code
from tidewatt_coordinator.costs.days import parse_time
from tidewatt_coordinator.costs.focus_columns import BY_NAME, Column, Version, columns

Row = Mapping[str, str]


def wrong_header(header: Sequence[str], version: Version) -> Iterator[str]:
    """A sentence for every column that is missing, unknown or there twice."""
    known = {column.name: column for column in columns(version)}
    for name, column in known.items():
        replaced = version == "1.4" and name == "ServiceProviderName"
        if name not in header and (column.needed or replaced):
            yield f"the column {name} is missing"
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            yield f"the column {name} is there {header.count(name)} times"
        if name not in known and not name.startswith("x_"):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; a column of one's own begins with x_"
            yield f"the column {name[:60]!r} is not in FOCUS {version}{hint}"


def wrong_row(row: Row) -> Iterator[str]:
    """A sentence for everything that is wrong with one row; "" is null."""
    for name, value in row.items():
        if (column := BY_NAME.get(name)) and (sentence := _wrong_value(column, value)):
            yield sentence
    yield from _wrong_period(row, "ChargePeriod")
    yield from _wrong_period(row, "BillingPeriod")
    for pair in ("Consumed", "Pricing"):
        if bool(row.get(f"{pair}Quantity")) != bool(row.get(f"{pair}Unit")):
            yield f"{pair}Quantity and {pair}Unit are null together, or neither is"
    if row.get("CommitmentDiscountId") and row.get("ChargeCategory") == "Usage":
        if not row.get("CommitmentDiscountStatus"):
            yield "usage with a CommitmentDiscountId has a CommitmentDiscountStatus"
    elif row.get("CommitmentDiscountStatus"):
        yield "CommitmentDiscountStatus is null where no commitment discounts usage"
    if row.get("ChargeCategory") == "Purchase" and row.get("ChargeFrequency") == "Usage-Based":
        yield "a Purchase is not Usage-Based"


def check(header: Sequence[str], rows: Iterable[Row], version: Version, most: int = 20) -> list[str]:
    """The first `most` things that are wrong with a file; empty if it is FOCUS of this version."""
    found = list(wrong_header(header, version))
    for number, row in enumerate(rows, start=1):
        if len(found) >= most:
            break
        found += [f"row {number}: {sentence}" for sentence in wrong_row(row)]
    return found[:most]


def _wrong_value(column: Column, value: str) -> str | None:
    if not value:
        return None if column.null else f"{column.name} is null"
    if column.type == "choice" and value not in column.choices:
        return f"{column.name} {value[:60]!r} is none of {', '.join(column.choices)}"
    try:
        if column.type == "decimal":
            amount(value, column.name)
        elif column.type == "time":
            parse_time(value, column.name)
        elif column.name in ("BillingCurrency", "PricingCurrency"):
            currency_code(value, column.name)
        elif column.type == "tags":
            msgspec.json.decode(value, type=dict[str, str | int | float | bool | None])
    except CostError as error:
        return str(error)
    except (msgspec.DecodeError, RecursionError):
        return f"{column.name} is no JSON object of plain values"
    return None


def _wrong_period(row: Row, name: str) -> Iterator[str]:
    try:
        begin, end = (parse_time(row.get(f"{name}{side}", ""), name) for side in ("Start", "End"))
    except CostError:
        return  # said where the values are looked at
    if begin >= end:
        yield f"{name}End is not after {name}Start; it is exclusive"
