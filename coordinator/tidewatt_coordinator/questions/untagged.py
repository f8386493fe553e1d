"""What is spent without a tag that the policy requires, by service; and with it, by value. Pure."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from tidewatt_coordinator.questions.rows import NONE, Cost

NOTHING = Decimal(0)


class Tagged(msgspec.Struct, frozen=True, kw_only=True):
    """One tag's share of what was spent in one currency."""

    tag: str
    currency: str
    whole: Decimal
    by_value: dict[str, Decimal]
    """What each value answers for, the most first."""
    untagged: dict[str, Decimal]
    """By service, what nobody answers for, the most first."""
    wrong: dict[str, Decimal]
    """What has a value that the policy doesn't know."""

    @property
    def missing(self) -> Decimal:
        """All that nobody answers for."""
        return sum(self.untagged.values(), NOTHING)


def tagged(costs: Iterable[Cost], tags: Sequence[str], known: Sequence[Sequence[str]]) -> list[Tagged]:
    """One for each tag and currency. `costs` have the key (service, value of each tag...); `known` are each
    tag's values by the policy, none for any.
    """
    rows = list(costs)
    found = []
    for index, (tag, values) in enumerate(zip(tags, known, strict=True), start=1):
        for currency in sorted({cost.currency for cost in rows}):
            mine = [cost for cost in rows if cost.currency == currency]
            here = [cost for cost in mine if cost.key[index] != NONE]
            found.append(
                Tagged(
                    tag=tag,
                    currency=currency,
                    whole=sum((cost.effective for cost in mine), NOTHING),
                    by_value=_summed((cost.key[index], cost.effective) for cost in here),
                    untagged=_summed(
                        (cost.key[0], cost.effective) for cost in mine if cost.key[index] == NONE
                    ),
                    wrong=_summed(
                        (cost.key[index], cost.effective)
                        for cost in here
                        if values and cost.key[index] not in values
                    ),
                )
            )
    return found


def _summed(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for name, amount in pairs:
        sums[name] = sums.get(name, NOTHING) + amount
    return dict(sorted(sums.items(), key=lambda one: (-one[1], one[0])))
