"""Writing a month's report in one of its formats."""

import csv
from collections.abc import Iterator
from pathlib import Path

from tidewatt_coordinator.costs.attribution import within
from tidewatt_coordinator.costs.charge import Charge, CostError
from tidewatt_coordinator.costs.files import names, rows, write_csv
from tidewatt_coordinator.costs.focus_check import check
from tidewatt_coordinator.costs.focus_columns import Version
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.reports.facts import Facts
from tidewatt_coordinator.reports.figures import HEADER
from tidewatt_coordinator.reports.figures import rows as figures
from tidewatt_coordinator.reports.html import page
from tidewatt_coordinator.reports.pages import document
from tidewatt_coordinator.reports.pdf import pages
from tidewatt_coordinator.reports.settings import Format

#: How each format's file ends.
ENDINGS: dict[Format, str] = {"html": ".html", "pdf": ".pdf", "csv": ".csv", "focus": ".focus.csv"}
#: The widest understood.
FOCUS_VERSION: Version = "1.2"


def file_name(facts: Facts, kind: Format) -> str:
    """Such as tidewatt-default-2026-10.html."""
    return f"tidewatt-{facts.fleet}-{facts.month}{ENDINGS[kind]}"


def write(facts: Facts, ledger: Ledger, kind: Format, file: Path) -> None:
    """Write it. CostError if what was to be FOCUS is not, or a library is missing; then there is no file."""
    # Whole or not at all: nobody finds half a report under its name.
    beside = file.with_name(f".{file.name}.part")
    try:
        if kind == "html":
            beside.write_text(page(document(facts)), "utf-8")
        elif kind == "pdf":
            beside.write_bytes(pages(document(facts), facts.made_ms))
        elif kind == "csv":
            with beside.open("w", encoding="utf-8", newline="") as opened:
                writer = csv.writer(opened)
                writer.writerow(HEADER)
                writer.writerows(figures(facts))
        else:
            _write_focus(facts, ledger, beside)
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def _write_focus(facts: Facts, ledger: Ledger, file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        write_csv(opened, _charges(facts, ledger), FOCUS_VERSION)
    if wrong := check(names(file), rows(file), FOCUS_VERSION):
        raise CostError(
            f"the export of {facts.month} would not be FOCUS {FOCUS_VERSION}: {'; '.join(wrong[:3])}"
        )


def _charges(facts: Facts, ledger: Ledger) -> Iterator[Charge]:
    """The very charges that the report sums: the edge's and the bill's, cut to its window."""
    window = facts.window
    for charge in Charges(ledger.engine).read(window.start_ms, window.end_ms, facts.sources):
        if part := within(charge, window):
            yield part
