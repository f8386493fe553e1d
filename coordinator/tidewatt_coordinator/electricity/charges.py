"""The edge's costs as charges by site, device and hour. Pure.

Three numbers in each charge, never one for another:

- `billed`: money that leaves the house for this hour. Buying a device is not an hour's money.
- `effective`: with the device's price spread over its life.
- `marginal`: what one more unit (kWh, hour) would cost. Routing goes by it; fees and write-offs are
  paid with or without one more request, so theirs is zero.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec

from tidewatt_coordinator.costs.charge import Charge, Kind
from tidewatt_coordinator.electricity.accrual import accrued, life_of, monthly, months
from tidewatt_coordinator.electricity.meter import peak, settle
from tidewatt_coordinator.electricity.rates import HOUR_MS, Clockwork
from tidewatt_coordinator.electricity.sites import Hardware, Site
from tidewatt_coordinator.money import FINEST, share
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
    def currency(self) -> str:
        """The tariff's, which the site's fees and hardware are in, too."""
        return self.clockwork.tariff.currency


def electricity(place: Place, rows: Iterable[DeviceHour]) -> Iterator[Charge]:
    """What the site's devices pay for their energy, hour by hour, and what the site sells.

    The site's import is shared out by energy; the shares of an hour add up to its cost exactly.
    """
    hours: dict[int, dict[str, int]] = {hour: {} for hour in place.made_mj}
    for row in rows:
        devices = hours.setdefault(row.hour_ms, {})
        devices[row.device] = devices.get(row.device, 0) + row.energy_mj
    for hour_ms, devices in sorted(hours.items()):
        used = sum(devices.values())
        settled = settle(
            used,
            place.made_mj.get(hour_ms, 0),
            place.clockwork.hour(hour_ms),
            place.clockwork.tariff.export_per_kwh,
        )
        before = 0
        for device, energy_mj in sorted(devices.items()):
            until = before + energy_mj
            paid = NOTHING
            if used:
                paid = share(settled.cost, until, used) - share(settled.cost, before, used)
            before = until
            yield _charge(
                place,
                ELECTRICITY,
                _hour(hour_ms),
                device=device,
                billed=paid,
                effective=paid,
                marginal=settled.marginal_per_kwh,
                quantity=_kwh(energy_mj),
                unit="kWh",
            )
        if settled.export_mj:
            yield _charge(
                place,
                ELECTRICITY,
                _hour(hour_ms),
                kind="Credit",
                what="export",
                billed=-settled.credit,
                effective=-settled.credit,
                marginal=None,
                quantity=_kwh(settled.export_mj),
                unit="kWh",
            )


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


def fixed(place: Place, hour_ms: int) -> Iterator[Charge]:
    """What an hour costs whatever is done in it: the site's fees, and each device's fees and write-off."""
    zone, end_ms = place.clockwork.zone, hour_ms + HOUR_MS
    fees = (
        (ELECTRICITY, "standing", place.clockwork.tariff.per_month),
        (CONNECTIVITY, "", place.site.connectivity_per_month),
        (SUPPORT, "", place.site.support_per_month),
    )
    for service, what, fee in fees:
        yield from _hourly(place, service, hour_ms, monthly(fee, zone, hour_ms, end_ms), what=what)
    parts: dict[str, tuple[Decimal, Decimal, Decimal]] = {}  # once for all devices of one hardware
    for device, hardware in sorted(place.hardware.items()):
        if hardware.name not in parts:
            parts[hardware.name] = _parts(hardware, zone, hour_ms, end_ms)
        connectivity, support, worn = parts[hardware.name]
        yield from _hourly(place, CONNECTIVITY, hour_ms, connectivity, device=device)
        yield from _hourly(place, SUPPORT, hour_ms, support, device=device)
        yield from _hourly(place, HARDWARE, hour_ms, worn, device=device, what=hardware.name)


def _parts(hardware: Hardware, zone: ZoneInfo, from_ms: int, to_ms: int) -> tuple[Decimal, Decimal, Decimal]:
    """What falls into an interval of a device's connectivity, support and write-off; none before it."""
    life = life_of(hardware.bought, hardware.life_months, zone)
    if to_ms <= life[0]:
        return NOTHING, NOTHING, NOTHING
    return (
        monthly(hardware.connectivity_per_month, zone, from_ms, to_ms),
        monthly(hardware.support_per_month, zone, from_ms, to_ms),
        accrued(hardware.price - hardware.residual, life, from_ms, to_ms),
    )


def _hourly(
    place: Place, service: str, hour_ms: int, amount: Decimal, *, what: str = "", device: str = ""
) -> Iterator[Charge]:
    """A charge for an hour, if there is any. Devices were paid when bought: write-offs bill nothing."""
    if amount:
        yield _charge(
            place,
            service,
            _hour(hour_ms),
            what=what,
            device=device,
            billed=NOTHING if service == HARDWARE else amount,
            effective=amount,
            marginal=NOTHING,
            quantity=Decimal(1),
            unit="hour",
        )


def _charge(
    place: Place,
    service: str,
    period: tuple[int, int],
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
        key="/".join((place.site.name, device, service, what, str(period[0]))),
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


def _hour(hour_ms: int) -> tuple[int, int]:
    return hour_ms, hour_ms + HOUR_MS


def _kwh(energy_mj: int) -> Decimal:
    return (Decimal(energy_mj) / MILLIJOULES_PER_KILOWATT_HOUR).quantize(FINEST)
