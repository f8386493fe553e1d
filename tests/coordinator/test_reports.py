"""A month's report: the ledger's figures, right and adding up in every format; and a month without any."""

import re
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from sqlalchemy import Engine
from tests.costing import DAY_MS, a_charge, amounts
from tests.reporting import (
    NOW_MS,
    OCTOBER,
    OCTOBER_ALL,
    OCTOBER_EDGE,
    TOTAL,
    config,
    fill,
    ledger,
    october,
    opened,
    tables,
)

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.costs.attribution import fitted
from tidewatt_coordinator.costs.charge import CostError
from tidewatt_coordinator.costs.days import day_ms
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.levers.driver import Recommendation, Saving
from tidewatt_coordinator.proposals.state import Proposal
from tidewatt_coordinator.proposals.store import Proposals
from tidewatt_coordinator.reports.charts import DARK, LIGHT, for_page
from tidewatt_coordinator.reports.document import Chart, Section, Series, Table
from tidewatt_coordinator.reports.facts import Facts
from tidewatt_coordinator.reports.figures import rows as rows_of
from tidewatt_coordinator.reports.gather import gather
from tidewatt_coordinator.reports.pages import document
from tidewatt_coordinator.reports.recommended import OpenRecommendation
from tidewatt_coordinator.reports.settings import Format
from tidewatt_coordinator.reports.writing import file_name, write

__all__ = ["config", "ledger"]  # the fixtures


def number(cell: str) -> Decimal | None:
    plain = cell.replace(",", "").removeprefix("+")
    return Decimal(plain) if re.fullmatch(r"-?\d+(\.\d+)?", plain) else None


def assert_it_adds_up(table: Table) -> None:
    """Every column of amounts sums to what stands below it."""
    for place, name in enumerate(table.columns):
        if not table.total or name in ("J/request", "per million") or place < table.words:
            continue
        if (whole := number(table.total[place])) is None:
            continue
        parts = [number(row[place]) for row in table.rows]
        assert sum(part for part in parts if part is not None) == whole, (table.caption, name)


# What it says


def test_the_facts_are_the_ledgers(ledger: Ledger, config: Config) -> None:
    facts = october(ledger, config)
    assert facts.effective("USD") == OCTOBER_ALL
    found = document(facts)
    assert found.title == "Costs of October 2026"
    assert [tile.value for tile in found.tiles][:3] == [f"{TOTAL} USD", f"{TOTAL} USD", "9,300,000"]
    assert "18.0 J each" in found.tiles[2].more
    seen = tables(found)
    for caption in ("By day, USD, amortised", "By service, USD", "By site, USD", "By team, USD"):
        total = seen[caption].total
        assert total is not None
        assert TOTAL in total, caption
    by_service = {row[0]: row[1] for row in seen["By service, USD"].rows}
    assert by_service["Edge Electricity"] == f"{OCTOBER_EDGE:,.2f}"
    assert by_service["Support"] == "31.00"
    months = {row[0]: row[1] for row in seen["By month, USD, amortised"].rows}
    assert months["2026-10"] == TOTAL
    assert list(months) == ["2026-10", "2026-09", "2026-08, from 2026-08-20 on"]


def test_every_table_adds_up(ledger: Ledger, config: Config) -> None:
    for table in tables(document(october(ledger, config))).values():
        assert_it_adds_up(table)


def test_movers_budgets_anomalies_and_savings_are_the_months(ledger: Ledger, config: Config) -> None:
    found = document(october(ledger, config))
    seen = tables(found)
    first = seen["Before and now, USD, amortised"].rows[0]
    assert first[0] == "Compute & more"
    assert first[3] == "+120.00"  # a hundred, and a day more than September has
    assert seen["Budgets of the month"].rows == [
        [
            "all",
            "500.00 USD",
            TOTAL,
            f"{OCTOBER_ALL / 5:.1f} %",
            f"{500 - OCTOBER_ALL:,.2f}",
            "50 %, 80 %, 100 %",
        ]
    ]
    odd = [row[:3] for row in seen["Days that cost more than such days do"].rows]
    assert ["2026-10-21", "service Compute & more", "120.00"] in odd
    (saved,) = seen["Changes, money per month"].rows
    assert saved[:4] == ["smaller functions", "2026-10-05", "5.00", "0.00"]
    assert saved[5:] == ["5.00", "USD"]


