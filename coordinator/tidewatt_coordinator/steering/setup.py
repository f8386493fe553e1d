"""What tables are priced by, from the configuration's files."""

from datetime import datetime, timezone

from tidewatt_coordinator.config import Config
from tidewatt_coordinator.ledger.tariff import Tariff
from tidewatt_coordinator.prices.files import load_book
from tidewatt_coordinator.steering.pools import PoolPrice, priced
from tidewatt_coordinator.steering.wheel import Power
from tidewatt_wire.documents import DocumentError


def power(config: Config, tariff: Tariff) -> Power:
    """The prices of energy and of every pool, all in the tariff's currency.

    Raises DocumentError for a pool that is priced in another, PriceError for one that has no price.
    """
    prices: dict[str, PoolPrice] = {}
    if config.dispatch.pools:
        book, today = load_book(config.prices.folder), datetime.now(timezone.utc).date()
        for pool in config.dispatch.pools:
            price = priced(pool, book, today)
            if price.currency not in ("", tariff.currency):
                raise DocumentError(
                    f"dispatch.pools {pool.name!r} is priced in {price.currency}, electricity in "
                    f"{tariff.currency}: give its cost_per_million and egress_per_gb in {tariff.currency}"
                )
            prices[pool.name] = price
    return Power(float(tariff.price_per_kwh), tariff.currency, prices)
