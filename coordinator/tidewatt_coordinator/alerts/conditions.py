"""What budgets and anomalies have to say, as conditions of alerts. Pure."""

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from tidewatt_coordinator.alerts.episodes import Condition, alert_name
from tidewatt_coordinator.anomalies.detect import Verdict
from tidewatt_coordinator.anomalies.groups import Group
from tidewatt_coordinator.budgets.standing import Standing, Threshold

CENT = Decimal("0.01")
WHOLE_PERCENT = 100


def of_budget(standing: Standing) -> list[Condition]:
    """One condition for each threshold."""
    return [_threshold(standing, one) for one in standing.thresholds]


def _threshold(standing: Standing, one: Threshold) -> Condition:
    budget, month = standing.budget, f"{standing.month:%Y-%m}"
    foreseen = standing.foreseen.middle if standing.foreseen else None
    amount = standing.spent if one.of == "actual" else foreseen
    details = {
        "budget": budget.name,
        "month": month,
        "amount": _money(budget.amount),
        "currency": budget.currency,
        "threshold": f"{one.percent} % {one.of}",
    }
    summary = f"budget {budget.name}: nothing is known of {month}"
    if amount is not None:
        share = int(100 * amount / budget.amount)
        word = "spent" if one.of == "actual" else "foreseen"
        details[word] = _money(amount)
        passed = "is passed" if one.passed else "is not passed"
        summary = (
            f"budget {budget.name}: {_money(amount)} {budget.currency} of {_money(budget.amount)} {word} "
            f"for {month} ({share} %), {one.percent} % {passed}"
        )
    serious = one.of == "actual" and one.percent >= WHOLE_PERCENT
    return Condition(
        name=alert_name("budget", budget.name, f"{one.of}-{one.percent}"),
        kind="budget",
        severity="critical" if serious else "warning",
        true=one.passed,
        summary=summary,
        details=details,
    )


def of_group(group: Group, verdicts: Sequence[Verdict]) -> Condition:
    """A group's condition, from the verdicts on its last known days: true if one of them is too dear."""
    bad = [one for one in verdicts if one.kinds]
    shown = max(bad, key=lambda one: one.impact) if bad else verdicts[-1] if verdicts else None
    about = f"{group.by.removeprefix('tag:')} {group.value}"
    details = {"by": group.by, "value": group.value, "currency": group.currency}
    summary = f"{about}: its last days can't be judged"
    if shown:
        summary = sentence(group.by, group.value, group.currency, shown)
        details |= {
            "day": str(shown.day),
            "cost": _money(shown.cost),
            "expected": _money(shown.expected),
            "impact": _money(shown.impact),
            "kinds": " and ".join(shown.kinds) or "none",
        }
    return Condition(
        name=alert_name("anomaly", *group.by.split(":", 1), group.value, group.currency),
        kind="anomaly",
        true=bool(bad) if verdicts else None,
        summary=summary,
        details=details,
    )


def sentence(by: str, value: str, currency: str, verdict: Verdict) -> str:
    """A verdict as it is read."""
    text = (
        f"{by.removeprefix('tag:')} {value}: {_money(verdict.cost)} {currency} on {verdict.day}, expected "
        f"{_money(verdict.expected)} by {verdict.by}: {_money(verdict.impact)} more"
    )
    if not verdict.kinds:
        return text.rpartition(":")[0]
    if "spike" in verdict.kinds and verdict.yesterday is not None:
        text += f", and {_money(verdict.cost - verdict.yesterday)} more than the day before"
    return text


def _money(amount: Decimal) -> str:
    return format(amount.quantize(CENT, ROUND_HALF_EVEN), "f")
