"""To whom costs are due: charges cut to a window, grouped by what they say, shown so that parts add up."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import msgspec

from tidewatt_coordinator import money
from tidewatt_coordinator.costs.charge import SMALLEST, Charge, CostError, total
from tidewatt_coordinator.costs.days import Window, day_of
from tidewatt_coordinator.money import EXACT, ROUNDING

FIELDS = ("source", "provider", "service", "category", "region", "account", "resource", "description", "kind")
#: What charges without the field or the tag are filed under.
NONE = "(none)"
CENTS = 2
HUNDREDTH = Decimal("0.01")


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What one group costs, in one currency."""

    key: tuple[str, ...]
    currency: str
    billed: Decimal
    effective: Decimal
    marginal: Decimal | None
    """Of the charges that know theirs; None if none does."""
    charges: int


def within(charge: Charge, window: Window) -> Charge | None:
    """The part of a charge that lies in a window, by time; None if nothing does.

    The parts of windows that follow one another sum to the charge, exactly.
    """
    begin, end = max(charge.start_ms, window.start_ms), min(charge.end_ms, window.end_ms)
    if begin >= end:
        return None
    if (begin, end) == (charge.start_ms, charge.end_ms):
        return charge
    length = charge.end_ms - charge.start_ms

    def part(value: Decimal) -> Decimal:
        # Both ends are rounded in the same way, so that neighbours share them.
        until, before = (
            (value * (at - charge.start_ms) / length).quantize(SMALLEST, ROUND_HALF_EVEN)
            for at in (end, begin)
        )
        return until - before

    def maybe(value: Decimal | None) -> Decimal | None:
        return None if value is None else part(value)

    return msgspec.structs.replace(
        charge,
        start_ms=begin,
        end_ms=end,
        billed=part(charge.billed),
        effective=part(charge.effective),
        quantity=maybe(charge.quantity),
        marginal=maybe(charge.marginal),
        list_cost=maybe(charge.list_cost),
    )


def attribute(charges: Iterable[Charge], by: Sequence[str]) -> list[Share]:
    """What charges sum to by `by`, the dearest group first.

    `by` names fields of a charge, "day", "month", "namespace", or "tag:name"; CostError for another.
    """
    readers = [_reader(name) for name in by]
    groups: dict[tuple[tuple[str, ...], str], list[Charge]] = {}
    for charge in charges:
        key = tuple(read(charge) or NONE for read in readers)
        groups.setdefault((key, charge.currency), []).append(charge)
    shares = [_share(key, currency, members) for (key, currency), members in groups.items()]
    return sorted(shares, key=lambda share: (share.currency, -share.effective, share.key))


def spread(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """An amount in proportion to weights of zero or more; the parts sum to it exactly.

    Raises ValueError if no weight is above zero.
    """
    whole = total(weights)
    if whole <= 0 or min(weights) < 0:
        raise ValueError("what is spread needs weights of zero or more, and one above it")
    parts = [(amount * weight / whole).quantize(SMALLEST, ROUND_HALF_EVEN) for weight in weights]
    heaviest = max(range(len(parts)), key=weights.__getitem__)
    parts[heaviest] += amount - total(parts)
    return parts


def scaled(shares: Sequence[Share], billed: Decimal, effective: Decimal) -> list[Share]:
    """Estimated shares, of one currency, stretched to what was truly paid for all of them together."""
    by_billed = spread(billed, [max(share.billed, Decimal(0)) for share in shares])
    by_effective = spread(effective, [max(share.effective, Decimal(0)) for share in shares])
    return [
        msgspec.structs.replace(share, billed=one, effective=other, marginal=None)
        for share, one, other in zip(shares, by_billed, by_effective, strict=True)
    ]


def rounded(values: Sequence[Decimal], places: int = CENTS) -> list[Decimal]:
    """Values as they are shown: they sum to their rounded sum, by largest remainder."""
    unit = Decimal(1).scaleb(-places)
    floors = [value.quantize(unit, ROUND_FLOOR) for value in values]
    missing = int((total(values).quantize(unit, ROUND_HALF_EVEN) - total(floors)) / unit)
    order = sorted(range(len(values)), key=lambda index: floors[index] - values[index])
    for index in order[:missing]:
        floors[index] += unit
    return floors


def fitted(values: Sequence[Decimal], whole: Decimal) -> list[Decimal]:
    """Values to the cent that sum to `whole`, which is theirs but for how it was rounded elsewhere.

    They may be greater than any amount, as parts of a difference are that cancel each other.
    """
    cents = [value.quantize(HUNDREDTH, ROUND_FLOOR, context=ROUNDING) for value in values]
    order = sorted(range(len(values)), key=lambda place: EXACT.subtract(cents[place], values[place]))
    missing = int(EXACT.subtract(whole, money.total(cents)) / HUNDREDTH)
    for number in range(abs(missing) if order else 0):
        # One too many is taken from where it was least wanted.
        place = order[(number if missing > 0 else -1 - number) % len(order)]
        cents[place] = EXACT.add(cents[place], HUNDREDTH if missing > 0 else -HUNDREDTH)
    return cents


def _share(key: tuple[str, ...], currency: str, members: Sequence[Charge]) -> Share:
    marginal = [charge.marginal for charge in members if charge.marginal is not None]
    return Share(
        key=key,
        currency=currency,
        billed=total(charge.billed for charge in members),
        effective=total(charge.effective for charge in members),
        marginal=total(marginal) if marginal else None,
        charges=len(members),
    )


def _reader(name: str) -> Callable[[Charge], str]:
    if name in FIELDS:
        return lambda charge: str(getattr(charge, name))
    if name == "day":
        return lambda charge: str(day_of(charge.start_ms))
    if name == "month":
        return lambda charge: str(day_of(charge.start_ms))[:7]
    tag = "namespace" if name == "namespace" else name.removeprefix("tag:")
    if name != "namespace" and (tag == name or not tag):
        near = difflib.get_close_matches(name, [*FIELDS, "day", "month", "namespace"], n=1)
        hint = (
            f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FIELDS)}, day, month, tag:name"
        )
        raise CostError(f"costs can't be grouped by {name!r}; {hint}")
    return lambda charge: charge.tags.get(tag, "")
