"""The edge's costs as charges by site, device and day of UTC, each the sum of its hours. Pure.

Three numbers in each charge, never one for another:

- `billed`: money that leaves the house for this time. Buying a device is not a day's money.
- `effective`: with the device's price spread over its life.
- `marginal`: what one more unit (kWh, hour) would cost. Routing goes by it; fees and write-offs are
  paid with or without one more request, so theirs is zero. Of a day it is the mean over what was used.

Hour by hour of 10,000 devices would be a million charges a day; whoever asks of hours asks the sums by
site (`Account`). A day on which a site's tariff changes has a charge of each tariff.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from tidewatt_coordinator.costs.charge import Charge, Kind
from tidewatt_coordinator.costs.days import DAY_MS
from tidewatt_coordinator.electricity.accrual import accrued, life_of, monthly, months
from tidewatt_coordinator.electricity.meter import Settled, peak, settle
from tidewatt_coordinator.electricity.rates import HOUR_MS, Clockwork
from tidewatt_coordinator.electricity.sites import Hardware, Site
from tidewatt_coordinator.money import EXACT, FINEST
from tidewatt_wire.units import MILLIJOULES_PER_KILOWATT_HOUR

SOURCE = "edge"
#: Names of the edge's services: on the bill they stand beside the cloud's.
ELECTRICITY, HARDWARE = "Edge Electricity", "Edge Hardware"
CONNECTIVITY, SUPPORT = "Edge Connectivity", "Edge Support"
CATEGORY = {
    ELECTRICITY: "Compute",
    HARDWARE: "Compute",
    CONNECTIVITY: "Networking",
    SUPPORT: "Management and Governance",
}
NOTHING = Decimal(0)
FOR_EVER_MS = 2**62
#: Digits after the point.
PLACES = -int(FINEST.adjusted())
#: From, included, to, excluded, in ms UTC: whole hours.
Period = tuple[int, int]


class DeviceHour(msgspec.Struct, frozen=True):
    """What a device used in the hour from `hour_ms`."""

    device: str
    hour_ms: int
    energy_mj: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A site under one tariff with what its file names, ready to reckon with."""

    site: Site
    clockwork: Clockwork
    made_mj: Mapping[int, int] = {}
    """What its own plant made, by hour."""
    from_ms: int = 0
    """The tariff holds from this moment on."""
    to_ms: int = FOR_EVER_MS
    """And until before this one."""
    hardware: Mapping[str, Hardware] = {}
    """By device: every device of the site that has any."""

    @property
    def first_ms(self) -> int:
        """The first whole hour under the tariff; one in which it changes belongs to the earlier."""
        return self.from_ms + -self.from_ms % HOUR_MS

    @property
    def end_ms(self) -> int:
        """The end of the last hour under it."""
        return self.to_ms + -self.to_ms % HOUR_MS

    @property
    def currency(self) -> str:
        """The tariff's, which the site's fees and hardware are in, too."""
        return self.clockwork.tariff.currency


class Account(msgspec.Struct, frozen=True):
    """An hour of a site: what each device used, in mJ, and what that came to."""

    hour_ms: int
    devices: Mapping[str, int]
    settled: Settled


def accounts(place: Place, rows: Iterable[DeviceHour], period: Period) -> list[Account]:
    """The hours of a period in which the site used or made anything, from `rows` of that period."""
    hours: dict[int, dict[str, int]] = {hour: {} for hour in place.made_mj if period[0] <= hour < period[1]}
    for row in rows:
        devices = hours.setdefault(row.hour_ms, {})
        devices[row.device] = devices.get(row.device, 0) + row.energy_mj
    export = place.clockwork.tariff.export_per_kwh
    return [
        Account(hour_ms, devices, settle(sum(devices.values()), made, place.clockwork.hour(hour_ms), export))
        for hour_ms, devices in sorted(hours.items())
        for made in [place.made_mj.get(hour_ms, 0)]
    ]


