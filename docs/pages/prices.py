"""prices.md: every dated table that is shipped, with its date, its source and its licence."""

from collections.abc import Iterator
from importlib import resources

from pages.licences import licence_of, shipped
from pages.place import MADE
from tidewatt_coordinator.carbon.static import static_factors
from tidewatt_coordinator.electricity.files import load_clockwork
from tidewatt_coordinator.prices.book import PriceTable
from tidewatt_coordinator.prices.files import parse_table
from tidewatt_coordinator.simulate.bundled import reference
from tidewatt_governor.boards import load_profile, shipped_profiles

#: Beyond so many rows a table is read better in its file.
MOST_ROWS = 30
DATA = "coordinator/tidewatt_coordinator/data"
HEAD = """# Prices and other dated tables

What the product knows of the world without asking it, each with the day on which it was read, where, and
whose it is. Every table can be replaced by one of yours ([how](money.md#the-price-book)). Grades: *vendor*
was read in the vendor's own data, *secondary* is known from elsewhere and to be compared with a bill,
*assumption* is a plan's number and no price. `tidewatt prices check` names those that have
become old, `tidewatt prices show NAME` prints one.
"""


def prices_page() -> str:
    """docs/prices.md."""
    tables = sorted(_tables(), key=lambda one: one[1].name)
    parts = [f"{MADE}\n{HEAD}", "## Price tables", "\n".join(_price_rows(tables))]
    parts += [_told(file, table) for file, table in tables]
    parts += ["## Electricity", _tariff(), "## Carbon", _carbon(), "## Boards and services", _others()]
    parts += ["## Whose they are", "\n".join(_licences())]
    return "\n\n".join(parts) + "\n"


def _tables() -> Iterator[tuple[str, PriceTable]]:
    for file in resources.files("tidewatt_coordinator.data.prices").iterdir():
        if file.name.endswith((".toml", ".csv")):
            yield file.name, parse_table(file.read_text("utf-8"), file.name)


def _price_rows(tables: list[tuple[str, PriceTable]]) -> Iterator[str]:
    yield "| table | provider | date | currency | prices | grade | source | licence |"
    yield "|---|---|---|---|--:|---|---|---|"
    for file, table in tables:
        licence = licence_of(f"{DATA}/prices/{file}").licence
        yield (
            f"| [{table.name}](../{DATA}/prices/{file}) | {table.provider} | {table.date} | "
            f"{table.currency} | {len(table.price)} | {table.grade} | {_cell(table.source)} | {licence} |"
        )


def _told(file: str, table: PriceTable) -> str:
    """A small table's prices; of a great one that there are many."""
    lines = [f"### {table.name}", "", f"{table.service}, {table.date}, {table.currency}."]
    if len(table.price) > MOST_ROWS:
        regions = sorted({one.region or "everywhere" for one in table.price})
        lines += [
            "",
            f"{len(table.price)} prices in {', '.join(regions)}: [{file}](../{DATA}/prices/{file}).",
        ]
        return "\n".join(lines)
    lines += ["", "| item | region | unit | price |", "|---|---|---|---|"]
    for one in table.price:
        steps = "; ".join(
            f"{tier.price}" + (f" up to {tier.up_to}" if tier.up_to is not None else "") for tier in one.steps
        )
        unit = one.unit if one.per == 1 else f"{one.per:,} {one.unit}"
        lines.append(f"| {_cell(one.item)} | {one.region or 'everywhere'} | {unit} | {steps} |")
    return "\n".join(lines)


def _tariff() -> str:
    tariff = load_clockwork("").tariff
    return (
        f"[{tariff.name}](../{DATA}/tariffs/flat.toml): {tariff.price_per_kwh} {tariff.currency} a kilowatt "
        f"hour from {tariff.valid_from} on. Source: {tariff.source}. Licence: "
        f"{licence_of(f'{DATA}/tariffs/flat.toml').licence}."
    )


def _carbon() -> str:
    factors = static_factors()
    source = next(iter(factors.values())).source
    years = sorted({one.year for one in factors.values()})
    about = (
        f"Averages of {len(factors)} zones over a year ({years[0]} to {years[-1]}), in grams of "
        f"CO2 equivalent a kilowatt hour, over the plants' whole lives: "
        f"[average.csv](../{DATA}/carbon/average.csv). Source: {source}. Licence: "
        f"{licence_of(f'{DATA}/carbon/average.csv').licence}."
    )
    lines = [
        about,
        "",
        "| zone | g/kWh | year |",
        "|---|--:|---|",
    ]
    lines += [f"| {one.zone} | {one.grams_per_kwh} | {one.year} |" for one in factors.values()]
    return "\n".join(lines)


def _others() -> str:
    lines = ["| table | what | date |", "|---|---|---|"]
    for name in shipped_profiles():
        profile, path = load_profile(name), f"governor/tidewatt_governor/data/{name}.toml"
        points = ", ".join(point.name for point in profile.points)
        lines.append(f"| [{name}](../{path}) | {profile.title}: {points} | 2026-11-21 |")
    rest = (
        (
            "reference",
            f"{DATA}/scenarios/reference.toml",
            "the service that `tidewatt simulate` lives through unless told otherwise",
            reference().date,
        ),
        (
            "cloudfront-locations",
            f"{DATA}/cloudfront-locations.toml",
            "which region's prices a CloudFront edge has",
            "2026-11-21",
        ),
        (
            "mongo-app1-day",
            "governor/tidewatt_governor/data/traces/NOTICE",
            "a day of requests, for the demo and simulations",
            "2018-05-02",
        ),
    )
    lines += [f"| [{name}](../{path}) | {what} | {day} |" for name, path, what, day in rest]
    return "\n".join(lines)


def _licences() -> Iterator[str]:
    yield "| file | licence | from |"
    yield "|---|---|---|"
    for name, whose in shipped():
        yield f"| [{name.rpartition('/')[2]}](../{name}) | {whose.licence} | {whose.owner} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
