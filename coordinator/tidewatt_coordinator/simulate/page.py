"""The reference service's story as Markdown. Pure."""

from collections.abc import Callable, Iterator
from decimal import Decimal

from tidewatt_coordinator.simulate.outcome import Interval, Money, Side
from tidewatt_coordinator.simulate.reference import Story

SMALL = 10
Cell = Callable[[Side], str]

HEAD = """# The reference service, simulated

The service of the original design notes, an embedding API on five Jetsons, three regions of EKS, a function
and CloudFront: its month in week 13, and in week 14 when every lever has been pulled. **Every figure on this
page is simulated**, or a quantity times a price of the [price book](money.md#the-price-book), except those of
the notes, which stand beside for comparison. No bill was read, and no board of ours was measured. Assumptions
stand in [reference.toml](../coordinator/tidewatt_coordinator/data/scenarios/reference.toml), how it is done
in [decision 0036](decisions/0036-simulation.md). `tidewatt simulate reference` prints this page.
"""

FOOT = """## What is not in it

EKS's control planes, load balancers, transfer between zones and taxes, in neither month. Free quantities are
an account's and are left out. The interval says how much days differ (an assumption here), not how wrong the
model may be. Levers are counted in the order given: what one saves depends on those before it.
"""


def page(story: Story) -> str:
    """The whole page."""
    return "\n".join([HEAD, *_table(story), "", *_remarks(story), *_steps(story), *_service(story), FOOT])


def _table(story: Story) -> Iterator[str]:
    yield "## A month, in dollars"
    yield ""
    yield "| | notes, week 13 | simulated, week 13 | notes, week 14 | simulated, week 14 |"
    yield "|---|--:|--:|--:|--:|"
    for row in story.rows:
        noted = row.noted
        yield _row(noted.title, noted.before, row.before, noted.after, row.after)
    sums = [sum((getattr(row.noted, when) for row in story.rows), Decimal(0)) for when in ("before", "after")]
    yield _row("**Total**", sums[0], story.total_before.middle, sums[1], story.total_after.middle)
    yield ""
    yield (
        f"The notes go from {dollars(sums[0])} to {dollars(sums[1])}, {1 - sums[1] / sums[0]:.1%} less. "
        "Simulated it is "
        f"{span(story.total_before)} to {span(story.total_after)}: {span(story.saving)} less, "
        f"{story.saving.middle / story.total_before.middle:.1%}. Demand: {story.demand}, "
        f"{story.before.requests:.0f} million requests a month (the notes count 100)."
    )


def _row(title: str, *amounts: Decimal) -> str:
    return f"| {title} | {' | '.join(f'{amount:,.0f}' for amount in amounts)} |"


def _remarks(story: Story) -> Iterator[str]:
    for row in story.rows:
        yield f"- {row.noted.title}: {row.noted.said}."
    yield ""


def _steps(story: Story) -> Iterator[str]:
    yield "## What each lever saves"
    yield ""
    yield "| lever | saves a month |"
    yield "|---|--:|"
    for step in story.steps:
        yield f"| {step.title} | {span(step.saves)} |"
    yield ""


def _service(story: Story) -> Iterator[str]:
    yield "## What becomes of the service"
    yield ""
    yield "| | week 13 | week 14 | week 14, half of the spot nodes taken every noon |"
    yield "|---|--:|--:|--:|"
    sides = (story.before, story.after, story.storm)
    for name, cell in _cells().items():
        yield f"| {name} | {' | '.join(cell(side) for side in sides)} |"
    yield ""


def _cells() -> dict[str, Cell]:
    return {
        "answered": lambda side: percent(side.availability, 3),
        "failed": lambda side: percent(side.error_rate, 4),
        "within 60 ms (95 % are promised)": lambda side: percent(side.in_time, 1),
        "p95, ms": lambda side: f"{side.p95_ms.middle:.0f}",
        "minutes with a broken promise": lambda side: percent(side.bad_minutes, 2),
        "promise": lambda side: side.promise,
        "answered by boards": lambda side: f"{side.shares.get('boards', 0.0):.0%}",
        "node hours that are spot": lambda side: f"{side.spot_hours:.0%}",
        "boards' energy, kWh": lambda side: f"{side.energy_kwh:.1f}",
        "mode switches a day, five boards": lambda side: f"{side.switches_per_day:.0f}",
    }


def percent(interval: Interval, places: int) -> str:
    """Of the days as they were."""
    return f"{interval.middle:.{places}%}"


def dollars(amount: Decimal) -> str:
    """Whole ones, but for the smallest."""
    return f"${amount:,.2f}" if abs(amount) < SMALL else f"${amount:,.0f}"


def span(money: Money) -> str:
    """With its interval, if it has one."""
    low, middle, high = dollars(money.low), dollars(money.middle), dollars(money.high)
    return middle if low == high else f"{middle} ({low} to {high})"