def test_average_and_marginal_carbon_stay_apart(ledger: Ledger, config: Config) -> None:
    table = tables(document(october(ledger, config)))["By site, kg of CO2 equivalent"]
    by_site = {row[0]: row for row in table.rows}
    assert by_site["oakland"][2:] == ["31.000", "unknown", "21.700"]  # no static factor for that zone
    assert by_site["<rome>"][4] == "unknown"
    assert number(by_site["<rome>"][3]) is not None
    assert table.total is not None
    # Each total says that it is not the whole.
    sums = [f"{known} and what is unknown" for known in (by_site["<rome>"][3], "21.700")]
    assert table.total[3:] == sums


def test_sentences_say_what_their_rows_do(ledger: Ledger, config: Config) -> None:
    # Thirds of cents: what is shown of each is shared out so that the rows sum to the total.
    charges = [
        a_charge(
            key=f"{service}{month}", service=service, billed=Decimal(amount),
            start_ms=day_ms(date(2026, month, 1)), end_ms=day_ms(date(2026, month, 2)),
        )
        for service in ("a", "b", "c", "d")
        for month, amount in ((9, "1.0033"), (10, "3.0083"))
    ]  # fmt: skip
    Charges(ledger.engine).put(charges, 1)
    found = document(gather(ledger, config, OCTOBER, NOW_MS))
    (moved,) = (section for section in found.sections if section.title == "Top movers")
    rows = [*moved.tables[0].rows, moved.tables[0].total or []]
    shown = {row[0].replace("total", "all services"): row[3] for row in rows}
    assert sorted(set(shown.values())) == ["+2.00", "+2.01", "+8.02"], "they are not what each would be alone"
    said = {note.partition(": ")[0]: note.partition(": ")[2] for note in moved.notes}
    assert said.keys() == shown.keys()
    for name, sentence in said.items():
        difference, _, parts = sentence.partition(" USD: ")
        assert difference == shown[name]
        assert sum(Decimal(part.split()[0]) for part in parts.split(", ")) == Decimal(difference)


def test_open_recommendations_are_listed_and_none_is_said(ledger: Ledger, config: Config) -> None:
    def section(facts: Facts) -> Section:
        (found,) = (one for one in document(facts).sections if one.title == "Recommendations open")
        return found

    assert section(october(ledger, config)).text == ["None open."]

    def reader(_database: Engine, fleet: str) -> list[OpenRecommendation]:
        assert fleet == "default"
        return [
            OpenRecommendation(
                id=f"r{number}", what="logs to a colder class", service="Amazon S3", stage="open",
                low=saving / 2, middle=saving, high=2 * saving, currency="USD", risk="low", made_ms=NOW_MS,
                irreversible=number == 1,
            )
            for number, saving in enumerate([Decimal("1.005"), Decimal("20.005")])
        ]  # fmt: skip

    facts = gather(ledger, config, OCTOBER, NOW_MS, reader)
    (table,) = section(facts).tables
    assert sorted(row[4] for row in table.rows) == ["1.00", "20.01"], (
        "the cent that is missing, to one of them"
    )
    assert table.total is not None
    assert table.total[4] == "21.01"
    assert section(facts).notes[0].startswith("r1: nobody has judged")
    assert section(facts).notes[0].endswith("it is yours to do.")
    assert ("recommendation", "r1", "USD", "saving_per_month", "20.005") in list(rows_of(facts))


