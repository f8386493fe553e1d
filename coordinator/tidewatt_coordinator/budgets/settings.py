"""The [[budgets]] sections of the coordinator's file."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from tidewatt_coordinator.costs.checks import wrong_currency
from tidewatt_coordinator.electricity.charges import CATEGORY as EDGE_SERVICES
from tidewatt_wire.topics import check_name

Percent = Annotated[int, msgspec.Meta(ge=1, le=1000)]


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent in a month of UTC, on everything or on what matches."""

    name: str
    """As alerts and pages call it."""
    amount: Decimal
    """Of a month."""
    currency: str = "USD"
    """Charges in another one don't count."""
    cost: Literal["effective", "billed"] = "effective"
    """Amortised, or as the invoice says."""
    service: str = ""
    """Only this service of the bill; empty: all."""
    site: str = ""
    """Only this site of the edge; empty: all."""
    tags: dict[str, str] = {}
    """Only charges that bear all of these."""
    actual: list[Percent] = msgspec.field(default_factory=lambda: [50, 80, 100])
    """Alert when so many percent are spent."""
    forecast: list[Percent] = msgspec.field(default_factory=lambda: [100])
    """Alert when so many percent are foreseen for the month's end."""

    @property
    def labels(self) -> dict[str, str]:
        """All tags that a charge must bear, the site's among them."""
        return self.tags | ({"site": self.site} if self.site else {})


def wrong_budgets(budgets: Sequence[Budget]) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    names = [budget.name for budget in budgets]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"budget {name!r} stands there twice"
    for budget in budgets:
        try:
            check_name(budget.name, "budgets.name")
        except ValueError as error:
            yield str(error)
        if not budget.amount.is_finite() or budget.amount <= 0:
            yield f"budget {budget.name}: amount {budget.amount} is not above zero"
        yield from wrong_currency(budget.currency, f"budget {budget.name}: currency")
        if budget.site and budget.service and budget.service not in EDGE_SERVICES:
            yield (
                f"budget {budget.name}: no charge can match: site is of the edge, whose services are "
                f"{', '.join(EDGE_SERVICES)}; {budget.service!r} is none of them"
            )
        if budget.site and "site" in budget.tags:
            yield f"budget {budget.name}: site stands there twice, as itself and among tags"
