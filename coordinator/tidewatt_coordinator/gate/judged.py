"""The verdict on each target: ok, violates or unknown; what wasn't measured is unknown, never ok. Pure."""

import math
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from tidewatt_coordinator.gate.targets import Targets
from tidewatt_coordinator.questions.unitcost import UnitCost
from tidewatt_coordinator.sla.objectives import AT_LEAST
from tidewatt_coordinator.sla.verdict import Series, Verdict, Word

MILLION = 1_000_000
#: The ledger's costs must reach within so many days of today: bills come late, but not that late.
LATEST_DAYS = 3


class Row(msgspec.Struct, frozen=True):
    """One target."""

    target: str
    wanted: str
    measured: str | None
    word: Word
    sentence: str


def promise_rows(verdict: Verdict) -> list[Row]:
    """What the engine of promises says."""
    return [
        Row(
            one.metric,
            f"{'>=' if one.metric in AT_LEAST else '<='} {one.promised:g}",
            None if one.value is None else f"{one.value:.6g}",
            one.word,
            one.sentence,
        )
        for one in verdict.judged
    ]


def spot_row(least: float, series: Series, steps: int, coverage: float) -> Row:
    """The mean share over the window."""
    wanted, values = f">= {least:g}", [one for one in series.values() if math.isfinite(one)]
    needed = max(1, math.ceil(coverage * steps))
    if len(values) < needed:
        why = f"it was measured in {len(values)} of {steps} steps, {needed} are needed"
        return Row("spot_share", wanted, None, "unknown", why)
    share = math.fsum(values) / len(values)
    word: Word = "ok" if share >= least else "violates"
    return Row("spot_share", wanted, f"{share:.4g}", word, f"the mean of {len(values)} steps")


def cost_rows(
    targets: Targets, totals: Sequence[UnitCost], days: tuple[date, date], today: date
) -> list[Row]:
    """Cost in all and by the request, of the days from the first to before the second."""
    paid = [one for one in totals if one.currency and one.currency == (targets.currency or one.currency)]
    why = ""
    if (today - days[1]).days > LATEST_DAYS:
        why = f"the ledger has costs up to {days[1]} only: import what came since"
    elif not paid:
        which = f" in {targets.currency}" if targets.currency else ""
        why = f"the ledger has no costs{which}: missing isn't free"
    elif len(paid) > 1:
        why = f"costs are in {', '.join(str(one.currency) for one in paid)}: say which by currency"
    one = paid[0] if len(paid) == 1 and not why else None
    span = f"{days[0]} to {days[1]}, the last day excluded"
    per = one.effective_per_request if one else None
    rows = []
    for name, most, found in (
        ("cost", targets.cost, one.effective if one else None),
        ("cost_per_million", targets.cost_per_million, None if per is None else per * MILLION),
    ):
        if most is not None:
            rows.append(_amount(name, most, found, why or span, one.currency if one else ""))
    return rows


def _amount(name: str, most: Decimal, found: Decimal | None, said: str, currency: str | None) -> Row:
    wanted = f"<= {most:f} {currency or ''}".rstrip()
    if found is None:
        return Row(name, wanted, None, "unknown", said if "ledger" in said else f"not known: {said}")
    return Row(name, wanted, f"{found:.6f} {currency}", "ok" if found <= most else "violates", said)
