"""Pools as the optimiser takes them: priced by the book, with what was read of them last. Pure."""

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

import msgspec

from tidewatt_coordinator.dispatch.backends import Backend, Histogram
from tidewatt_coordinator.money import EXACT
from tidewatt_coordinator.prices.book import PriceBook, PriceError
from tidewatt_coordinator.prices.worked import LAMBDA_ARM, LAMBDA_X86, invocation
from tidewatt_coordinator.steering.settings import Latency, Pool

MILLION, GIGABYTE, HOUR_S = 1_000_000, 1_000_000_000, 3600
#: A capacity of the configuration is as old as a query's answer that was never had: not at all.
Fetched = tuple[float, float] | None
"""A number and its age in seconds."""


class PoolPrice(msgspec.Struct, frozen=True):
    """What a pool costs in one currency."""

    request: float
    byte: float
    currency: str
    """Empty: the tariff's own, since the configuration says the price."""


def priced(pool: Pool, book: PriceBook, on: date) -> PoolPrice:
    """A request and a byte of the pool. PriceError for what the book doesn't know."""
    currency = ""
    if pool.cost_per_million is not None:
        request = float(pool.cost_per_million) / MILLION
    else:
        request, currency = float(_request(pool, book, on)), _currency(pool, book, on)
    if pool.egress_per_gb is not None:
        return PoolPrice(request, float(pool.egress_per_gb) / GIGABYTE, currency)
    if pool.kind == "http":
        return PoolPrice(request, 0.0, currency)
    table, item, region = (
        ("aws-cloudfront", "transfer-out", pool.transfer_region)
        if pool.kind == "cloudfront"
        else ("aws-other", "transfer-to-internet", pool.aws_region)
    )
    found = book.find(table, item, region, on=on)
    return PoolPrice(request, float(found.price.marginal(found.price.free)) / GIGABYTE, found.table.currency)


def _request(pool: Pool, book: PriceBook, on: date) -> Decimal:
    if pool.kind == "lambda":
        runtime = LAMBDA_ARM if pool.arm else LAMBDA_X86
        return invocation(book, runtime, memory_mb=pool.memory_mb, billed_ms=pool.billed_ms or 0, on=on)
    hourly = book.find("aws-ec2", pool.instance, pool.aws_region, on=on).price.marginal()
    if pool.kind == "spot":
        share = book.find("aws-ec2-spot", "share-of-on-demand", on=on).price.marginal()
        hourly = EXACT.multiply(hourly, share)
    if not pool.node_rps:
        raise PriceError(f"pool {pool.name}: what a node serves is not said")
    return hourly / (HOUR_S * Decimal(pool.node_rps))


def _currency(pool: Pool, book: PriceBook, on: date) -> str:
    return book.table("aws-lambda" if pool.kind == "lambda" else "aws-ec2", on=on).currency


def backends_of(
    pools: list[Pool],
    prices: Mapping[str, PoolPrice],
    number: Callable[[str], Fetched],
    histogram: Callable[[str], Histogram | None],
) -> list[Backend]:
    """Those of which the capacity is known. `number` and `histogram` give a query's last answer."""
    found = []
    for pool in pools:
        capacity = (pool.capacity_rps or 0.0, 0.0) if not pool.capacity_query else number(pool.capacity_query)
        if capacity is None:
            continue
        price = prices[pool.name]
        amortised = pool.amortised_per_million
        found.append(
            Backend(
                name=pool.name,
                usable_rps=capacity[0],
                marginal_cost=price.request,
                amortised_cost=None if amortised is None else float(amortised) / MILLION,
                kind=pool.kind,
                age_s=capacity[1],
                latency=histogram(pool.latency_query) if pool.latency_query else _measured(pool.latency),
                egress_cost=price.byte,
                regions=frozenset(pool.regions),
                domain=pool.domain,
            )
        )
    return found


def _measured(latency: Latency | None) -> Histogram | None:
    if latency is None:
        return None
    return Histogram(tuple(bound / 1000.0 for bound in latency.bounds_ms), tuple(latency.counts))
