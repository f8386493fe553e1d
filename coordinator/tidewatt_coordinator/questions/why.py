"""Why costs changed: the difference taken apart so that the parts sum to it, exactly. Pure.

A cost is a product. Electricity at a site is

    requests of the fleet x the site's share of them x joules per request x price of a joule

and anything else that is counted is quantity x price. Which factor made how much of a
product's difference depends on the order in which they are changed, so each gets its mean over
all orders (Shapley's value): nothing is left over and no order is preferred.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from itertools import combinations
from math import factorial, prod

from tidewatt_coordinator.costs.attribution import fitted, rounded
from tidewatt_coordinator.costs.charge import SMALLEST
from tidewatt_coordinator.electricity.charges import ELECTRICITY
from tidewatt_coordinator.money import EXACT, ROUNDING, total
from tidewatt_coordinator.questions.rows import Cost

VOLUME, MIX, EFFICIENCY, USAGE, PRICE, OTHER = "volume", "mix", "efficiency", "usage", "price", "other"
#: How a sentence says it: for more, and for less.
WORDS = {
    VOLUME: ("more requests", "fewer requests"),
    MIX: ("more of the traffic here", "less of the traffic here"),
    EFFICIENCY: ("more energy for each request", "less energy for each request"),
    USAGE: ("more used", "less used"),
    PRICE: ("dearer units", "cheaper units"),
    OTHER: ("new or not counted in units", "ended or not counted in units"),
}
#: The unit of what electricity is counted in.
ENERGY_UNIT = "kWh"


@dataclass(frozen=True, kw_only=True)
class Why:
    """One service at one site, or the whole. `parts` sum to `after` - `before`."""

    service: str
    site: str
    currency: str
    before: Decimal
    after: Decimal
    parts: dict[str, Decimal] = field(default_factory=dict)
    """By volume, mix, efficiency, usage, price, other; those that are zero left out."""
    sentence: str = ""


def shapley(before: Sequence[Fraction], after: Sequence[Fraction]) -> list[Fraction]:
    """What each factor's change made of the difference of the products; they sum to it."""
    count = len(before)
    parts = [Fraction(0)] * count
    for place in range(count):
        rest = [other for other in range(count) if other != place]
        for size in range(count):
            weight = Fraction(factorial(size) * factorial(count - size - 1), factorial(count))
            for changed in combinations(rest, size):
                others = prod(
                    (after[one] if one in changed else before[one] for one in rest), start=Fraction(1)
                )
                parts[place] += weight * (after[place] - before[place]) * others
    return parts


def reasons(
    before: Iterable[Cost],
    after: Iterable[Cost],
    requests_before: Mapping[str, int],
    requests_after: Mapping[str, int],
) -> list[Why]:
    """Why each service at each site costs something else; the largest difference first.

    Costs have the key (service, site, kind, unit); requests are by site.
    """
    cells: dict[tuple[str, ...], list[Cost | None]] = {}
    for place, costs in enumerate((before, after)):
        for cost in costs:
            cells.setdefault((cost.currency, *cost.key), [None, None])[place] = cost
    found: dict[tuple[str, str, str], list[tuple[Decimal, Decimal, dict[str, Decimal]]]] = {}
    for (currency, service, site, _kind, unit), (old, new) in cells.items():
        asked = service == ELECTRICITY and unit == ENERGY_UNIT
        requests = _requests(site, requests_before, requests_after) if asked else None
        cell = (
            old.effective if old else Decimal(0),
            new.effective if new else Decimal(0),
            _parts(old, new, requests),
        )
        found.setdefault((currency, service, site), []).append(cell)
    made = [_why(service, site, currency, some) for (currency, service, site), some in found.items()]
    return sorted(made, key=lambda one: (one.currency, -abs(one.after - one.before), one.service, one.site))


def whole(found: Iterable[Why]) -> list[Why]:
    """All of it together, by currency."""
    by_currency: dict[str, list[Why]] = {}
    for one in found:
        by_currency.setdefault(one.currency, []).append(one)
    return [
        _why("all services", "", currency, [(one.before, one.after, one.parts) for one in some])
        for currency, some in sorted(by_currency.items())
    ]


Requests = tuple[tuple[int, int], tuple[int, int]]
"""Before and after: the fleet's requests and the site's."""


def _requests(site: str, before: Mapping[str, int], after: Mapping[str, int]) -> Requests | None:
    pairs = [(sum(one.values()), one.get(site, 0)) for one in (before, after)]
    return (pairs[0], pairs[1]) if all(mine > 0 for _, mine in pairs) else None


def _parts(old: Cost | None, new: Cost | None, requests: Requests | None) -> dict[str, Decimal]:
    difference = (new.effective if new else Decimal(0)) - (old.effective if old else Decimal(0))
    if not old or not new or not old.quantity or not new.quantity:
        return _exactly({OTHER: Fraction(difference)}, OTHER, difference)
    quantities = (Fraction(old.quantity), Fraction(new.quantity))
    prices = (Fraction(old.effective) / quantities[0], Fraction(new.effective) / quantities[1])
    if requests is None:
        names = [USAGE, PRICE]
        factors = [list(pair) for pair in zip(quantities, prices, strict=True)]
    else:
        names = [VOLUME, MIX, EFFICIENCY, PRICE]
        factors = [
            [Fraction(fleet), Fraction(mine, fleet), quantity / mine, price]
            for (fleet, mine), quantity, price in zip(requests, quantities, prices, strict=True)
        ]
    return _exactly(dict(zip(names, shapley(factors[0], factors[1]), strict=True)), PRICE, difference)


def _exactly(parts: Mapping[str, Fraction], last: str, difference: Decimal) -> dict[str, Decimal]:
    """As decimals; `last` takes what rounding leaves, less than a millionth of a millionth for each."""
    rounded = {
        name: ROUNDING.divide(Decimal(part.numerator), Decimal(part.denominator)).quantize(
            SMALLEST, context=ROUNDING
        )
        for name, part in parts.items()
        if name != last
    }
    # A price that explodes makes parts of many digits, of which the difference is a few.
    rounded[last] = EXACT.subtract(difference, total(rounded.values()))
    return {name: part for name, part in rounded.items() if part}


def _why(
    service: str, site: str, currency: str, cells: Iterable[tuple[Decimal, Decimal, Mapping[str, Decimal]]]
) -> Why:
    before = after = Decimal(0)
    parts: dict[str, Decimal] = {}
    for old, new, some in cells:
        before, after = EXACT.add(before, old), EXACT.add(after, new)
        for name, part in some.items():
            parts[name] = EXACT.add(parts.get(name, Decimal(0)), part)
    parts = {name: parts[name] for name in WORDS if parts.get(name)}
    found = Why(service=service, site=site, currency=currency, before=before, after=after, parts=parts)
    return replace(found, sentence=sentence(found, total(rounded([after - before]))))


def sentence(one: Why, difference: Decimal) -> str:
    """What is said of it, where its difference is shown as `difference`, in whole cents: the parts that are
    said sum to that.
    """
    where = f"{one.service} at {one.site}" if one.site and one.site != "(none)" else one.service
    shown = dict(zip(one.parts, fitted(list(one.parts.values()), difference), strict=True))
    said = [
        f"{part:+,.2f} {WORDS[name][part < 0]}"
        for name, part in sorted(shown.items(), key=lambda item: -abs(item[1]))
        if part
    ]
    if not said:
        return f"{where}: no change"
    return f"{where}: {difference:+,.2f} {one.currency}: {', '.join(said)}"
