"""What energy costs. Money is Decimal; a price has a date and a source."""

from datetime import date
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated

import msgspec

from tidewatt_coordinator.electricity.tariff import parse_tariff
from tidewatt_wire.documents import DocumentError, decode_text, parse_toml
from tidewatt_wire.units import MILLIJOULES_PER_KILOWATT_HOUR


class Tariff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A flat price of electricity."""

    name: str
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    price_per_kwh: Decimal
    """A decimal in quotes, so that it is exact."""
    valid_from: date
    source: str

    def cost(self, energy_mj: int) -> Decimal:
        """The cost of `energy_mj` millijoules in the tariff's currency, unrounded."""
        return Decimal(energy_mj) * self.price_per_kwh / MILLIJOULES_PER_KILOWATT_HOUR


def load_tariff(path: str) -> Tariff:
    """The tariff in a TOML file, or the shipped flat one for an empty path.

    Raises DocumentError for what is wrong in the file, OSError if it can't be read.
    """
    if path:
        text, name = decode_text(Path(path).read_bytes(), path), path
    else:
        name = "flat.toml"
        text = resources.files("tidewatt_coordinator.data.tariffs").joinpath(name).read_text("utf-8")
    try:
        tariff = parse_toml(text, Tariff, name=name)
    except DocumentError as error:
        if _varies(text, name):
            raise DocumentError(
                f"{name}: ledger.tariff is a flat price; a tariff by the hour belongs to a site (edge.sites)"
            ) from error
        raise
    if not tariff.price_per_kwh.is_finite() or tariff.price_per_kwh < 0:
        raise DocumentError(f"{name}: price_per_kwh {tariff.price_per_kwh} is not a price")
    return tariff


def _varies(text: str, name: str) -> bool:
    """Whether it is a good tariff with more terms than one price."""
    try:
        parse_tariff(text, name)
    except DocumentError:
        return False
    return True
