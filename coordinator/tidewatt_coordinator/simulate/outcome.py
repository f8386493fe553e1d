"""Before and after of a scenario, with intervals by drawing days anew. Pure.

Days are drawn with replacement, weekdays from weekdays and weekends from weekends, the same ones before and
after: the difference is of the scenario, not of the draw. What the interval covers is how much days differ;
that the model is wrong, or that next month is unlike this one, it doesn't.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec
import numpy as np

from tidewatt_coordinator.dispatch.pool import Floats
from tidewatt_coordinator.money import total
from tidewatt_coordinator.simulate.life import BOUNDS_MS, Lived
from tidewatt_coordinator.simulate.pricing import CENT, MONTH_DAYS, Bill, Lines, usual
from tidewatt_coordinator.simulate.world import World

DRAWS = 200
#: What an interval holds of the draws.
LOW, HIGH = 0.05, 0.95
DAY_MIN = 1440.0

Word = Literal["kept", "broken", "unsure"]


class Interval(msgspec.Struct, frozen=True):
    """The figure of the days as they were, and where nine of ten draws lie."""

    low: float
    middle: float
    high: float


class Money(msgspec.Struct, frozen=True):
    """A month's, to the cent."""

    low: Decimal
    middle: Decimal
    high: Decimal


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One world's month."""

    cost: Money
    lines: dict[str, Decimal]
    per_million: Decimal
    """Cost of a million requests asked for."""
    requests: float
    """A month's, in millions."""
    shares: dict[str, float]
    """Of what was answered, by backend."""
    availability: Interval
    """Share answered;"""
    error_rate: Interval
    """share that failed, at a backend that could not;"""
    in_time: Interval
    """share answered within its class's limit;"""
    p95_ms: Interval
    """over all that was answered; null where the tail is beyond 5 s."""
    bad_minutes: Interval
    """Share of the minutes in which a promise broke."""
    energy_kwh: float
    switches_per_day: float
    """Of all boards."""
    spot_hours: float
    """Share of the node hours that were spot."""
    promise: Word
    told: str
    """The same in a sentence."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a scenario comes to. All of it is simulated."""

    scenario: str
    world: str
    demand: str
    currency: str
    simulated: bool = True
    before: Side
    after: Side
    saving: Money
    """Of a month; below 0 it costs more."""
    notes: list[str]


class Sight(msgspec.Struct, frozen=True):
    """A world with what became of its days."""

    world: World
    lived: Lived
    bill: Bill


def compare(
    scenario: str, demand: str, before: Sight, after: Sight, *, seed: int, notes: Sequence[str] = ()
) -> Outcome:
    """The two sides and what the second saves. `demand` is said in words."""
    drawn = draws(before.lived, seed)
    usual_requests = float(usual(len(before.lived.asked)) @ before.lived.asked)
    costs = [priced(sight, drawn, usual_requests) for sight in (before, after)]
    sides = [side(sight, lines, drawn) for sight, lines in zip((before, after), costs, strict=True)]
    saved = [_sum(old) - _sum(new) for old, new in zip(*costs, strict=True)]
    return Outcome(
        scenario=scenario,
        world=before.world.name,
        demand=demand,
        currency=before.world.currency,
        before=sides[0],
        after=sides[1],
        saving=money(saved),
        notes=[*notes, *_noted(before, drawn)],
    )


def draws(lived: Lived, seed: int) -> Floats:
    """(1 + DRAWS, D) how often each day counts in a month; the first row is the days as they were."""
    chance, days = np.random.default_rng(seed), len(lived.asked)
    weights = np.zeros((1 + DRAWS, days))
    for kind in (lived.weekend, ~lived.weekend):
        mine = np.flatnonzero(kind)
        if len(mine):
            weights[1:, mine] = chance.multinomial(len(mine), np.full(len(mine), 1.0 / len(mine)), DRAWS)
    weights[0] = 1.0
    return weights * (MONTH_DAYS / days)


def priced(sight: Sight, drawn: Floats, usual_requests: float) -> list[Lines]:
    """The month of every draw, by its lines."""
    return [sight.bill.month(sight.lived, row, usual_requests) for row in drawn]


