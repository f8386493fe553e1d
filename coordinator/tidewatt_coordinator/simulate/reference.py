"""The reference service from week 13 to week 14, lever by lever, beside the notes' own table. Pure.

What is simulated is dispatch, nodes, boards and delivery; S3 and Route 53 are quantities times prices.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from tidewatt_coordinator.money import total
from tidewatt_coordinator.simulate.demand import Demand, Profile, drawn
from tidewatt_coordinator.simulate.outcome import Money, Side, Sight, draws, money, priced, side
from tidewatt_coordinator.simulate.pricing import CENT, Lines, usual
from tidewatt_coordinator.simulate.scenario import Means, Template, sight
from tidewatt_coordinator.simulate.world import Storm, World, changed

Line = Literal[
    "central", "delivery", "delivery-requests", "function", "boards", "s3", "route53", "monitoring", "fee"
]
Amount = Decimal


class Bucket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Storage that is all standard."""

    gigabytes: Decimal
    cold_share: Decimal
    """Of it nobody reads for a month."""


class Checks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Health checks of AWS endpoints, with HTTPS and the fast interval."""

    checks: int


class Noted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the notes' table, and what is to be said of it."""

    line: Line
    title: str
    before: Amount
    after: Amount
    said: str


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bundled file."""

    date: date
    """Whose prices hold."""
    world: World
    profile: Profile
    lever: list[Template]
    storm: Storm
    s3: Bucket
    route53: Checks
    notes: list[Noted]


class Row(msgspec.Struct, frozen=True):
    """A line of the table, dollars a month."""

    noted: Noted
    before: Amount
    after: Amount


class Step(msgspec.Struct, frozen=True):
    """What a lever saves after those before it, of a month."""

    name: str
    title: str
    saves: Money


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Week 13, week 14 and the way there. All of it is simulated."""

    simulated: bool = True
    currency: str
    demand: str
    rows: list[Row]
    steps: list[Step]
    before: Side
    """Without S3, Route 53, monitoring and fee."""
    after: Side
    storm: Side
    """Week 14 when half of the spot nodes are taken at noon every day."""
    total_before: Money
    total_after: Money
    saving: Money


def told(reference: Reference, means: Means, *, seed: int) -> Story:
    """The whole story."""
    demand = drawn(reference.profile, seed)
    sights = _sights(reference, demand, means)
    weights = draws(sights[0].lived, seed)
    requests = float(usual(len(demand.rps)) @ sights[0].lived.asked)
    months = [priced(one, weights, requests) for one in sights]
    raging = sight(msgspec.structs.replace(sights[-1].world, storm=reference.storm), demand, means)
    before, after = _still(reference, means)
    sums = [[total(list(lines.values())) for lines in month] for month in months]
    rows = [_row(one, months[0][0], months[-1][0], before, after) for one in reference.notes]
    first = [one + total(list(before.values())) for one in sums[0]]
    last = [one + total(list(after.values())) for one in sums[-1]]
    return Story(
        currency=reference.world.currency,
        demand=demand.what,
        rows=rows,
        steps=[*_steps(reference, sums), *_still_steps(before, after)],
        before=side(sights[0], months[0], weights),
        after=side(sights[-1], months[-1], weights),
        storm=side(raging, priced(raging, weights, requests), weights),
        total_before=money(first),
        total_after=money(last),
        saving=money([old - new for old, new in zip(first, last, strict=True)]),
    )


def _sights(reference: Reference, demand: Demand, means: Means) -> list[Sight]:
    """Week 13, and the world after each lever."""
    found = [sight(reference.world, demand, means)]
    for lever in reference.lever:
        found.append(sight(changed(found[-1].world, lever.change), demand, means, found[-1]))
    return found


def _steps(reference: Reference, sums: list[list[Decimal]]) -> list[Step]:
    return [
        Step(lever.name, lever.title, money([old - new for old, new in zip(one, other, strict=True)]))
        for lever, one, other in zip(reference.lever, sums, sums[1:], strict=False)
    ]


def _still(reference: Reference, means: Means) -> tuple[dict[Line, Amount], dict[Line, Amount]]:
    """What isn't simulated, before and after."""

    def of(table: str, item: str, region: str, quantity: Decimal | int) -> Amount:
        return means.book.find(table, item, region, on=means.on).price.cost(quantity)

    s3, checks = reference.s3, reference.route53.checks
    cold = s3.gigabytes * s3.cold_share
    option, base = (
        of("aws-route53", "health-check-option-aws", "", checks),
        of("aws-route53", "health-check-aws", "", checks),
    )
    watched = next(one.after for one in reference.notes if one.line == "monitoring")
    before: dict[Line, Amount] = {
        "s3": of("aws-s3", "standard", "us-east-1", s3.gigabytes),
        "route53": base + option + option,
        "monitoring": watched,
    }
    after: dict[Line, Amount] = {
        "s3": of("aws-s3", "standard", "us-east-1", s3.gigabytes - cold)
        + of("aws-s3", "standard-ia", "us-east-1", cold),
        "route53": base + option,
        "monitoring": watched,
    }
    return before, after


def _still_steps(before: Mapping[Line, Amount], after: Mapping[Line, Amount]) -> list[Step]:
    titles: dict[Line, str] = {
        "s3": "What nobody reads for a month is kept in Standard-IA",
        "route53": "Health checks without the fast interval",
    }
    return [Step(line, title, money([before[line] - after[line]])) for line, title in titles.items()]


def _row(noted: Noted, old: Lines, new: Lines, before: dict[Line, Amount], after: dict[Line, Amount]) -> Row:
    def of(lines: Lines, still: dict[Line, Amount]) -> Amount:
        if noted.line == "central":
            return total([amount for name, amount in lines.items() if name.startswith("eks-")])
        if noted.line == "boards":
            return lines["energy"] + lines["boards"]
        return still.get(noted.line, lines.get(noted.line, Decimal(0)))

    return Row(noted, of(old, before).quantize(CENT), of(new, after).quantize(CENT))
