"""What drivers of the bill see of the ledger, given in as functions."""

from collections.abc import Callable, Sequence

import msgspec

from tidewatt_coordinator.anomalies.groups import Found
from tidewatt_coordinator.levers.driver import Recommendation
from tidewatt_coordinator.questions.rows import Cost


def nothing_spent(days: int, names: Sequence[str]) -> Sequence[Cost]:
    """Where there is no ledger."""
    del days, names
    return []


class Sights(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger's part that the drivers may look at."""

    spent: Callable[[int, Sequence[str]], Sequence[Cost]] = nothing_spent
    """What the last days cost, by what questions group by; CostError if that can't be told."""
    described: Callable[[int, Sequence[str]], Sequence[Cost]] = nothing_spent
    """The same of some services, by day, service, kind and description."""
    spikes: Callable[[int], Sequence[Found]] = lambda _days: []
    """Days that cost too much, of the last so many, today and unsettled ones too."""
    proposed: Callable[[], Sequence[Recommendation]] = list
    """What is proposed, or on its way, at present."""
