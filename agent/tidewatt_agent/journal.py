"""The journal: one line a tick, from which the decision can be made again."""

import msgspec

from tidewatt_agent.hands import Outcome
from tidewatt_governor.decide import Decision
from tidewatt_governor.forecast.value import Forecast
from tidewatt_governor.hints import Hint
from tidewatt_governor.leases import Lease
from tidewatt_governor.sample import Load
from tidewatt_governor.situation import Situation
from tidewatt_wire.messages import OperatingPoint, Policy


class TickRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a decision was made from, and the decision: one line of a journal."""

    at_ms: int
    now_s: float
    stands: str
    """Where the board stood, or, where that can't be read, was taken to stand."""
    load: Load | None
    policy: Policy
    decision: Decision
    outcome: Outcome
    trimmed: Outcome | None = None
    """What became of the caps; None: nothing was asked."""
    leases: list[Lease] = []
    barred: list[str] = []
    """Points, and trims as POINT/TRIM, left out of the decision because the board didn't take them."""
    learned: list[OperatingPoint] = []
    """The points as they have come to be known, where that is news; the profile's until the first."""
    situation: Situation = Situation()
    forecast: Forecast | None = None
    hint: Hint | None = None
    """What the fleet's plan asked for."""
    began: bool = False
    """Whether this was the first tick of a run: nothing is remembered from before."""
    became: str | None = None
    """Where the governor took the board to stand after it; null in journals older than this field."""


#: What stands for a latency without end, as JSON has no word for it: eleven days.
ENDLESS_MS = 1e9


def finite(load: Load | None) -> Load | None:
    """The load as a line of JSON can hold it: a p95 beyond every bucket is very long, not unknown."""
    if load is None or load.p95_ms is None or load.p95_ms <= ENDLESS_MS:
        return load
    return msgspec.structs.replace(load, p95_ms=ENDLESS_MS)
