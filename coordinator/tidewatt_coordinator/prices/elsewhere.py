"""The same machines at other providers: what they would cost there. Pure; a comparison, nothing more.

Machines are alike if they have at least the vCPUs and the memory, and the processor's architecture. A vCPU
is a core on arm64 and half of one on x86, at every provider here; generations differ all the same.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_CEILING, Decimal

import msgspec

from tidewatt_coordinator.money import EXACT, total
from tidewatt_coordinator.prices.book import HOURS_PER_MONTH, PriceBook, PriceError, PriceTable
from tidewatt_coordinator.prices.worked import beyond_free

#: The tables of machines elsewhere.
ELSEWHERE = ("gcp-compute", "azure-compute")
TRANSFER = "transfer-to-internet"
#: GiB for each vCPU by the family's first letter, and vCPUs by the size's name.
MEMORY = {"c": 2, "m": 4, "r": 8}
SIZES = {"medium": 1, "large": 2, "xlarge": 4}
_TYPE = re.compile(r"([cmr])[5-9]([a-z]*)\.(?:(medium|large|xlarge)|([0-9]{1,3})xlarge)")


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine has."""

    vcpu: Decimal
    gib: Decimal
    arm64: bool


class Instead(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of machine, and what stands for it elsewhere."""

    kind: str
    count: int
    machine: str
    machines: int
    here: Decimal
    there: Decimal


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A month at one other provider."""

    table: str
    provider: str
    region: str
    currency: str
    nodes: list[Instead]
    egress_here: Decimal
    egress_there: Decimal
    moving: Decimal
    """Paid once here, to get out what is stored."""

    @property
    def here(self) -> Decimal:
        """What is paid here."""
        return total([*(one.here for one in self.nodes), self.egress_here])

    @property
    def there(self) -> Decimal:
        """What would be paid there."""
        return total([*(one.there for one in self.nodes), self.egress_there])


def shape_of(kind: str) -> Shape:
    """What an EC2 type has, by its name; PriceError for a family whose name doesn't tell."""
    found = _TYPE.fullmatch(kind)
    if not found:
        raise PriceError(f"{kind}: only c, m and r families of the fifth generation on tell their shape")
    family, letters, size, many = found.groups()
    vcpu = Decimal(SIZES[size] if size else 4 * int(many))
    return Shape(vcpu=vcpu, gib=vcpu * MEMORY[family], arm64="g" in letters)


def compare(
    book: PriceBook,
    nodes: Mapping[str, int],
    region: str,
    *,
    on: date,
    egress_gb: Decimal = Decimal(0),
    stored_gb: Decimal = Decimal(0),
    any_architecture: bool = False,
) -> list[Comparison]:
    """A month of these EC2 machines, on demand, beside each other provider; the cheapest there first.

    PriceError for a machine that has no price here or nothing like it there.
    """
    transfer = book.find("aws-other", TRANSFER, region, on=on).price
    out = beyond_free(transfer, egress_gb)
    found = []
    for name in ELSEWHERE:
        table = book.table(name, on=on)
        there = next(one for one in table.price if one.item == TRANSFER)
        found.append(
            Comparison(
                table=name,
                provider=table.provider,
                region=there.region,
                currency=table.currency,
                nodes=[
                    _instead(book, table, kind, count, region, on, any_architecture=any_architecture)
                    for kind, count in sorted(nodes.items())
                    if count
                ],
                egress_here=out,
                egress_there=beyond_free(there, egress_gb),
                moving=transfer.cost(stored_gb, egress_gb),
            )
        )
    return sorted(found, key=lambda one: (one.there, one.table))


def _instead(
    book: PriceBook,
    table: PriceTable,
    kind: str,
    count: int,
    region: str,
    on: date,
    *,
    any_architecture: bool,
) -> Instead:
    need = shape_of(kind)
    found: list[tuple[Decimal, int, str]] = []
    for price in table.price:
        if "vcpu" not in price.limits:
            continue
        alike = any_architecture or bool(price.limits["arm64"]) == need.arm64
        if alike:
            shares = (need.vcpu / price.limits["vcpu"], need.gib / price.limits["gib"])
            each = int(max(shares).to_integral_value(ROUND_CEILING))
            found.append((price.cost(each * count * HOURS_PER_MONTH), each * count, price.item))
    if not found:
        raise PriceError(f"{table.name} has nothing like {kind}")
    there, machines, machine = min(found)
    here = book.find("aws-ec2", kind, region, on=on).price.cost(count * HOURS_PER_MONTH)
    return Instead(kind=kind, count=count, machine=machine, machines=machines, here=here, there=there)


def pays_back_months(one: Comparison) -> Decimal | None:
    """After how many months moving out has paid for itself; None: never."""
    saved = EXACT.subtract(one.here, one.there)
    return None if saved <= 0 else (one.moving / saved).quantize(Decimal("0.1"))
