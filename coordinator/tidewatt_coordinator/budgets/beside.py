"""A cloud's budgets beside the ledger and beside our own: limit, actual, forecast. Pure.

The cloud counts what it bills, and knows nothing of the edge: so do the sums that it is compared with.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from tidewatt_coordinator.budgets.settings import Budget
from tidewatt_coordinator.budgets.standing import Forecast, Standing, standing
from tidewatt_coordinator.costs.awsbudgets import CloudBudget
from tidewatt_coordinator.costs.series import EDGE, DayCost, Settling

CENT = Decimal("0.01")
#: Percent of the cloud's figure below which a difference is that of two clocks: it tells hours late.
CLOSE_PERCENT = 5


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """A cloud's budget, with what our ledger says of the same."""

    told: CloudBudget
    ours: str
    """The budget of the configuration with its name, else with its scope; empty: none."""
    our_amount: Decimal | None
    ledger: Standing | None
    """How it stands by the bill's charges; None: they can't be compared, see `told.beyond`."""

    @property
    def percent(self) -> Decimal | None:
        """What the cloud says is spent, in percent of its limit."""
        limit, actual = self.told.limit, self.told.actual
        return 100 * actual / limit if limit and actual is not None else None

    @property
    def difference(self) -> Decimal | None:
        """By how much the cloud's actual is above the ledger's; None where one of them isn't known."""
        spent = self.ledger.spent if self.ledger else None
        return None if spent is None or self.told.actual is None else self.told.actual - spent

    @property
    def sentences(self) -> list[str]:
        """What somebody should know of it; none if all is as one expects."""
        told, money = self.told, self.told.currency
        found = []
        if told.limit is not None and self.our_amount is not None and told.limit != self.our_amount:
            ours = f"that of our budget {self.ours} {self.our_amount:,.2f}"
            found.append(f"its limit is {told.limit:,.2f} {money}, {ours}")
        if told.limit is not None and told.forecast is not None and told.forecast > told.limit:
            found.append(f"AWS foresees {told.forecast:,.2f} {money}, above its limit")
        if told.beyond:
            found.append(f"the ledger can't be compared: {told.beyond}")
        elif self.ledger is None or self.ledger.spent is None:
            found.append("the ledger has no bill of this month to compare with")
        elif self.difference is not None and told.actual is not None and _far(self.difference, told.actual):
            found.append(f"AWS says {told.actual:,.2f} {money} is spent, the bill {self.ledger.spent:,.2f}")
        return [f"{told.name}: {one}" for one in found]


def beside(
    told: CloudBudget,
    own: Sequence[Budget],
    costs: Sequence[DayCost],
    tags: Sequence[str],
    now_ms: int,
    settling: Settling,
    forecast: Forecast | None = None,
) -> Beside:
    """A cloud's budget compared. `costs` were read with `tags`, all of the budget's own among them."""
    mine = next((one for one in own if one.name.casefold() == told.name.casefold()), None)
    mine = mine or next((one for one in own if _same_scope(one, told)), None)
    same_money = mine is not None and mine.currency == told.currency and told.period == "monthly"
    ledger = None
    if not told.beyond and told.limit:
        budget = Budget(
            name=told.name,
            amount=told.limit,
            currency=told.currency,
            cost=told.cost,
            service=told.services[0] if told.services else "",
            tags=told.tags,
        )
        billed = [_of(one, told.services) for one in costs if one.source != EDGE]
        ledger = standing(budget, billed, tags, now_ms, settling, forecast)
    return Beside(
        told=told,
        ours=mine.name if mine else "",
        our_amount=mine.amount if mine and same_money else None,
        ledger=ledger,
    )


def tags_of(told: Iterable[CloudBudget]) -> list[str]:
    """The tags with which costs must be read for these."""
    return list(dict.fromkeys(tag for one in told for tag in one.tags))


def _of(cost: DayCost, services: Sequence[str]) -> DayCost:
    """Several services are summed as if they were the first."""
    return msgspec.structs.replace(cost, service=services[0]) if cost.service in services[1:] else cost


def _same_scope(own: Budget, told: CloudBudget) -> bool:
    services = [own.service] if own.service else []
    scope = (services, own.labels, own.currency, own.cost)
    return scope == (told.services, told.tags, told.currency, told.cost) and not told.beyond


def _far(difference: Decimal, actual: Decimal) -> bool:
    return abs(difference) >= CENT and 100 * abs(difference) > CLOSE_PERCENT * abs(actual)
