"""FOCUS: our export is what the column set asks for and comes back as it went; others' files are read."""

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.costing import DAY_MS, OCTOBER_MS, a_charge, charges

from tidewatt_coordinator.costs import focus
from tidewatt_coordinator.costs.charge import Charge, CostError, total
from tidewatt_coordinator.costs.collect import Collector
from tidewatt_coordinator.costs.files import files, names, rows, write_csv
from tidewatt_coordinator.costs.focus_check import check
from tidewatt_coordinator.costs.focus_columns import COLUMNS, Version, columns
from tidewatt_coordinator.costs.settings import Costs
from tidewatt_coordinator.costs.store import Charges
from tidewatt_coordinator.ledger.store import Ledger

quick = settings(max_examples=100)
versions = st.sampled_from(("1.2", "1.4"))
#: FOCUS 1.2's own columns; ServiceProviderName and HostProviderName came later.
COLUMNS_OF_1_2 = 57


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Charges]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'l.db'}", 300_000)
    yield Charges(ledger.engine)
    ledger.close()


def written(found: list[Charge], version: Version) -> str:
    text = io.StringIO(newline="")
    write_csv(text, found, version)
    return text.getvalue()


def read(text: str) -> list[Charge]:
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    return [charge for _, charge in focus.charges([("a test", lines)])]


def same(charge: Charge) -> Charge:
    return msgspec.structs.replace(charge, source="", key="")


# Out, and back in


@quick
@given(found=st.lists(charges(), max_size=5), version=versions)
def test_what_goes_out_is_focus_and_comes_back(found: list[Charge], version: Version) -> None:
    text = written(found, version)
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert check(focus.header(version), lines, version) == []
    assert [same(charge) for charge in read(text)] == [same(charge) for charge in found]


def test_columns_of_the_versions() -> None:
    two, four = ([column.name for column in columns(version)] for version in ("1.2", "1.4"))
    assert len(two) == COLUMNS_OF_1_2 + 2
    assert set(two) - set(four) == {"ProviderName", "PublisherName"}
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)


def test_the_edge_s_energy_is_a_service_of_its_own() -> None:
    electricity = a_charge(
        source="edge",
        provider="",
        service="Electricity",
        category="energy",
        resource="orin-1",
        quantity=Decimal("0.36"),
        unit="kWh",
        billed=Decimal("0.054"),
        marginal=Decimal("0.054"),
    )
    row = focus.row(electricity, "1.2")
    assert check(focus.header("1.2"), [row], "1.2") == []
    assert row["ServiceName"] == "Electricity"
    assert row["ProviderName"] == row["BillingAccountId"] == "Tidewatt edge"
    assert row["ServiceCategory"] == "Other", "FOCUS has no category for energy"
    assert (row["ConsumedQuantity"], row["ConsumedUnit"], row["BilledCost"]) == ("0.36", "kWh", "0.054")
    assert (row["x_MarginalCost"], row["x_TidewattSource"]) == ("0.054", "edge")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == (
        "2026-10-01T00:00:00Z",
        "2026-11-01T00:00:00Z",
    )


# The checker


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"BilledCost": "cheap"}, "row 1: BilledCost: 'cheap' is no number"),
        ({"BilledCost": ""}, "row 1: BilledCost is null"),
        ({"ChargeCategory": "usage"}, "ChargeCategory 'usage' is none of Usage, Purchase"),
        ({"ServiceCategory": "Energy"}, "ServiceCategory 'Energy' is none of"),
        ({"ChargeClass": "Fix"}, "ChargeClass 'Fix' is none of Correction"),
        ({"ChargePeriodStart": "yesterday"}, "ChargePeriodStart: 'yesterday' is no time"),
        ({"ChargePeriodEnd": "2026-10-01T00:00:00Z"}, "ChargePeriodEnd is not after ChargePeriodStart"),
        ({"BillingCurrency": "dollars"}, "BillingCurrency: 'dollars' is no currency code"),
        ({"Tags": "[1]"}, "Tags is no JSON object"),
        ({"ConsumedQuantity": "1"}, "ConsumedQuantity and ConsumedUnit are null together"),
        ({"CommitmentDiscountId": "sp-1"}, "has a CommitmentDiscountStatus"),
        ({"CommitmentDiscountStatus": "Used"}, "CommitmentDiscountStatus is null where"),
        ({"ChargeCategory": "Purchase"}, "a Purchase is not Usage-Based"),
    ],
)
def test_what_is_not_focus_is_said(change: dict[str, str], sentence: str) -> None:
    row = focus.row(a_charge(), "1.2") | change
    (said,) = check(focus.header("1.2"), [row], "1.2")
    assert sentence in said


