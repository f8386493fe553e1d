"""A charge: one row of cost from any source, in FOCUS's terms."""

import hashlib
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Literal, get_args

import msgspec

#: FOCUS's ChargeCategory.
Kind = Literal["Usage", "Purchase", "Tax", "Credit", "Adjustment"]
KINDS: tuple[str, ...] = get_args(Kind)

#: Money and quantities are kept to this, and are smaller than MOST: every sum of a ledger's life is then
#: exact in Decimal's usual 28 digits.
SMALLEST = Decimal("1E-12")
MOST = Decimal("1E+12")
#: Longer numbers are no amounts.
LONGEST_NUMBER = 100
#: 9999-12-31: no period ends later.
LATEST_MS = 253_402_214_400_000


class CostError(ValueError):
    """Costs can't be read, written or asked for; the sentence says which, where and why."""


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One row of cost. The same key of the same source replaces."""

    source: str
    """"edge", "opencost", "cost_explorer", "focus" or "prometheus"."""
    key: str
    """Identity within the source."""
    start_ms: int
    """Included."""
    end_ms: int
    """Excluded."""
    provider: str = ""
    service: str = ""
    category: str = ""
    """FOCUS's ServiceCategory: Compute, Storage, Networking..."""
    region: str = ""
    account: str = ""
    resource: str = ""
    description: str = ""
    tags: dict[str, str] = {}
    quantity: Decimal | None = None
    unit: str = ""
    billed: Decimal
    """What the invoice says: UnblendedCost, BilledCost."""
    effective: Decimal
    """Amortised: NetAmortizedCost, EffectiveCost. Decisions are made by it."""
    marginal: Decimal | None = None
    """What one more unit costs; None where that isn't known."""
    list_cost: Decimal | None = None
    """Without any discount; None where that isn't known."""
    currency: str = "USD"
    """ISO 4217."""
    kind: Kind = "Usage"
    """FOCUS's ChargeCategory: savings are rows of their own, never netted into usage."""


def amount(value: object, where: str) -> Decimal:
    """A number that somebody else wrote, to twelve decimals.

    Raises CostError naming `where` for what is no number, not finite, or beyond belief.
    """
    text = str(value).strip()
    try:
        number = Decimal(text) if len(text) <= LONGEST_NUMBER else None
    except InvalidOperation:
        number = None
    if isinstance(value, bool) or number is None or "_" in text:
        raise CostError(f"{where}: {_shown(text)} is no number")
    if not number.is_finite() or not -MOST < number < MOST:
        raise CostError(f"{where}: {_shown(text)} is no amount (finite and below {MOST:.0e})")
    return number.quantize(SMALLEST, ROUND_HALF_EVEN).normalize() + 0


def currency_code(value: object, where: str) -> str:
    """An ISO 4217 code; CostError naming `where` if it is none."""
    text = str(value).strip()
    if len(text) != len("USD") or not text.isascii() or not text.isalpha():
        raise CostError(f"{where}: {_shown(text)} is no currency code such as USD")
    return text.upper()


def check_period(start_ms: int, end_ms: int, where: str) -> None:
    """CostError naming `where` unless the period is of this age and longer than nothing."""
    if not 0 <= start_ms < end_ms <= LATEST_MS:
        raise CostError(f"{where}: its period ends before it begins, or lies outside 1970 to 9999")


def word(value: object) -> str:
    """A name or a sentence that somebody else wrote, fit for every database; None is empty."""
    text = "" if value is None else str(value)
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def identity(*parts: str) -> str:
    """A key of fixed length for what has these parts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    return sum(amounts, Decimal(0))


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_NUMBER else f"{text[:40]}...")
