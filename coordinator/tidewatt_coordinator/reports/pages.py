"""The document of a month's facts. Pure."""

from datetime import datetime, timedelta, timezone

from tidewatt_coordinator.costs.days import day_of
from tidewatt_coordinator.reports import findings, spending, watched
from tidewatt_coordinator.reports.document import Document, Section
from tidewatt_coordinator.reports.facts import Facts


def document(facts: Facts) -> Document:
    """What people read, in the order in which they ask."""
    made = datetime.fromtimestamp(facts.made_ms / 1000, timezone.utc)
    if facts.over:
        reach = "the whole month"
    elif facts.window.end_ms > facts.window.start_ms:
        reach = f"until {day_of(facts.window.end_ms) - timedelta(days=1)}"
    else:
        reach = "no whole day yet"
    title = f"Costs of {facts.first:%B %Y}"
    subtitle = f"Tidewatt, fleet {facts.fleet}, {reach}; made {made:%Y-%m-%d %H:%M} UTC"
    if facts.empty:
        return Document(title=title, subtitle=subtitle, tiles=[], sections=[_nothing(facts)])
    sections = [findings.edge(facts), findings.savings(facts), findings.carbon(facts)]
    last = [watched.budgets(facts), watched.anomalies(facts), watched.recommendations(facts)]
    spent = []
    if facts.currencies:
        spent = [spending.overview(facts), spending.days(facts), *spending.breakdowns(facts)]
        spent.append(spending.movers(facts))
    return Document(
        title=title,
        subtitle=subtitle,
        tiles=spending.tiles(facts),
        sections=[*spent, *(one for one in (*sections, *last) if one)],
    )


def _nothing(facts: Facts) -> Section:
    sources = " and ".join("the edge" if one == "edge" else f"the bill ({one})" for one in facts.sources)
    return Section(
        title="There is no data",
        text=[
            f"The ledger has nothing of {facts.first:%B %Y}: {sources} told no cost and no request.",
            "That is missing, not free.",
        ],
    )