def test_what_is_proposed_is_in_the_report(ledger: Ledger, config: Config) -> None:
    said = Recommendation(
        driver="s3", target="s3://logs", service="Amazon S3", what="logs to a colder class", risk="low",
        before={"rule": None}, after={"rule": {}}, disruption=0.0, evidence=["they were read once"],
        saving=Saving(low=Decimal(1), middle=Decimal(2), high=Decimal(4)),
    )  # fmt: skip
    book = Proposals(ledger.engine, "default")
    book.make(Proposal(id="p1", recommendation=said, made_ms=NOW_MS), "driver")
    book.make(Proposal(id="p2", recommendation=said, made_ms=NOW_MS, stage="kept"), "driver")
    (one,) = october(ledger, config).recommended
    assert (one.id, one.what, one.middle, one.stage) == ("p1", "logs to a colder class", Decimal(2), "open")


def test_a_month_that_is_not_over_is_told_so_far(ledger: Ledger, config: Config) -> None:
    fill(ledger)
    facts = gather(ledger, config, date(2026, 11, 1), NOW_MS)
    assert facts.effective("USD") > 0
    found = document(facts)
    assert "until 2026-11-0" in found.subtitle
    assert "at the month's end" in [tile.name for tile in found.tiles]
    assert tables(found)["By month, USD, amortised"].rows[0][0] == "2026-11 so far"
    # The second is the last that was told of, maybe not the whole of it. As many days are compared with.
    (total,) = (section for section in found.sections if section.title == "Top movers")
    assert "Compared with 2026-10-01." in total.text


def test_a_month_of_which_only_the_end_is_known_is_compared_with_nothing(
    ledger: Ledger, config: Config
) -> None:
    fill(ledger)
    found = document(gather(ledger, config, date(2026, 9, 1), NOW_MS))
    months = tables(found)["By month, USD, amortised"]
    assert [(row[0], row[2]) for row in months.rows] == [
        ("2026-09", "-"),
        ("2026-08, from 2026-08-20 on", "-"),
    ]
    only = "of which only the days from 2026-08-20 on are known"
    assert found.tiles[0].more.endswith(only)
    (moved,) = (section for section in found.sections if section.title == "Top movers")
    assert moved.text == [f"Compared with 2026-08-01 to 2026-08-31, {only}."]


def test_days_that_nobody_told_of_are_missing_not_free(ledger: Ledger, config: Config) -> None:
    later = a_charge(key="later", start_ms=day_ms(date(2026, 11, 1)), end_ms=day_ms(date(2026, 11, 2)))
    Charges(ledger.engine).put([a_charge(key="one"), later], 1)
    found = document(gather(ledger, config, OCTOBER, NOW_MS))
    text = " ".join(found.sections[0].text)
    assert "Of the bill (focus) these days are missing, not free: 2 to 31." in text
    days = tables(found)["By day, USD, amortised"]
    assert days.rows[0][1:] == ["1.00", "1.00"]
    assert days.rows[1] == ["2026-10-02", "-", "-"]


def test_a_month_without_data_says_so(ledger: Ledger, config: Config, tmp_path: Path) -> None:
    facts = gather(ledger, config, OCTOBER, NOW_MS)
    (section,) = document(facts).sections
    assert section.title == "There is no data"
    kinds: tuple[Format, ...] = ("html", "pdf", "csv", "focus")
    for kind in kinds:
        write(facts, ledger, kind, tmp_path / file_name(facts, kind))
    assert "There is no data" in (tmp_path / "tidewatt-default-2026-10.html").read_text()
    assert "There is no data" in PdfReader(tmp_path / "tidewatt-default-2026-10.pdf").pages[0].extract_text()
    figures = (tmp_path / "tidewatt-default-2026-10.csv").read_text().splitlines()
    assert figures == ["section,item,currency,measure,value", "budget,all,USD,amount,500"]


def test_a_month_that_has_not_begun_is_refused(ledger: Ledger, config: Config) -> None:
    with pytest.raises(CostError, match="2027-01 has not begun"):
        gather(ledger, config, date(2027, 1, 1), NOW_MS)


