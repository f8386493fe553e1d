"""The report's last part: what is watched and what is proposed. Pure."""

from tidewatt_coordinator.alerts.conditions import sentence
from tidewatt_coordinator.budgets.beside import Beside
from tidewatt_coordinator.budgets.standing import Standing
from tidewatt_coordinator.costs.attribution import rounded
from tidewatt_coordinator.costs.charge import total
from tidewatt_coordinator.reports.document import MOST_ROWS, Section, Table, money, percent
from tidewatt_coordinator.reports.facts import Facts
from tidewatt_coordinator.reports.recommended import OpenRecommendation


def budgets(facts: Facts) -> Section | None:
    """How each budget stands; None without any."""
    tables = []
    if facts.budgets:
        tables.append(
            Table(
                caption="Budgets of the month",
                columns=["budget", "amount", "spent", "of it", "left", "passed"],
                rows=[_budget(one) for one in facts.budgets],
            )
        )
    if facts.cloud_budgets:
        tables.append(
            Table(
                caption="Budgets kept in AWS, as it told last in the month",
                columns=["budget", "period", "limit", "actual", "of it", "forecast", "by the bill"],
                words=2,
                rows=[_cloud_budget(one) for one in facts.cloud_budgets],
            )
        )
    if not tables:
        return None
    notes = [
        f"{one.budget.name}: {one.missing_days} days of the month are missing, not free."
        for one in facts.budgets
        if one.missing_days
    ]
    notes += [f"{sentence}." for one in facts.cloud_budgets for sentence in one.sentences]
    return Section(title="Budgets", tables=tables, notes=notes)


def anomalies(facts: Facts) -> Section:
    """Days that cost more than such days do, the dearest first."""
    if not facts.anomalies:
        quiet = "No day cost more than such days do." if facts.costs else "There are no costs to judge by."
        return Section(title="Anomalies", text=[quiet])
    rows = [
        [str(one.verdict.day), f"{one.by.removeprefix('tag:')} {one.value}", money(one.verdict.cost),
         money(one.verdict.expected), f"{money(one.verdict.impact)} {one.currency}"]
        for one in facts.anomalies[:MOST_ROWS]
    ]  # fmt: skip
    more = len(facts.anomalies) - MOST_ROWS
    notes = [
        f"{sentence(one.by, one.value, one.currency, one.verdict)}." for one in facts.anomalies[:MOST_ROWS]
    ]
    table = Table(
        caption="Days that cost more than such days do",
        columns=["day (UTC)", "what", "cost", "expected", "impact"],
        words=2,
        rows=rows,
    )
    text = ["A day may show twice: as a service's and as a site's."]
    text += [f"{more} more are not shown."] if more > 0 else []
    return Section(title="Anomalies", text=text, tables=[table], notes=notes)


def recommendations(facts: Facts) -> Section:
    """What would save money and is not done yet, the largest saving first."""
    title = "Recommendations open"
    if not facts.recommended:
        return Section(title=title, text=["None open."])
    tables, notes = [], []
    for currency in dict.fromkeys(one.currency for one in facts.recommended):
        mine = [one for one in facts.recommended if one.currency == currency]
        middles = rounded([one.middle for one in mine])
        rows = [
            [one.what, one.service, one.risk, "waits for its turn" if one.stage == "approved" else "open",
             money(middle), f"{money(one.low)} to {money(one.high)}"]
            for one, middle in zip(mine, middles, strict=True)
        ][:MOST_ROWS]  # fmt: skip
        if len(mine) > MOST_ROWS:
            rest = money(total(middles[MOST_ROWS:]))
            rows.append([f"{len(mine) - MOST_ROWS} more", "", "", "", rest, ""])
        tables.append(
            Table(
                caption=f"What would be saved in a month, {currency}",
                columns=["recommendation", "service", "risk", "stage", "saving", "80 of 100"],
                words=4,
                rows=rows,
                total=["total", "", "", "", money(total(middles)), ""],
            )
        )
        notes += [_recommended(one) for one in mine[:MOST_ROWS]]
    text = ["Two that change the same may not save the sum of both. They are those that are open now."]
    return Section(title=title, text=text, tables=tables, notes=notes)


def _recommended(one: OpenRecommendation) -> str:
    judged = one.verdict.rstrip(".") or "nobody has judged yet whether the promise holds"
    final = "; it can't be taken back, so it is yours to do" if one.irreversible else ""
    return f"{one.id}: {judged}{final}."


def _cloud_budget(one: Beside) -> list[str]:
    told, ledger = one.told, one.ledger
    return [
        told.name,
        told.period,
        f"{money(told.limit)} {told.currency}",
        money(told.actual),
        "-" if told.limit is None or told.actual is None else percent(told.actual, told.limit),
        money(told.forecast),
        money(ledger.spent if ledger else None),
    ]


def _budget(one: Standing) -> list[str]:
    amount, spent = one.budget.amount, one.spent
    passed = [
        f"{limit.percent} %{' foreseen' if limit.of == 'forecast' else ''}"
        for limit in one.thresholds
        if limit.passed
    ]
    return [
        one.budget.name,
        f"{money(amount)} {one.budget.currency}",
        money(spent),
        "-" if spent is None else percent(spent, amount),
        "-" if spent is None else money(amount - spent),
        ", ".join(passed) or "none",
    ]