def test_headers_that_are_not_focus() -> None:
    header = [name for name in focus.header("1.2") if name != "BilledCost"]
    assert check([*header, "BiledCost"], [], "1.2") == [
        "the column BilledCost is missing",
        "the column 'BiledCost' is not in FOCUS 1.2; did you mean BilledCost?",
    ]
    assert check([*focus.header("1.2"), "Tags"], [], "1.2") == ["the column Tags is there 2 times"]
    assert check([*focus.header("1.2"), "x_Mine"], [], "1.2") == []
    assert len(check(["a"], [], "1.2", most=3)) == 3


# Others' files

AWS = """\
BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,ChargeCategory,ChargePeriodEnd,ChargePeriodStart,\
ConsumedQuantity,ConsumedUnit,EffectiveCost,ListCost,ProviderName,RegionId,ServiceCategory,ServiceName,SubAccountId,Tags
0.2900000000,111,USD,2026-10-01T00:00:00.000Z,Usage,2026-10-01T01:00:00.000Z,2026-10-01T00:00:00.000Z,\
1,Hours,0.2100000000,0.29,AWS,us-east-1,Compute,Amazon Elastic Compute Cloud,222,\
"{""team"":""infra"",""spot"":true}"
0.2900000000,111,USD,2026-10-01T00:00:00.000Z,Usage,2026-10-01T01:00:00.000Z,2026-10-01T00:00:00.000Z,\
1,Hours,0.2100000000,0.29,AWS,us-east-1,Compute,Amazon Elastic Compute Cloud,222,\
"{""team"":""infra"",""spot"":true}"
-5,111,USD,2026-10-01T00:00:00.000Z,Credit,2026-11-01T00:00:00.000Z,2026-10-01T00:00:00.000Z,\
,,-5,,AWS,,Other,Amazon CloudFront,,
"""


def test_a_provider_s_file(store: Charges, tmp_path: Path) -> None:
    file = tmp_path / "aws.csv"
    file.write_text("\ufeff" + AWS, "utf-8")
    collector = Collector(Costs(), store, 1)
    assert collector.take("focus", None, [str(file)]).charges == 3
    first, second, credit = sorted(store.read(0, 10**15), key=lambda one: -one.billed)
    assert first.key != second.key, "two rows that are alike are two charges"
    assert (first.billed, first.effective, first.list_cost) == (
        Decimal("0.29"),
        Decimal("0.21"),
        Decimal("0.29"),
    )
    assert (first.account, first.region, first.tags) == (
        "222",
        "us-east-1",
        {"team": "infra", "spot": "true"},
    )
    assert (credit.kind, credit.account, credit.list_cost, credit.quantity) == ("Credit", "111", None, None)
    file.write_text(AWS.replace("0.2900000000", "0.3000000000"))
    assert Collector(Costs(), store, 2).take("focus", None, [str(file)]).charges == 3
    assert total(one.billed for one in store.read(0, 10**15)) == Decimal("-4.4"), (
        "the later export replaced it"
    )