# Its parts


@given(values=st.lists(amounts(), min_size=1, max_size=8), off=st.integers(-12, 12))
def test_fitted_parts_sum_to_the_whole_they_are_given(values: list[Decimal], off: int) -> None:
    cents = Decimal("0.01")
    whole = sum(values, Decimal(0)).quantize(cents) + off * cents
    assert sum(fitted(values, whole)) == whole


@pytest.mark.parametrize("name", ["$x^{", "_hidden", "<&>", "日本", "a" * 200, ""])
def test_any_name_can_stand_in_a_chart(name: str, recwarn: pytest.WarningsRecorder) -> None:
    for lying in (False, True):
        chart = Chart(
            title=name, alt=name, labels=[name, "b"], unit="USD", lying=lying,
            series=[Series(name, [1.0, -2.0]), Series("other", [0.0, 3.0])],
        )  # fmt: skip
        drawn = for_page(chart, "p")
        assert drawn.startswith("<svg ")
        assert "var(--c0)" in drawn
        assert not re.search(r"#0a0b", drawn)


def contrast(one: str, other: str) -> float:
    """As WCAG 2 has it."""

    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("colours", "grounds"), [(LIGHT, ("#ffffff", "#f4f6f9")), (DARK, ("#12161c", "#1b212a"))]
)
def test_everybody_can_read_it(colours: dict[str, str], grounds: tuple[str, ...]) -> None:
    for ground in grounds:
        assert contrast(colours["ink"], ground) >= 7
        assert contrast(colours["muted"], ground) >= 4.5
    for name in ("c0", "c1", "c2", "c3", "c4"):
        assert contrast(colours[name], grounds[0]) >= 2.5, name


def put(ledger: Ledger, paid: list[tuple[int, int, str, str, Decimal]]) -> None:
    start = day_ms(OCTOBER)
    Charges(ledger.engine).put(
        [
            a_charge(
                key=str(number), service=service, currency=currency, billed=amount,
                start_ms=start + day * DAY_MS, end_ms=start + (day + days) * DAY_MS,
            )
            for number, (day, days, service, currency, amount) in enumerate(paid)
        ],
        1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables made and nothing in them, to be copied."""
    file = tmp_path_factory.mktemp("empty") / "l.db"
    with opened(f"sqlite:///{file}"):
        return file


@settings(max_examples=25)
@example(
    paid=[(0, 1, name, "USD", Decimal(amount)) for name, amount in zip("abcdef", range(6), strict=True)]
    + [(0, 1, "all others", "USD", Decimal("71.83")), (0, 1, "(all others)", "USD", Decimal("0.5"))]
)
@given(
    paid=st.lists(
        st.tuples(
            st.integers(-20, 40),
            st.integers(1, 50),
            st.sampled_from(["a", "b", "c", "d", "e", "f", "all others", ""]),
            st.sampled_from(["USD", "EUR"]),
            amounts("-1000", "1000"),
        ),
        max_size=30,
    )
)
def test_whatever_was_paid_adds_up_to_one_total(
    empty: Path, paid: list[tuple[int, int, str, str, Decimal]]
) -> None:
    with TemporaryDirectory() as folder:
        shutil.copy(empty, folder)
        with opened(f"sqlite:///{folder}/{empty.name}") as ledger:
            put(ledger, paid)
            facts = gather(ledger, Config(), OCTOBER, NOW_MS)
    seen = tables(document(facts))
    for table in seen.values():
        assert_it_adds_up(table)
    for currency in facts.currencies:
        shown = f"{facts.effective(currency):,.2f}"
        for caption in (f"By service, {currency}", f"By site, {currency}", f"By day, {currency}, amortised"):
            total = seen[caption].total
            assert total is not None
            assert shown.replace("-0.00", "0.00") in [one.replace("-0.00", "0.00") for one in total], caption