def electricity(place: Place, hours: Iterable[Account], period: Period) -> Iterator[Charge]:
    """What the site's devices pay for the energy of a period within a day, and what the site sells.

    The site's import is shared out by energy, hour by hour; the shares of an hour add up to its cost
    exactly, and a device's charge is exactly the sum of its shares.
    """
    sold_mj, credit = 0, NOTHING
    parts: dict[str, _Paid] = {}
    for hour in hours:
        sold_mj += hour.settled.export_mj
        credit = EXACT.add(credit, hour.settled.credit)
        _share_out(hour, parts)
    for device, mine in sorted(parts.items()):
        paid = _money(mine.units)
        yield _charge(
            place,
            ELECTRICITY,
            period,
            device=device,
            billed=paid,
            effective=paid,
            marginal=_money(mine.weighed // mine.energy_mj if mine.energy_mj else mine.price),
            quantity=_kwh(mine.energy_mj),
            unit="kWh",
        )
    if sold_mj:
        yield _charge(
            place,
            ELECTRICITY,
            period,
            kind="Credit",
            what="export",
            billed=-credit,
            effective=-credit,
            marginal=None,
            quantity=_kwh(sold_mj),
            unit="kWh",
        )


def asleep(
    place: Place, hours: Iterable[Account], asleep_mj: Mapping[str, int], period: Period
) -> Iterator[Charge]:
    """What devices used asleep in a period within a day: an estimate, beside what was measured.

    No board tells in which hours, so it is priced as one more kWh on the mean over the period.
    """
    known = {hour.hour_ms: hour.settled for hour in hours}
    export = place.clockwork.tariff.export_per_kwh
    prices = [
        known[hour].marginal_per_kwh
        if hour in known
        else settle(0, place.made_mj.get(hour, 0), place.clockwork.hour(hour), export).marginal_per_kwh
        for hour in range(*period, HOUR_MS)
    ]
    for device, mj in sorted(asleep_mj.items()):
        if mj and prices:
            price = (sum(prices, NOTHING) / len(prices)).quantize(FINEST)
            paid = (_kwh(mj) * price).quantize(FINEST)
            yield _charge(
                place,
                ELECTRICITY,
                period,
                device=device,
                what="asleep",
                description="asleep, estimated by its measured sleep watts",
                billed=paid,
                effective=paid,
                marginal=price,
                quantity=_kwh(mj),
                unit="kWh",
            )


class _Paid(msgspec.Struct):
    """A device's part of some hours, in whole units of FINEST: integers are exact, and ten times as fast."""

    units: int = 0
    energy_mj: int = 0
    price: int = 0
    """Of one more kWh in the last hour."""
    weighed: int = 0
    """Each hour's such price times its energy."""


def _share_out(hour: Account, parts: dict[str, _Paid]) -> None:
    used = sum(hour.devices.values())
    cost, price = _units(hour.settled.cost), _units(hour.settled.marginal_per_kwh)
    until = given = 0
    for device, energy_mj in sorted(hour.devices.items()):
        mine = parts.get(device)
        if mine is None:
            mine = parts[device] = _Paid()
        until += energy_mj
        before, given = given, (2 * cost * until + used) // (2 * used) if used else 0
        mine.units += given - before
        mine.energy_mj += energy_mj
        mine.price = price
        mine.weighed += price * energy_mj


def demand(
    place: Place, energy_mj: Mapping[int, int], step_ms: int, from_ms: int, to_ms: int
) -> Iterator[Charge]:
    """The demand charges of the months that an interval touches, one a month and price.

    A month that is not over has the peak of what was given; the same key later replaces it. A month
    belongs to the tariff that it began with.
    """
    for month in months(place.clockwork.zone, from_ms, to_ms):
        if not place.from_ms <= month[0] < place.to_ms:
            continue
        for number, terms in enumerate(place.clockwork.tariff.demand, 1):
            found = peak(place.clockwork, terms, energy_mj, step_ms, month)
            if found is None:
                continue
            at = datetime.fromtimestamp(found.start_ms / 1000, timezone.utc).isoformat(timespec="minutes")
            yield _charge(
                place,
                ELECTRICITY,
                month,
                what=f"demand {terms.name or number}",
                description=f"greatest mean power, from {at} on",
                billed=found.cost,
                effective=found.cost,
                marginal=None,
                quantity=found.kilowatts,
                unit="kW",
            )


def fixed(place: Place, period: Period) -> Iterator[Charge]:
    """What a period costs whatever is done in it: the site's fees, and each device's fees and write-off."""
    zone = place.clockwork.zone
    fees = (
        (ELECTRICITY, "standing", place.clockwork.tariff.per_month),
        (CONNECTIVITY, "", place.site.connectivity_per_month),
        (SUPPORT, "", place.site.support_per_month),
    )
    for service, what, fee in fees:
        yield from _spread(place, service, period, monthly(fee, zone, *period), what=what)
    known: dict[str, _Worn] = {}  # once for all devices of one hardware
    for device, hardware in sorted(place.hardware.items()):
        if hardware.name not in known:
            known[hardware.name] = _worn(hardware, zone, period)
        worn = known[hardware.name]
        yield from _spread(place, CONNECTIVITY, worn.had, worn.connectivity, device=device)
        yield from _spread(place, SUPPORT, worn.had, worn.support, device=device)
        yield from _spread(place, HARDWARE, worn.wearing, worn.off, device=device, what=hardware.name)


class _Worn(msgspec.Struct, frozen=True):
    """What falls into a period of a device's fees and write-off, and when: nothing before it was bought."""

    had: Period
    wearing: Period
    connectivity: Decimal = NOTHING
    support: Decimal = NOTHING
    off: Decimal = NOTHING


def _worn(hardware: Hardware, zone: ZoneInfo, period: Period) -> _Worn:
    life = life_of(hardware.bought, hardware.life_months, zone)
    had = max(period[0], life[0] - life[0] % HOUR_MS), period[1]
    wearing = had[0], min(had[1], life[1] + -life[1] % HOUR_MS)
    if had[0] >= had[1]:
        return _Worn(had, wearing)
    return _Worn(
        had,
        wearing,
        monthly(hardware.connectivity_per_month, zone, *had),
        monthly(hardware.support_per_month, zone, *had),
        accrued(hardware.price - hardware.residual, life, *had),
    )


def _spread(
    place: Place, service: str, period: Period, amount: Decimal, *, what: str = "", device: str = ""
) -> Iterator[Charge]:
    """A charge for a time, if there is any. Devices were paid when bought: write-offs bill nothing."""
    if amount:
        yield _charge(
            place,
            service,
            period,
            what=what,
            device=device,
            billed=NOTHING if service == HARDWARE else amount,
            effective=amount,
            marginal=NOTHING,
            quantity=Decimal((period[1] - period[0]) // HOUR_MS),
            unit="hour",
        )


def _charge(
    place: Place,
    service: str,
    period: Period,
    *,
    billed: Decimal,
    effective: Decimal,
    marginal: Decimal | None,
    quantity: Decimal,
    unit: str,
    what: str = "",
    device: str = "",
    description: str = "",
    kind: Kind = "Usage",
) -> Charge:
    return Charge(
        source=SOURCE,
        key="/".join((place.site.name, device, service, what, str(_begin(place, period)))),
        start_ms=period[0],
        end_ms=period[1],
        provider="Tidewatt",
        service=service,
        category=CATEGORY[service],
        region=place.site.name,
        resource=device,
        description=description or what,
        tags={"site": place.site.name} | ({"device": device} if device else {}),
        quantity=quantity,
        unit=unit,
        billed=billed,
        effective=effective,
        marginal=marginal,
        list_cost=billed if kind == "Usage" else NOTHING,
        currency=place.currency,
        kind=kind,
    )


def _begin(place: Place, period: Period) -> int:
    """What stays as a day's hours close and late ones come: the day, or the tariff's start in it."""
    if period[1] - period[0] > DAY_MS:
        return period[0]  # a month
    return max(period[0] - period[0] % DAY_MS, place.first_ms)


def _units(amount: Decimal) -> int:
    return int(amount.scaleb(PLACES, EXACT))


def _money(units: int) -> Decimal:
    return Decimal(units).scaleb(-PLACES, EXACT)


def _kwh(energy_mj: int) -> Decimal:
    return (Decimal(energy_mj) / MILLIJOULES_PER_KILOWATT_HOUR).quantize(FINEST)