def test_parquet_says_what_csv_says(tmp_path: Path) -> None:
    plain, parquet = tmp_path / "a.csv", tmp_path / "a.parquet"
    plain.write_text(AWS)
    connection = duckdb.connect()
    connection.execute(
        # The names are this test's own.
        f"""COPY (SELECT * REPLACE (
            CAST(BilledCost AS DECIMAL(20, 10)) AS BilledCost,
            CAST(EffectiveCost AS DOUBLE) AS EffectiveCost,
            CAST(ChargePeriodStart AS TIMESTAMPTZ) AS ChargePeriodStart,
            CAST(ChargePeriodEnd AS TIMESTAMP) AS ChargePeriodEnd,
            CASE WHEN Tags IS NULL THEN NULL ELSE MAP {{'team': 'infra', 'spot': 'true'}} END AS Tags
        ) FROM read_csv('{plain}', all_varchar = true)) TO '{parquet}' (FORMAT parquet)"""  # noqa: S608
    )
    connection.close()
    one, other = (
        [charge for _, charge in focus.charges([("a test", rows(file))])] for file in (plain, parquet)
    )
    keyless = [msgspec.structs.replace(charge, key="") for charge in one]
    assert [msgspec.structs.replace(charge, key="") for charge in other] == keyless
    assert names(parquet) == names(plain)


def test_all_files_of_a_folder_are_one_import(store: Charges, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "BILLING_PERIOD=2026-10").mkdir(exist_ok=True)
        (tmp_path / "BILLING_PERIOD=2026-10" / f"{number}.csv").write_text(AWS)
    (tmp_path / "manifest.json").write_text("{}")
    taken = Collector(Costs(), store, 1).take("focus", None, [str(tmp_path)])
    assert (taken.charges, taken.batches) == (9, 1), "rows that are alike are counted through all files"
    (tmp_path / "wrong.csv").write_text(AWS.replace("Credit", "Gift"))
    with pytest.raises(CostError, match=r"wrong\.csv, row 3: ChargeCategory"):
        Collector(Costs(), store, 1).take("focus", None, [str(tmp_path)])


def test_a_part_does_not_replace_the_whole(store: Charges, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.csv", tmp_path / "part.csv"
    whole.write_text(AWS)
    part.write_text("".join(AWS.splitlines(keepends=True)[:2]))
    Collector(Costs(), store, 1).take("focus", None, [str(whole)])
    with pytest.raises(CostError, match="1 charges would replace 3. Name all files"):
        Collector(Costs(), store, 2).take("focus", None, [str(part)])
    assert Collector(Costs(), store, 3).take("focus", None, [str(part)], fewer=True).charges == 1
    assert total(one.billed for one in store.read(0, 10**15)) == Decimal("0.29")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"", "there are no rows, only a header at most"),
        ("a.csv", b"a,b\n1,2\n", "not FOCUS: it has no column BilledCost"),
        ("a.csv", AWS.encode().replace(b"-5,111", b"-5"), "row 3: 16 values, where the header has 17"),
        ("a.csv", AWS.encode().replace(b"-5,111", b"x,111"), "row 3: BilledCost: 'x' is no number"),
        ("a.csv", AWS.encode().replace(b"Credit", b"Gift"), "row 3: ChargeCategory 'Gift' is none of"),
        ("a.csv", AWS.encode() + b'"', "unexpected end of data"),
        ("a.csv", b"\xff\xfe", "not UTF-8 text"),
        ("a.csv.gz", b"not gzip", "Not a gzipped file"),
        ("a.csv.gz", b"\x1f\x8b\x08\x00", "ended before"),
        ("a.parquet", b"PAR1 and no more", "a.parquet"),
        ("a.txt", b"", "holds no file that ends in .csv, .csv.gz, .parquet"),
    ],
)
def test_files_that_can_not_be_read(
    store: Charges, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    collector = Collector(Costs(), store, 1)
    with pytest.raises(CostError, match=sentence):
        collector.take("focus", None, [str(file)])
    assert list(store.read(0, 10**15)) == []


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(CostError, match="nowhere.csv: is not there"):
        files(Path("nowhere.csv"))


def test_charges_over_months_are_exported_by_their_beginning() -> None:
    purchase = a_charge(kind="Purchase", end_ms=OCTOBER_MS + 400 * DAY_MS)
    row = focus.row(purchase, "1.2")
    assert (row["BillingPeriodStart"][:7], row["ChargePeriodEnd"][:10]) == ("2026-10", "2027-11-05")
    assert check(focus.header("1.2"), [row], "1.2") == []
