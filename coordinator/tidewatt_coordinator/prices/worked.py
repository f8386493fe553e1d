"""What typical uses cost by the price book. Pure; every function takes the day whose prices hold.

Costs are a month's, in the book's currency, unrounded.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import msgspec

from tidewatt_coordinator.money import EXACT, total
from tidewatt_coordinator.prices.book import HOURS_PER_MONTH, Price, PriceBook

MEBIBYTES_PER_GIBIBYTE = 1024
MILLISECONDS_PER_SECOND = 1000


def instances(
    book: PriceBook, kind: str, region: str, count: int, *, on: date, spot: bool = False
) -> Decimal:
    """`count` EC2 instances of one type through a month; `spot` at the assumed share of the list price."""
    hourly = book.find("aws-ec2", kind, region, on=on).price.cost(count * HOURS_PER_MONTH)
    if not spot:
        return hourly
    share = book.find("aws-ec2-spot", "share-of-on-demand", on=on).price.marginal()
    return EXACT.multiply(hourly, share)


def transfer(book: PriceBook, gigabytes: Mapping[str, Decimal], price_class: str, *, on: date) -> Decimal:
    """CloudFront's transfer to viewers, GB by their region, under a price class.

    Regions outside the class are served from inside it, at the price there; tiers count each billed
    region's whole quantity.
    """
    reach = book.table("aws-cloudfront", on=on).reach[price_class]
    billed: dict[str, Decimal] = {}
    for region, quantity in gigabytes.items():
        served = reach.served(region)
        billed[served] = billed.get(served, Decimal(0)) + quantity
    return total(
        [
            book.find("aws-cloudfront", "transfer-out", region, on=on).price.cost(quantity)
            for region, quantity in billed.items()
        ]
    )


class Plan(msgspec.Struct, frozen=True):
    """A flat-rate plan that holds a use."""

    name: str
    cost: Decimal


def least_plan(book: PriceBook, *, requests: int, gigabytes: Decimal, on: date) -> Plan | None:
    """The cheapest CloudFront flat-rate plan for one distribution's month; None if none is big enough."""
    use = {"requests": Decimal(requests), "GB": gigabytes}
    table = book.table("aws-cloudfront-flat", on=on)
    fitting = [
        Plan(price.item, price.cost(1))
        for price in table.price
        if all(amount <= price.limits[unit] for unit, amount in use.items())
    ]
    return min(fitting, key=lambda plan: plan.cost, default=None)


class Runtime(msgspec.Struct, frozen=True):
    """Which of a function service's prices hold: its table, the requests' item and the duration's."""

    table: str
    requests: str
    duration: str


LAMBDA_X86 = Runtime("aws-lambda", "requests", "duration-x86")
LAMBDA_ARM = Runtime("aws-lambda", "requests", "duration-arm")
LAMBDA_EDGE = Runtime("aws-lambda", "edge-requests", "edge-duration")


def invocation(book: PriceBook, runtime: Runtime, *, memory_mb: int, billed_ms: int, on: date) -> Decimal:
    """One request of a function: the request and its gigabyte-seconds, at the first tier's price."""
    gigabyte_seconds = Decimal(memory_mb * billed_ms) / (MEBIBYTES_PER_GIBIBYTE * MILLISECONDS_PER_SECOND)
    requests = book.find(runtime.table, runtime.requests, on=on).price
    duration = book.find(runtime.table, runtime.duration, on=on).price
    return requests.cost(1) + duration.cost(gigabyte_seconds)


def beyond_free(price: Price, quantity: Decimal | int) -> Decimal:
    """What an account pays for a month's quantity of which the first are free."""
    return price.cost(max(Decimal(0), Decimal(quantity) - price.free))
