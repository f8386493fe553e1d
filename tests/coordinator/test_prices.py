"""The price book: tiers exact, tables dated and overridable, the worked examples to the cent."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tidewatt_coordinator.cli import app
from tidewatt_coordinator.ledger.tariff import load_tariff
from tidewatt_coordinator.money import for_display, share, total
from tidewatt_coordinator.prices.book import Price, PriceBook, PriceError, Tier
from tidewatt_coordinator.prices.files import load_book, parse_table
from tidewatt_coordinator.prices.worked import (
    LAMBDA_ARM,
    LAMBDA_EDGE,
    LAMBDA_X86,
    beyond_free,
    instances,
    invocation,
    least_plan,
    transfer,
)
from tidewatt_wire.documents import DocumentError

ON = date(2026, 11, 21)
KWH_MJ = 3_600_000_000
#: The reference service's viewers, in GB of 50 TB a month: US 45 %, EU 30, Asia-Pacific 18, India 4,
#: South America 2, Middle East 0.8, Africa 0.2.
VIEWERS = {
    region: Decimal(gigabytes)
    for region, gigabytes in {
        "us": 22_500, "eu": 15_000, "ap": 9_000, "in": 2_000, "sa": 1_000, "me": 400, "af": 100
    }.items()
}  # fmt: skip

amounts = st.decimals(min_value=0, max_value=Decimal("1e9"), places=6)


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return load_book()


@pytest.mark.parametrize(
    ("price_class", "cost"),
    [("PriceClass_All", "4563.00"), ("PriceClass_200", "4533.00"), ("PriceClass_100", "4100.00")],
)
def test_fifty_terabytes_of_cloudfront_by_class(book: PriceBook, price_class: str, cost: str) -> None:
    assert transfer(book, VIEWERS, price_class, on=ON) == Decimal(cost)


@pytest.mark.parametrize(
    ("region", "first", "next_forty", "beyond"),
    [
        ("us", ".085", ".080", ".060"),
        ("eu", ".085", ".080", ".060"),
        ("af", ".110", ".105", ".090"),
        ("me", ".110", ".105", ".090"),
        ("sa", ".110", ".105", ".090"),
        ("jp", ".114", ".089", ".086"),
        ("au", ".114", ".098", ".094"),
        ("ap", ".120", ".100", ".095"),
        ("in", ".109", ".085", ".082"),
    ],
)
def test_tiers_are_each_regions_own(
    book: PriceBook, region: str, first: str, next_forty: str, beyond: str
) -> None:
    price = book.find("aws-cloudfront", "transfer-out", region, on=ON).price
    assert [price.marginal(gigabytes) for gigabytes in (0, 10_000, 50_000)] == [
        Decimal(first), Decimal(next_forty), Decimal(beyond)
    ]  # fmt: skip
    expected = 10_000 * Decimal(first) + 40_000 * Decimal(next_forty) + 10_000 * Decimal(beyond)
    assert price.cost(60_000) == expected


def test_the_flat_rate_plan_that_the_notes_never_saw(book: PriceBook) -> None:
    plan = least_plan(book, requests=100_000_000, gigabytes=Decimal(50_000), on=ON)
    assert plan is not None
    assert (plan.name, plan.cost) == ("Business", Decimal(200))
    assert least_plan(book, requests=1, gigabytes=Decimal(50_001), on=ON) is None


def test_five_instances_through_a_month(book: PriceBook) -> None:
    assert instances(book, "c7g.2xlarge", "us-east-1", 5, on=ON) == Decimal("1058.50")
    assert instances(book, "c6g.xlarge", "us-east-1", 5, on=ON) == Decimal("496.40"), "what the notes priced"
    assert instances(book, "c7g.2xlarge", "us-east-1", 5, on=ON, spot=True) == Decimal("317.55")
    listed = {"c7g.xlarge": ".1450", "c6g.2xlarge": ".2720", "m7g.2xlarge": ".3264", "c8g.2xlarge": ".31904"}
    for kind, price in listed.items():
        assert book.find("aws-ec2", kind, "us-east-1", on=ON).price.marginal() == Decimal(price)


def test_where_the_notes_multiplied_wrongly(book: PriceBook) -> None:
    """70 % of the nodes at 70 % off is 49 % off, not 70; watts cost what they cost, in any mode."""
    off = 1 - book.find("aws-ec2-spot", "share-of-on-demand", on=ON).price.marginal()
    assert (off, 600 * (1 - Decimal("0.7") * off)) == (Decimal("0.7"), Decimal(306))
    whole = load_tariff("").cost(54 * KWH_MJ)  # 5 boards of 15 W for 720 hours
    assert (whole, round(whole / 350, 3), whole / 50_000_000) == (
        Decimal("8.10"), Decimal("0.023"), Decimal("1.62E-7")
    )  # fmt: skip
    assert load_tariff("").cost(18 * KWH_MJ) == Decimal("2.70"), "18 kWh are the whole fleet's"


def test_a_request_to_a_function(book: PriceBook) -> None:
    small = invocation(book, LAMBDA_EDGE, memory_mb=384, billed_ms=45, on=ON)
    large = invocation(book, LAMBDA_EDGE, memory_mb=512, billed_ms=100, on=ON)
    assert small == Decimal("0.00000144391875")
    assert large == Decimal("0.0000031005")
    # The price of a gigabyte-second does not depend on the memory: twice the memory, twice the price.
    for runtime, rate in ((LAMBDA_X86, "0.0000166667"), (LAMBDA_ARM, "0.0000133334")):
        seconds = [invocation(book, runtime, memory_mb=mb, billed_ms=1000, on=ON) for mb in (512, 1024)]
        assert seconds[1] - seconds[0] == Decimal(rate) / 2


def test_the_rest_of_the_checked_prices(book: PriceBook) -> None:
    def cost(table: str, item: str, quantity: int) -> Decimal:
        return book.find(table, item, "us-east-1", on=ON).price.cost(quantity)

    assert cost("aws-dynamodb", "writes", 1_000_000) == Decimal("0.625")
    assert cost("aws-dynamodb", "reads", 1_000_000) == Decimal("0.125")
    assert cost("aws-dynamodb", "provisioned-writes", 1) == Decimal("0.00065")
    assert cost("aws-route53", "health-check-aws", 1) == Decimal("0.50")
    assert cost("aws-s3", "glacier-flexible", 1) == Decimal("0.0036")
    assert cost("aws-s3", "glacier-instant", 1) == Decimal("0.004")
    assert cost("aws-other", "cost-explorer-request", 100) == 1
    lambda_requests = book.find("aws-lambda", "requests", on=ON).price
    assert (beyond_free(lambda_requests, 900_000), beyond_free(lambda_requests, 1_500_000)) == (
        Decimal(0), Decimal("0.1")
    )  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)), min_size=1, max_size=5),
    amounts,
    amounts,
)
def test_a_quantity_costs_what_its_parts_cost(
    widths: list[tuple[int, int]], one: Decimal, other: Decimal
) -> None:
    bounds: list[Decimal | None] = []
    top = Decimal(0)
    for width, _ in widths[:-1]:
        top += width
        bounds.append(top)
    bounds.append(None)
    tiers = [
        Tier(price=Decimal(price).scaleb(-7), up_to=bound)
        for bound, (_, price) in zip(bounds, widths, strict=True)
    ]
    price = Price(item="x", unit="u", per=Decimal(1000), tiers=tiers)
    assert price.cost(one) + price.cost(other, before=one) == price.cost(one + other)
    assert price.cost(1, before=bounds[0] or 5) == price.marginal(bounds[0] or 5)


@given(st.lists(st.decimals(-1000, 1000, places=5), min_size=1, max_size=30), st.integers(0, 4))
def test_what_is_shown_adds_up(parts: list[Decimal], places: int) -> None:
    shown = for_display(parts, places)
    unit = Decimal(1).scaleb(-places)
    assert total(shown) == total(parts).quantize(unit)
    assert all(abs(part - exact) < unit for part, exact in zip(shown, parts, strict=True))


def test_thirds_of_a_dollar() -> None:
    third = Decimal(1) / 3
    assert for_display([third] * 3) == [Decimal("0.34"), Decimal("0.33"), Decimal("0.33")]
    assert share(Decimal(1), 1, 3) == Decimal("0.333333333333")


TABLE = """
name = "aws-ec2"
provider = "aws"
service = "s"
currency = "USD"
date = {date}
source = "our contract"
[[price]]
item = "c7g.2xlarge"
unit = "hour"
price = "{price}"
"""


def test_own_tables_come_first_and_newer_ones_replace_older(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TABLE.format(date="2020-01-01", price="0.20"))
    (tmp_path / "b.toml").write_text(TABLE.format(date="2026-06-01", price="0.21"))
    (tmp_path / "notes.txt").write_text("not a table")
    book = load_book(str(tmp_path))

    def price(day: date) -> Decimal:
        return book.find("aws-ec2", "c7g.2xlarge", "us-east-1", on=day).price.marginal()

    assert price(date(2026, 5, 31)) == Decimal("0.20"), "a negotiated price is not outdated by a list price"
    assert price(date(2026, 6, 1)) == Decimal("0.21")
    assert price(date(2019, 1, 1)) == Decimal("0.20"), "before the first table: the first known price"
    assert book.find("aws-ec2", "c6g.xlarge", "us-east-1", on=ON).price.marginal() == Decimal("0.136")
    assert book.table("aws-ec2", on=ON).source == "our contract"


CSV = "# name: t\n# provider: p\n# service: s\n# currency: EUR\n# date: 2026-01-02\n# source: x\n"


def test_a_csv_table_with_tiers() -> None:
    table = parse_table(CSV + "item,region,unit,price,up_to\na,eu,GB,2,10\na,eu,GB,1,\na,us,GB,3,\n", "t.csv")
    assert [(price.region, price.cost(15)) for price in table.price] == [
        ("eu", Decimal(25)),
        ("us", Decimal(45)),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# nonsense\n", "t.csv, line 1: not `# key: value`"),
        (CSV + "item,cost\n", "no column 'cost'; there are: item, region"),
        (CSV + "item,unit,price\na,GB,\n", "t.csv, line 8: no price"),
        (CSV + "item,unit,price\na,GB,1,2\n", "t.csv, line 8: more cells"),
        (CSV + "item,unit,price\na,GB,much\n", "Invalid decimal"),
        (CSV + "item,unit,price\na,GB,-1\n", "no number from 0 on"),
        (CSV + "item,unit,price,per\na,GB,1,12\n", "per = 12 is not a power of ten"),
        (CSV + "item,unit,price,up_to\na,GB,1,5\n", "the last tier, and no other"),
        (CSV + "item,unit,price,up_to\na,GB,1,5\na,GB,1,4\na,GB,1,\n", "must rise"),
        (CSV + "item,unit,price\na,GB,1\nb,GB,1\na,GB,1\n", "a: stands there twice"),
        (CSV.replace("EUR", "euro") + "item,unit,price\na,GB,1\n", "currency"),
        (CSV.replace("2026-01-02", "yesterday") + "item,unit,price\na,GB,1\n", "date"),
    ],
)
def test_what_is_wrong_with_a_table(text: str, sentence: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse_table(text, "t.csv")
    assert sentence in str(refused.value)


def test_what_is_not_in_the_book(book: PriceBook) -> None:
    for table, item, region, sentence in (
        ("aws-lamda", "x", "", "did you mean 'aws-lambda'?"),
        ("aws-ec2", "c7g.2xlrge", "us-east-1", "did you mean 'c7g.2xlarge'?"),
        ("aws-ec2", "c7g.2xlarge", "us-east-9", "did you mean 'us-east-1'?"),
        ("aws-s3", "standard", "", "has 'standard' by region, so name one; there are: us-east-1"),
    ):
        with pytest.raises(PriceError, match=sentence.replace("?", r"\?")):
            book.find(table, item, region, on=ON)
    with pytest.raises(PriceError, match="can't be priced"):
        book.find("aws-lambda", "requests", on=ON).price.cost(-1)


def test_the_commands(tmp_path: Path) -> None:
    run = CliRunner().invoke
    listed = run(app, ["prices", "list"])
    assert listed.exit_code == 0
    assert "aws-ec2 " in listed.output
    shown = run(
        app, ["prices", "show", "aws-ec2", "c7g.2xlarge", "--region", "us-east-1", "--quantity", "3650"]
    )
    assert "3650 hour: 1058.5 USD; one more: 0.29 USD" in shown.output
    assert (
        "edge-duration  everywhere  0.00005001 per GB-second"
        in run(app, ["prices", "show", "aws-lambda"]).output
    )
    fresh = run(app, ["prices", "check", "--on", "2026-11-21"])
    assert fresh.exit_code == 0
    assert "aws-ec2-spot: assumption" in fresh.output
    worn = run(app, ["prices", "check", "--on", "2027-11-21"])
    assert worn.exit_code == 1
    assert "aws-lambda: 385 days old" in worn.output
    (tmp_path / "own.toml").write_text(TABLE.format(date="2027-11-01", price="0.2"))
    (tmp_path / "c.toml").write_text(f'[prices]\nfolder = "{tmp_path / "tables"}"\nwarn_days = 1000\n')
    (tmp_path / "tables").mkdir()
    (tmp_path / "own.toml").rename(tmp_path / "tables/own.toml")
    checked = run(app, ["prices", "check", "--on", "2027-11-21", "--config", str(tmp_path / "c.toml")])
    assert checked.exit_code == 0
    assert checked.output.splitlines()[-1].endswith(" tables, 0 older than 1000 days")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["c7g.2xlarge=0"], "'c7g.2xlarge=0' is not TYPE=COUNT, from 1 to 1,000,000"),
        (["c7g.2xlarge="], "is not TYPE=COUNT"),
        (["c7g.2xlarge=\u0665"], "is not TYPE=COUNT"),
        (["c7g.2xlarge=5", "--egress-gb", "1e400"], "--egress-gb '1e400' is not a quantity from 0 to 1e+15"),
        (["c7g.2xlarge=5", "--stored-gb", "x"], "--stored-gb 'x' is not a number"),
    ],
)
def test_a_comparison_of_nonsense_names_the_option(options: list[str], sentence: str) -> None:
    with pytest.raises(PriceError, match=re.escape(sentence)):
        CliRunner().invoke(app, ["prices", "compare", *options], catch_exceptions=False)
