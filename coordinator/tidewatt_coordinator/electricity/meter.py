"""What only the whole site's meter sees: its own plant, what it sells, and its greatest demand. Pure."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from tidewatt_coordinator.electricity.dayahead import midnight_ms
from tidewatt_coordinator.electricity.rates import Clockwork, Rate, cost, mean_price
from tidewatt_coordinator.electricity.tariff import Demand
from tidewatt_coordinator.money import EXACT, FINEST
from tidewatt_wire.units import MILLIJOULES_PER_KILOWATT_HOUR, MILLISECONDS_PER_MINUTE


class Settled(msgspec.Struct, frozen=True):
    """An hour of a site: what it drew from the grid and gave to it, in mJ and money."""

    import_mj: int
    export_mj: int
    cost: Decimal
    """Of the import; never negative at a price above zero."""
    credit: Decimal
    """For the export."""
    marginal_per_kwh: Decimal
    """What one more kWh costs: the grid's price, or what the plant's kWh would have been sold for."""


def settle(used_mj: int, made_mj: int, rates: tuple[Rate, ...], export_per_kwh: Decimal) -> Settled:
    """One hour's account: the site's plant serves the site first, the rest is sold."""
    import_mj, export_mj = max(0, used_mj - made_mj), max(0, made_mj - used_mj)
    credit = EXACT.multiply(Decimal(export_mj), export_per_kwh) / MILLIJOULES_PER_KILOWATT_HOUR
    return Settled(
        import_mj=import_mj,
        export_mj=export_mj,
        cost=cost(import_mj, rates),
        credit=credit.quantize(FINEST),
        marginal_per_kwh=export_per_kwh if export_mj else mean_price(rates),
    )


class Peak(msgspec.Struct, frozen=True):
    """A month's greatest mean power, and what it costs."""

    start_ms: int
    end_ms: int
    kilowatts: Decimal
    cost: Decimal


def peak(
    clockwork: Clockwork, demand: Demand, energy_mj: Mapping[int, int], step_ms: int, month: tuple[int, int]
) -> Peak | None:
    """The demand charge of a local month (start and end in ms UTC), from a site's energy by `step_ms`.

    Means over the tariff's own length are made of shorter steps; of longer ones the mean over the step
    stands in, which is less than the true peak or equal. None if there is no energy in the hours meant.
    """
    length_ms = max(step_ms, demand.minutes * MILLISECONDS_PER_MINUTE)
    sums: dict[int, int] = {}
    for start, mj in energy_mj.items():
        if month[0] <= start < month[1] and clockwork.holds(demand, start):
            window = start - start % length_ms
            sums[window] = sums.get(window, 0) + mj
    if not sums:
        return None
    start, most = max(sums.items(), key=lambda found: (found[1], -found[0]))
    kilowatts = (Decimal(most) / (length_ms * 1000)).quantize(FINEST)
    return Peak(start, start + length_ms, kilowatts, EXACT.multiply(kilowatts, demand.price_per_kw))


def month_of(clockwork: Clockwork, day: date) -> tuple[int, int]:
    """The calendar month of a day by the tariff's clock: its start and end in ms UTC."""
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return midnight_ms(first, clockwork.zone), midnight_ms(following, clockwork.zone)
