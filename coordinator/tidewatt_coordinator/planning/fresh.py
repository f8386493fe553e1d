"""What the demand will be by what devices know already and the planner doesn't yet. Pure.

A planner's telemetry is a report older than a device's own. So beside the demand to be ready for stands
how that depends on the minute before, as straight lines over its rate: a plan can then say what it would ask
for at which rate, and every device looks up its own (`Hint.enough`).
"""

import msgspec

from tidewatt_coordinator.planning.residuals import COLD, Residuals
from tidewatt_coordinator.planning.terms import Terms

#: (slope, base): requests/s to be ready for are the highest of slope x rate + base.
Lines = tuple[tuple[float, float], ...]


class Fresh(msgspec.Struct, frozen=True):
    """What to be ready for once the minute before is known, which devices see and the planner doesn't yet."""

    lines: Lines
    """Requests/s to be ready for are the highest of slope x rate + base."""
    least_rps: float
    most_rps: float
    rps: float
    """The rate of the minute before: hardly less than that, and what it is expected to be."""
    lately: float = 0.0
    """What it would have been in the minute before, by what is known now, requests/s."""
    sure: bool = False

    def need(self, rps: float) -> float:
        """Requests/s to be ready for after a minute at `rps`."""
        return max(slope * rps + base for slope, base in self.lines)

    def beside(self, rps: float) -> "Fresh":
        """The same with so many requests/s more to be ready for at any rate."""
        lines = tuple((slope, base + rps) for slope, base in self.lines)
        return msgspec.structs.replace(self, lines=lines)

    def most(self, capacity_rps: float) -> float:
        """The rate in the minute before up to which that capacity is enough; below 0: at none."""
        return min((capacity_rps - base) / slope for slope, base in self.lines)


class FreshTrack:
    """One way of expecting from the minute before, slope x its rate + base, with its residuals."""

    def __init__(self, terms: Terms) -> None:
        self._residuals = {sure: Residuals(terms.tail_quantile) for sure in (False, True)}
        self._open: dict[int, tuple[float, float, float, bool]] = {}
        self._least, self._worth_rps = terms.least_margin, terms.worth_rps

    def expect(self, minute: int, slope: float, base: float, width_rps: float, *, sure: bool) -> Lines:
        """What to be ready for in that minute, as lines over the rate of the one before."""
        known, least = self._residuals[sure], 1.0 + self._least
        width_rps = known.width(width_rps)
        self._open[minute] = (slope, base, width_rps, sure)
        if known.known:
            guarded = (slope, base + known.margin_rps(width_rps, self._worth_rps))
        else:
            guarded = (slope * (1.0 + COLD), base * (1.0 + COLD))
        return (guarded, (slope * least, base * least))

    def came(self, minute: int, before_rps: float | None, rps: float) -> None:
        """Learn from a minute that is over and the one before it, where that is known."""
        expected = self._open.pop(minute, None)
        if expected and before_rps is not None:
            slope, base, width, sure = expected
            self._residuals[sure].add((rps - slope * before_rps - base) / width, width)
        self._open = {later: one for later, one in self._open.items() if later > minute}

    @property
    def known(self) -> bool:
        """Whether it has been scored often enough to be followed."""
        return self._residuals[False].known or self._residuals[True].known
