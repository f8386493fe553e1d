"""Sites and the hardware on them, as one file describes them. Pure."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1, le=1200)]


class Hardware(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the devices that match have cost, and for how long they are written off."""

    name: str
    match: dict[str, str] = {}
    """Labels; a device takes the first hardware whose labels it all has. Empty matches every device."""
    price: Decimal
    """Of one device with its parts, in the site's currency."""
    life_months: Positive
    residual: Decimal = Decimal(0)
    """What it is still worth at the end."""
    bought: date
    """The first day that it is written off for."""
    connectivity_per_month: Decimal = Decimal(0)
    """Of each device, such as a SIM card."""
    support_per_month: Decimal = Decimal(0)


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place with one electricity meter. Its devices have its name in the label `site`."""

    name: str
    tariff: str | list[str] = ""
    """Files of the electricity tariffs, beside this one; each holds from its valid_from on, the earliest
    before that, too. Empty means ledger.tariff."""
    carbon_zone: str = ""
    """Zone of the grid, such as DE; empty means that no carbon is counted."""
    connectivity_per_month: Decimal = Decimal(0)
    """Of the whole site."""
    support_per_month: Decimal = Decimal(0)
    solar: str = ""
    """CSV start,kwh of what the site's plant made by hour, beside this file; empty means no plant."""


class Sites(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    site: list[Site] = []
    hardware: list[Hardware] = []

    def wrong(self) -> Iterator[str]:
        """What no single field shows to be wrong, one sentence each."""
        names = [site.name for site in self.site]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"site {name!r} stands there twice"
        for site in self.site:
            fees = (site.connectivity_per_month, site.support_per_month)
            yield from _wrong_fees(f"site {site.name}", fees)
        kinds = [one.name for one in self.hardware]
        for kind in sorted({kind for kind in kinds if kinds.count(kind) > 1}):
            yield f"hardware {kind!r} stands there twice"
        for one in self.hardware:
            amounts = (one.price, one.residual, one.connectivity_per_month, one.support_per_month)
            yield from _wrong_fees(f"hardware {one.name}", amounts)
            if one.residual > one.price:
                yield f"hardware {one.name}: residual {one.residual} is more than price {one.price}"

    def hardware_of(self, labels: Mapping[str, str]) -> Hardware | None:
        """The first hardware whose labels a device all has."""
        return next(
            (one for one in self.hardware if all(labels.get(k) == v for k, v in one.match.items())), None
        )


def _wrong_fees(where: str, fees: tuple[Decimal, ...]) -> Iterator[str]:
    for fee in fees:
        if not fee.is_finite() or fee < 0:
            yield f"{where}: {fee} is no amount of money from 0 on"