def side(sight: Sight, lines: Sequence[Lines], drawn: Floats) -> Side:
    """Figures of one world."""
    lived, world = sight.lived, sight.world
    asked = drawn @ lived.asked
    answered = np.maximum(asked - drawn @ lived.unserved, 1e-9)
    hours = drawn[0] @ lived.node_hours.sum(axis=1)
    served = drawn[0] @ lived.served
    cost = money([_sum(one) for one in lines])
    availability = 1.0 - drawn @ lived.unserved / np.maximum(asked, 1e-9)
    errors = drawn @ lived.failed / np.maximum(asked, 1e-9)
    in_time = (answered - drawn @ lived.slow) / np.maximum(asked, 1e-9)
    promised = _promised(world, availability, errors, in_time)
    return Side(
        cost=cost,
        lines={name: amount.quantize(CENT) for name, amount in lines[0].items()},
        per_million=(cost.middle * 1_000_000 / Decimal(max(round(float(asked[0])), 1))).quantize(
            Decimal("1e-4")
        ),
        requests=float(asked[0]) / 1e6,
        shares={
            name: float(part / answered[0])
            for name, part in zip(lived.names, served, strict=True)
            if part > 0.0
        },
        availability=_interval(availability),
        error_rate=_interval(errors),
        in_time=_interval(in_time),
        p95_ms=_interval(_quantile(drawn @ lived.waits, answered, 0.95)),
        bad_minutes=_interval(drawn @ lived.bad / (drawn.sum(axis=1) * DAY_MIN)),
        energy_kwh=float(drawn[0] @ lived.energy_kwh),
        switches_per_day=lived.switches / len(lived.asked),
        spot_hours=float(hours[1] / max(float(hours.sum()), 1e-9)),
        promise=promised[0],
        told=promised[1],
    )


def _promised(world: World, availability: Floats, errors: Floats, in_time: Floats) -> tuple[Word, str]:
    """Whether the month keeps what is promised, by the worse end of each interval."""
    promise = world.promise
    limits = sum(one.share * one.percentile for one in world.classes)
    margins = {
        "availability": (availability - promise.availability, f"{availability[0]:.3%} answered"),
        "errors": (promise.error_rate - errors, f"{errors[0]:.3%} failed"),
        "latency": (in_time - limits * availability, f"{in_time[0]:.2%} in time of {limits:.2%} promised"),
    }
    told = ", ".join(words for _, words in margins.values())
    broken = [name for name, (margin, _) in margins.items() if _interval(margin).high < 0.0]
    unsure = [name for name, (margin, _) in margins.items() if _interval(margin).low < 0.0]
    if broken:
        return "broken", f"{' and '.join(broken)} broken: {told}"
    return ("unsure", f"{' and '.join(unsure)} unsure: {told}") if unsure else ("kept", told)


def _quantile(counts: Floats, answered: Floats, share: float) -> Floats:
    """(R,) by straight lines within the buckets; beyond the last bound it is infinite."""
    upto = np.cumsum(counts, axis=1) / answered[:, None]
    return np.array([np.interp(share, row, BOUNDS_MS, right=np.inf) for row in upto])


def _interval(values: Floats) -> Interval:
    low, high = (float(one) for one in np.quantile(values, (LOW, HIGH)))
    middle = float(values[0])
    return Interval(min(low, middle), middle, max(high, middle))


def money(values: Sequence[Decimal]) -> Money:
    """The interval of a month's draws, of which the first is the days as they were."""
    ordered, middle = sorted(values), values[0]
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (LOW, HIGH))
    return Money(*(one.quantize(CENT) for one in (min(low, middle), middle, max(high, middle))))


def _sum(lines: Mapping[str, Decimal]) -> Decimal:
    return total(list(lines.values()))


def _noted(before: Sight, drawn: Floats) -> list[str]:
    notes = []
    if len(before.lived.asked) == 1:
        notes.append("one day was lived: there is nothing to draw from, and no interval")
    elif np.ptp(drawn @ before.lived.asked) < 1e-6 * float(drawn[0] @ before.lived.asked):
        notes.append("the days are alike: intervals have no width, which is no certainty")
    return notes
