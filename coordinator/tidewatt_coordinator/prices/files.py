"""Price tables from files: the shipped ones, and an operator's folder."""

import csv
import io
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from tidewatt_coordinator.prices.book import PriceBook, PriceTable
from tidewatt_wire.documents import DocumentError, decode_text, parse_toml

#: Columns of a CSV table. Rows of one item and region, one after the other, are its tiers.
COLUMNS = ("item", "region", "unit", "per", "price", "up_to", "free", "note")


def load_book(folder: str = "") -> PriceBook:
    """The shipped tables and those in `folder`, if one is named.

    Raises DocumentError for what is wrong in a file, OSError for a folder that can't be read.
    """
    shipped = [
        parse_table(file.read_text("utf-8"), file.name)
        for file in resources.files("tidewatt_coordinator.data.prices").iterdir()
        if file.name.endswith((".toml", ".csv"))
    ]
    own: list[PriceTable] = []
    if folder:
        paths = [path for path in sorted(Path(folder).iterdir()) if path.suffix in (".toml", ".csv")]
        own = [parse_table(decode_text(path.read_bytes(), str(path)), str(path)) for path in paths]
    return PriceBook(shipped, own)


def parse_table(text: str, name: str) -> PriceTable:
    """The table in a file's text, TOML or CSV by the end of its name; DocumentError says what is wrong."""
    table = _parse_csv(text, name) if name.endswith(".csv") else parse_toml(text, PriceTable, name=name)
    for sentence in table.wrong():
        raise DocumentError(f"{name}: {sentence}")
    return table


def _parse_csv(text: str, name: str) -> PriceTable:
    """A table with its facts in `# key: value` lines before the header."""
    facts: dict[str, Any] = {}
    lines = text.splitlines()
    start = 0
    while start < len(lines) and lines[start].startswith("#"):
        key, found, value = lines[start][1:].partition(":")
        if not found:
            raise DocumentError(f"{name}, line {start + 1}: not `# key: value`")
        facts[key.strip()] = value.strip()
        start += 1
    rows = csv.DictReader(io.StringIO("\n".join(lines[start:])), strict=True, restkey="", restval="")
    prices: list[dict[str, Any]] = []
    try:
        for column in rows.fieldnames or ():
            if column not in COLUMNS:
                raise DocumentError(f"{name}: no column {column!r}; there are: {', '.join(COLUMNS)}")
        for row in rows:
            _add(prices, row, f"{name}, line {start + rows.line_num}")
        return msgspec.convert(facts | {"price": prices}, PriceTable, strict=False)
    except (csv.Error, msgspec.ValidationError) as error:
        raise DocumentError(f"{name}: {error}") from error


def _add(prices: list[dict[str, Any]], row: dict[str, Any], where: str) -> None:
    """Add a row's price, or its tier to the price of the row before."""
    if "" in row:
        raise DocumentError(f"{where}: more cells than the header has columns")
    filled = {key: cell.strip() for key, cell in row.items() if cell.strip()}
    if "price" not in filled:
        raise DocumentError(f"{where}: no price")
    tier = {"price": filled.pop("price")} | ({"up_to": filled.pop("up_to")} if "up_to" in filled else {})
    last = prices[-1] if prices else {}
    if last.get("item") == filled.get("item") and last.get("region", "") == filled.get("region", ""):
        last["tiers"].append(tier)
    else:
        prices.append(filled | {"tiers": [tier]})
