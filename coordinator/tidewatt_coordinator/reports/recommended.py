"""What is proposed and not yet done, as a report lists it. Pure."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec
from sqlalchemy import Engine


class OpenRecommendation(msgspec.Struct, frozen=True, kw_only=True):
    """One change that would save money."""

    id: str
    what: str
    """A sentence for people."""
    service: str
    stage: Literal["open", "approved"]
    """Waits for a person, or for its turn."""
    low: Decimal
    """Saved in a month: 80 of 100 lie between `low` and `high`."""
    middle: Decimal
    high: Decimal
    currency: str
    risk: Literal["low", "medium", "high"]
    made_ms: int
    verdict: str = ""
    """Whether the promise would hold, in a sentence; empty: nobody has judged it yet."""
    irreversible: bool = False
    """A purchase or a deletion: the product never does it by itself."""


#: From the ledger's database and the fleet to what is open there.
Reader = Callable[[Engine, str], Sequence[OpenRecommendation]]
