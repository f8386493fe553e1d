"""A report as HTML, PDF, CSV and FOCUS, as what reads them sees it; and the command that writes them."""

import csv
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pypdf import PdfReader
from tests.reporting import (
    OCTOBER_ALL,
    OCTOBER_CLOUD,
    OCTOBER_EDGE,
    SITES_FILE,
    a_config,
    config,
    fill,
    ledger,
    october,
    tables,
)
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.days import parse_time
from tidewatt_coordinator.costs.focus import charges
from tidewatt_coordinator.costs.focus_check import check
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.reports.pages import document
from tidewatt_coordinator.reports.settings import Format
from tidewatt_coordinator.reports.writing import write
from tidewatt_wire.documents import DocumentError

__all__ = ["config", "ledger"]  # the fixtures


class Read(HTMLParser):
    """The tables, the texts for those who can't see charts, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        if "id" in found:
            self.ids.append(str(found["id"]))
        if found.get("role") == "img":
            self.alts.append(str(found["aria-label"]))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.open.append(tag)
        for name in ("src", "href", "xlink:href"):
            assert (found.get(name) or "#").startswith("#"), "it fetches nothing"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data


def test_the_page_has_every_figure_and_needs_nothing_else(
    ledger: Ledger, config: Config, tmp_path: Path
) -> None:
    facts = october(ledger, config)
    write(facts, ledger, "html", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    read = Read()
    read.feed(text)
    for table in tables(document(facts)).values():
        for row in (*table.rows, *([table.total] if table.total else [])):
            assert row in read.rows
    assert len(read.ids) == len(set(read.ids))
    assert len(read.alts) >= 4
    assert all(len(alt) > 40 for alt in read.alts)
    assert "script" not in read.tags
    assert "rome" not in read.tags  # a site's name is no markup
    assert "@import" not in text
    assert "url(http" not in text
    assert "default-src 'none'" in text


def test_the_same_facts_give_the_same_page(ledger: Ledger, config: Config, tmp_path: Path) -> None:
    facts = october(ledger, config)
    kinds: tuple[Format, ...] = ("html", "pdf")
    for kind in kinds:
        for name in ("one", "other"):
            write(facts, ledger, kind, tmp_path / name)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes(), kind


def test_the_pdf_has_every_figure(ledger: Ledger, config: Config, tmp_path: Path) -> None:
    facts = october(ledger, config)
    write(facts, ledger, "pdf", tmp_path / "r.pdf")
    reader = PdfReader(tmp_path / "r.pdf")
    assert reader.metadata is not None
    assert str(reader.metadata.title).startswith("Costs of October 2026")
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    for table in tables(document(facts)).values():
        for row in (*table.rows, *([table.total] if table.total else [])):
            for cell in row:
                assert " ".join(cell.split()) in text, (table.caption, cell)
    assert f"1 of {len(reader.pages)}" in text


def test_the_spreadsheets_figures_are_exact(ledger: Ledger, config: Config, tmp_path: Path) -> None:
    facts = october(ledger, config)
    write(facts, ledger, "csv", tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as opened_file:
        found = list(csv.DictReader(opened_file))
    effective = [row for row in found if row["measure"] == "effective"]
    for section in ("total", "day", "service", "site", "tag:team"):
        assert sum(Decimal(row["value"]) for row in effective if row["section"] == section) == OCTOBER_ALL
    items = {row["item"] for row in found if row["section"] == "service"}
    assert "'=Storage" in items  # no spreadsheet takes it for a formula
    (grams,) = (row["value"] for row in found if row["measure"] == "marginal_grams")
    assert Decimal(grams) == 21_700


def test_the_focus_export_is_what_the_report_sums(ledger: Ledger, config: Config, tmp_path: Path) -> None:
    facts = october(ledger, config)
    write(facts, ledger, "focus", tmp_path / "r.csv")
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as opened_file:
        reader = csv.DictReader(opened_file)
        rows = list(reader)
    assert check(list(reader.fieldnames or ()), rows, "1.2") == []
    found = [one for _, one in charges([("r.csv", rows)])]
    assert sum(one.effective for one in found) == OCTOBER_ALL
    edge = [one for one in found if one.service == "Edge Electricity"]
    assert sum(one.effective for one in edge) == OCTOBER_EDGE
    assert OCTOBER_CLOUD + Decimal(31) == sum(one.effective for one in found if one not in edge)
    assert max(one.end_ms for one in found) == parse_time("2026-11-01", "")


def test_nothing_is_left_of_a_report_that_could_not_be_written(
    ledger: Ledger, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = october(ledger, config)
    monkeypatch.setitem(__import__("sys").modules, "fpdf", None)
    (tmp_path / "out").mkdir()
    with pytest.raises(CostError, match=r"install tidewatt-coordinator\[reports\]"):
        write(facts, ledger, "pdf", tmp_path / "out" / "r.pdf")
    assert list((tmp_path / "out").iterdir()) == []


# The command


def test_the_command_writes_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger, config: Config
) -> None:
    fill(ledger)
    monkeypatch.chdir(tmp_path)
    file = str(tmp_path / "tidewatt.toml")
    for kind, name in (("html", "tidewatt-default-2026-10.html"), ("csv", "tidewatt-default-2026-10.csv")):
        found = CliRunner().invoke(app, ["report", "--config", file, "--month", "2026-10", "--format", kind])
        assert found.exit_code == 0, found.output
        assert found.output.startswith(f"{name}: 2026-10, the whole month")
        assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--month", "2026-13"], "--month: '2026-13' is no month such as 2026-10"),
        (["--format", "docx"], "--format 'docx' is none of html, pdf, csv, focus"),
        (["--month", "2190-01"], "2190-01 has not begun"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    a_config(tmp_path, f"sqlite:///{tmp_path / 'l.db'}")
    found = CliRunner().invoke(app, ["report", "--config", str(tmp_path / "tidewatt.toml"), *arguments])
    assert isinstance(found.exception, CostError)
    assert sentence in str(found.exception)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ('zone = "Mars/Olympus"', "reports.zone 'Mars/Olympus' is not a time zone"),
        ('zone = "../etc"', "is not a time zone"),
        ('email = "boss"', "reports.email 'boss' is no .*there are: none"),
        ('to = ["a@b"]', "reports.email names no"),
        ("formats = []", "reports.formats is empty"),
        ('formats = ["html", "html"]', "names one twice"),
        ("day = 31", "day"),
    ],
)
def test_a_wrong_section_is_refused(tmp_path: Path, section: str, sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        a_config(tmp_path, "sqlite://", f"[reports]\n{section}\n")
    assert (tmp_path / "sites.toml").read_text() == SITES_FILE
