"""What a month of lived days costs, by the price book. Pure.

A month has the price book's 730 hours. Energy is flat by the kilowatt hour; CloudFront's fee by the request
is that of North America and Europe; free quantities, taxes and what isn't in the world are left out.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import numpy as np

from tidewatt_coordinator.dispatch.pool import Floats
from tidewatt_coordinator.money import EXACT, total
from tidewatt_coordinator.prices.book import HOURS_PER_MONTH, PriceBook
from tidewatt_coordinator.prices.worked import (
    LAMBDA_ARM,
    LAMBDA_EDGE,
    LAMBDA_X86,
    instances,
    invocation,
    transfer,
)
from tidewatt_coordinator.simulate.life import Lived
from tidewatt_coordinator.simulate.tables import Prices
from tidewatt_coordinator.simulate.world import World

MONTH_DAYS = HOURS_PER_MONTH / 24
RUNTIMES = {"x86": LAMBDA_X86, "arm": LAMBDA_ARM, "edge": LAMBDA_EDGE}
CENT = Decimal("0.01")

Lines = Mapping[str, Decimal]


class Bill:
    """The prices of one world, on a day."""

    def __init__(self, world: World, book: PriceBook, on: date) -> None:
        """PriceError for an instance, a region or a viewer's region that the book doesn't know."""
        self._world, self._book, self._on = world, book, on
        share = book.find("aws-ec2-spot", "share-of-on-demand", on=on).price.marginal()
        hours = [instances(book, one.instance, one.region, 1, on=on) / HOURS_PER_MONTH for one in world.nodes]
        self._hours = [(hour, EXACT.multiply(hour, share)) for hour in hours]
        function = world.function
        self._fee = book.find("aws-data", "cloudfront-https-requests", on=on).price
        self._request = (
            invocation(
                book,
                RUNTIMES[function.runtime],
                memory_mb=function.memory_mb,
                billed_ms=function.billed_ms,
                on=on,
            )
            if function
            else Decimal(0)
        )

    @property
    def prices(self) -> Prices:
        """What dispatch decides by."""
        hours = tuple((float(steady), float(spot)) for steady, spot in self._hours)
        return Prices(hours, float(self._request))

    def month(self, lived: Lived, weights: Floats, usual_requests: float) -> Lines:
        """The lines of a month in which each lived day counts `weights` (D,) times.

        `usual_requests`: of a month as it was recorded, by which delivery grows.
        """
        world, lines = self._world, dict[str, Decimal]()
        for place, (pool, prices) in enumerate(zip(world.nodes, self._hours, strict=True)):
            hours = weights @ lived.node_hours[:, place]
            lines[pool.name] = total(
                [price * _exact(hour) for price, hour in zip(prices, hours, strict=True)]
            )
        if world.boards:
            lines["energy"] = world.boards.price_per_kwh * _exact(float(weights @ lived.energy_kwh))
            lines["boards"] = world.boards.kept_per_month * world.boards.count
        if world.function:
            lines[world.function.name] = self._request * _exact(float(weights @ lived.served[:, -1]))
        if delivery := world.delivery:
            grown = delivery.gigabytes_per_month * _exact(float(weights @ lived.asked) / usual_requests)
            sent = {region: grown * share for region, share in delivery.viewers.items()}
            lines["delivery"] = transfer(self._book, sent, delivery.price_class, on=self._on)
            lines["delivery-requests"] = self._fee.cost(_exact(float(weights @ lived.asked)))
        return lines


def usual(days: int) -> Floats:
    """(D,) how often each day counts in a month, if all count the same."""
    return np.full(days, MONTH_DAYS / days)


def _exact(quantity: float) -> Decimal:
    """To six places: the lives are simulated, the price is not."""
    return Decimal(repr(round(float(quantity), 6)))
