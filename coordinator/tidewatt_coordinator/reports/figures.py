"""The report as rows of exact figures, for spreadsheets: section, item, currency, measure, value. Pure."""

from collections.abc import Iterator
from decimal import Decimal

from tidewatt_coordinator.questions.rows import kilowatt_hours
from tidewatt_coordinator.reports.facts import Facts, month_sums

HEADER = ("section", "item", "currency", "measure", "value")
Row = tuple[str, str, str, str, str]
#: A spreadsheet takes a text that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def rows(facts: Facts) -> Iterator[Row]:
    """All figures of the report, none rounded and none left out: parts sum to their total, exactly."""
    for section, item, currency, measure, value in _rows(facts):
        if value is not None:
            safe = f"'{item}" if item.startswith(FORMULA) else item
            number = format(value, "f") if isinstance(value, Decimal) else str(value)
            yield section, safe, currency, measure, number


Figure = tuple[str, str, str, str, Decimal | int | None]


def _rows(facts: Facts) -> Iterator[Figure]:
    for currency in facts.currencies:
        yield "total", facts.month, currency, "effective", facts.effective(currency)
        yield "total", facts.month, currency, "billed", facts.billed(currency)
        yield from _times(facts, currency)
    for breakdown in facts.breakdowns:
        for cost in breakdown.costs:
            yield breakdown.by, cost.key[0], cost.currency, "effective", cost.effective
            yield breakdown.by, cost.key[0], cost.currency, "billed", cost.billed
    for one in facts.movers:
        item = f"{one.service} / {one.site}" if one.site else one.service
        yield "mover", item, one.currency, "before", one.before
        yield "mover", item, one.currency, "after", one.after
        for name, part in one.parts.items():
            yield "mover", item, one.currency, name, part
    yield from _findings(facts)


def _times(facts: Facts, currency: str) -> Iterator[Figure]:
    for month, spent in month_sums(facts.days, currency).items():
        yield "month", month, currency, "effective", spent
    days: dict[str, Decimal] = {}
    for cost in facts.costs:
        if cost.currency == currency:
            days[cost.key[0]] = days.get(cost.key[0], Decimal(0)) + cost.effective
    for day, spent in sorted(days.items()):
        yield "day", day, currency, "effective", spent


def _findings(facts: Facts) -> Iterator[Figure]:
    for row in facts.requests.rows:
        yield "requests", row.key[0], row.currency or "", "effective", row.effective
        yield "requests", row.key[0], "", "requests", row.requests
        yield "requests", row.key[0], "", "energy_mj", row.energy_mj
    for saved in facts.saved:
        yield "saving", saved.id, saved.currency, "predicted_per_month", saved.predicted_per_month
        if found := saved.realised:
            yield "saving", saved.id, saved.currency, "realised_per_month", found.per_month
            yield "saving", saved.id, saved.currency, "realised", found.saved
            yield "saving", saved.id, saved.currency, "low", found.low
            yield "saving", saved.id, saved.currency, "high", found.high
    for waste in facts.waste:
        yield "waste", f"{waste.kind} / {waste.what}", waste.currency, "amount", waste.amount
    for site in facts.carbon:
        yield "carbon", site.site, "", "kwh", kilowatt_hours(site.energy_mj)
        for emission in (site.average, site.marginal):
            if emission and emission.unknown_mj < site.energy_mj:
                yield "carbon", site.site, "", f"{emission.kind}_grams", emission.grams
    yield from _watched(facts)


def _watched(facts: Facts) -> Iterator[Figure]:
    for standing in facts.budgets:
        budget = standing.budget
        yield "budget", budget.name, budget.currency, "amount", budget.amount
        yield "budget", budget.name, budget.currency, "spent", standing.spent
    for cloud in facts.cloud_budgets:
        told, ledger = cloud.told, cloud.ledger
        item = f"{told.account} / {told.name}"
        yield "aws_budget", item, told.currency, "limit", told.limit
        yield "aws_budget", item, told.currency, "actual", told.actual
        yield "aws_budget", item, told.currency, "forecast", told.forecast
        yield "aws_budget", item, told.currency, "by_the_bill", ledger.spent if ledger else None
    for idea in facts.recommended:
        yield "recommendation", idea.id, idea.currency, "saving_per_month", idea.middle
        yield "recommendation", idea.id, idea.currency, "low", idea.low
        yield "recommendation", idea.id, idea.currency, "high", idea.high
    for odd in facts.anomalies:
        item = f"{odd.verdict.day} / {odd.by} / {odd.value}"
        yield "anomaly", item, odd.currency, "cost", odd.verdict.cost
        yield "anomaly", item, odd.currency, "expected", odd.verdict.expected
