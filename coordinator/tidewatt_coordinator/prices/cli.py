"""`tidewatt prices`: what the product takes cloud services to cost, since when and from where."""

from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.configfile import read_config
from tidewatt_coordinator.prices.book import Price, PriceBook, PriceError, PriceTable
from tidewatt_coordinator.prices.elsewhere import compare, pays_back_months
from tidewatt_coordinator.prices.files import load_book

app = typer.Typer(help="The price book: dated tables of what cloud services cost.", no_args_is_help=True)

PricesConfig = Annotated[
    Path | None, typer.Option("--config", help="The coordinator's TOML file, for its prices.")
]
Folder = Annotated[str, typer.Option(help="Your own tables; default: prices.folder of the configuration.")]
On = Annotated[str, typer.Option(help="The day whose prices to use, YYYY-MM-DD; default: today.")]

WORN = 1
#: More machines, or units a month, are a slip of the finger.
MOST_MACHINES, MOST_UNITS = 1_000_000, Decimal("1e15")


@app.command("list")
def list_tables(config: PricesConfig = None, folder: Folder = "", json: AsJson = False) -> None:
    """List the tables: name, date, currency, prices, grade, whose, source."""
    book, _ = _book(config, folder)
    if json:
        print(as_json([_facts(table, book) for table in book.tables]))
        return
    for table in book.tables:
        whose = "own" if table in book.own else "shipped"
        facts = f"{table.date}  {table.currency}  {len(table.price):5}  {table.grade:10}  {whose:7}"
        print(f"{table.name:20}  {facts}  {table.source}")


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="As `tidewatt prices list` prints it.")],
    item: Annotated[str, typer.Argument(help="One item only.")] = "",
    region: Annotated[str, typer.Option(help="One region only.")] = "",
    quantity: Annotated[str, typer.Option(help="What this many units a month cost.")] = "",
    on: On = "",
    config: PricesConfig = None,
    folder: Folder = "",
    json: AsJson = False,
) -> None:
    """Show a table's prices, or what a quantity of one item costs and what one more unit would."""
    book, _ = _book(config, folder)
    day = day_of(on)
    if quantity:
        if not item:
            raise PriceError("--quantity needs an item")
        found = book.find(table, item, region, on=day)
        amount = _number(quantity, "--quantity")
        cost, more = found.price.cost(amount), found.price.marginal(amount)
        unit, currency = found.price.unit, found.table.currency
        if json:
            said = {"quantity": amount, "unit": unit, "cost": cost, "one_more": more, "currency": currency}
            print(as_json(said | {"table": found.table.name, "date": found.table.date}))
            return
        print(f"{amount} {unit}: {cost.normalize():f} {currency}; one more: {more.normalize():f} {currency}")
        print(f"{found.table.name} of {found.table.date}: {found.table.source}")
        return
    chosen = book.table(table, on=day)
    prices = [one for one in chosen.price if item in ("", one.item) and region in ("", one.region)]
    if not prices:
        book.find(table, item, region, on=day)  # says what there is
        raise PriceError(f"{table} has no prices in {region!r}")
    if json:
        print(as_json(_facts(chosen, book) | {"prices": prices}))
        return
    print(f"{chosen.name} of {chosen.date}, {chosen.currency}, {chosen.grade}: {chosen.source}")
    for one in prices:
        print(f"  {one.item}  {one.region or 'everywhere'}  {_terms(one)}")


@app.command()
def check(on: On = "", config: PricesConfig = None, folder: Folder = "") -> None:
    """Read every table; warn of those that are old, assumed or not from the vendor. Exit 1 if any is old."""
    book, warn_days = _book(config, folder)
    day = day_of(on)
    worn = 0
    for table in book.tables:
        if _replaced(table, book, day):
            continue
        age = (day - table.date).days
        if age > warn_days:
            worn += 1
            print(
                f"{table.name}: {age} days old (prices.warn_days = {warn_days}); read it anew: {table.source}"
            )
        elif age < 0:
            print(f"{table.name}: holds from {table.date} on, {-age} days from now")
        if table.grade != "vendor":
            print(f"{table.name}: {table.grade}, compare it with a bill: {table.source}")
    print(f"{len(book.tables)} tables, {worn} older than {warn_days} days")
    if worn:
        raise typer.Exit(WORN)


@app.command("compare")
def compare_clouds(
    nodes: Annotated[list[str], typer.Argument(help="EC2 types and how many, such as c7g.2xlarge=5.")],
    region: Annotated[str, typer.Option(help="Of the EC2 price.")] = "us-east-1",
    egress_gb: Annotated[str, typer.Option(help="GB to the internet in a month.")] = "0",
    stored_gb: Annotated[str, typer.Option(help="GB that would have to be moved out once.")] = "0",
    any_architecture: Annotated[
        bool, typer.Option("--any-architecture", help="arm64 and x86 alike will do.")
    ] = False,
    on: On = "",
    config: PricesConfig = None,
    folder: Folder = "",
    json: AsJson = False,
) -> None:
    """Price the same machines at other providers, on demand: a comparison, nothing more."""
    book, _ = _book(config, folder)
    counted: dict[str, int] = {}
    for one in nodes:
        kind, _, count = one.partition("=")
        if "=" in one and not (count.isascii() and count.isdecimal() and 0 < int(count) <= MOST_MACHINES):
            raise PriceError(f"{one!r} is not TYPE=COUNT, from 1 to {MOST_MACHINES:,}")
        counted[kind] = counted.get(kind, 0) + int(count or 1)
    found = compare(
        book,
        counted,
        region,
        on=day_of(on),
        egress_gb=_number(egress_gb, "--egress-gb"),
        stored_gb=_number(stored_gb, "--stored-gb"),
        any_architecture=any_architecture,
    )
    if json:
        print(as_json(found))
        return
    for each in found:
        machines = ", ".join(f"{one.machines} {one.machine} for {one.count} {one.kind}" for one in each.nodes)
        months = pays_back_months(each)
        print(
            f"{each.provider} {each.region}: {each.there:,.2f} {each.currency} a month, aws {each.here:,.2f}"
        )
        print(f"  {machines}; transfer {each.egress_there:,.2f}, aws {each.egress_here:,.2f}")
        back = f", paid back in {months} months" if months is not None else ", never paid back"
        print(f"  moving out {each.moving:,.2f} once{back}")


def _facts(table: PriceTable, book: PriceBook) -> dict[str, object]:
    facts = {name: getattr(table, name) for name in ("name", "date", "currency", "grade", "source")}
    return facts | {"count": len(table.price), "whose": "own" if table in book.own else "shipped"}


def _replaced(table: PriceTable, book: PriceBook, day: date) -> bool:
    """Whether nothing of the table is in force on a day, because newer or own tables have all its prices."""
    return all(
        book.find(table.name, price.item, price.region, on=day).table is not table for price in table.price
    )


def _terms(price: Price) -> str:
    per = "" if price.per == 1 else f"{price.per:f} "
    steps = ", ".join(
        f"{tier.price:f}" + ("" if tier.up_to is None else f" up to {tier.up_to:f}") for tier in price.steps
    )
    free = f"; {price.free:f} free a month" if price.free else ""
    limits = "".join(f"; {unit} {limit:f}" for unit, limit in price.limits.items())
    note = f"; {price.note}" if price.note else ""
    return f"{steps} per {per}{price.unit}{free}{limits}{note}"


def _book(config: Path | None, folder: str) -> tuple[PriceBook, int]:
    section = read_config(config).prices if config else None
    warn_days = section.warn_days if section else 180
    return load_book(folder or (section.folder if section else "")), warn_days


def day_of(text: str) -> date:
    """The day of an option, today if it is empty; PriceError if it is none."""
    if not text:
        return datetime.now(timezone.utc).date()
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise PriceError(f"--on {text!r} is not a day like 2026-11-01") from error


def _number(text: str, option: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise PriceError(f"{option} {text!r} is not a number") from error
    if not number.is_finite() or not 0 <= number <= MOST_UNITS:
        raise PriceError(f"{option} {text!r} is not a quantity from 0 to {MOST_UNITS:.0e}")
    return number
