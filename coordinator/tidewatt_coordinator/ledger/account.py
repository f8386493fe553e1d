"""One account of the fleet: measured totals, their cost, and what the baselines would have cost."""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from tidewatt_coordinator.ledger.arithmetic import COUNTERS, Span, bucket_of, slices
from tidewatt_coordinator.ledger.baselines import Baselines, DeviceModel, Stretch, compare
from tidewatt_coordinator.ledger.store import Ledger, Life
from tidewatt_coordinator.ledger.tariff import Tariff

REQUESTS = COUNTERS.index("requests")
UNMEASURED = COUNTERS.index("unmeasured_ms")


class DeviceAccount(msgspec.Struct, frozen=True, kw_only=True):
    """What one device has used so far, exactly as counted."""

    device: str
    energy_mj: int
    requests: int
    violating_ms: int
    unmeasured_ms: int
    switches: int
    unjudged_ms: int
    cost: Decimal


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet's account. `baselines` is None until a device with a model has reported."""

    devices: list[DeviceAccount]
    currency: str
    price_per_kwh: Decimal
    baselines: Baselines | None
    compared_mj: int = 0
    """The measured energy of the devices that the baselines stand for."""

    def total(self, counter: str) -> int:
        """The fleet's sum of one counter."""
        return sum(getattr(device, counter) for device in self.devices)

    @property
    def cost(self) -> Decimal:
        """The fleet's cost: the sum of its devices' costs."""
        return sum((device.cost for device in self.devices), Decimal(0))


def account(ledger: Ledger, tariff: Tariff, models: Mapping[str, DeviceModel]) -> Account:
    """Read the ledger and draw up the account."""
    devices = [
        DeviceAccount(
            device=total.device,
            cost=tariff.cost(total.values[0]),
            **dict(zip(COUNTERS, total.values, strict=True)),
        )
        for total in ledger.totals()
    ]
    fleet: dict[str, tuple[DeviceModel, list[Stretch]]] = {}
    if models:
        for life in ledger.lives():
            if model := models.get(life.device):
                fleet.setdefault(life.device, (model, []))[1].extend(stretches(life, ledger.bucket_ms))
    return Account(
        devices=devices,
        currency=tariff.currency,
        price_per_kwh=tariff.price_per_kwh,
        baselines=compare(fleet) if fleet else None,
        compared_mj=sum(device.energy_mj for device in devices if device.device in fleet),
    )


def stretches(life: Life, bucket_ms: int) -> Iterator[Stretch]:
    """A device's buckets as requests and time per mode, as far as its power was measured.

    Time without a power reading, and the requests in it, are left out: on the other side of
    every comparison they are missing too.
    """
    modes: dict[int, dict[str, int]] = {}
    for mode in life.modes:
        for piece in slices(_mode_spans(life, mode, bucket_ms), bucket_ms):
            if piece.values[0]:
                modes.setdefault(piece.start_ms, {})[mode] = piece.values[0]
    for piece in slices(life.spans, bucket_ms):
        mode_ms = modes.get(piece.start_ms, {})
        requests, unmeasured_ms = piece.values[REQUESTS], piece.values[UNMEASURED]
        if unmeasured_ms:
            share = max(0.0, 1.0 - unmeasured_ms / max(1, sum(mode_ms.values())))
            mode_ms = {mode: round(ms * share) for mode, ms in mode_ms.items()}
            requests = round(requests * share)
        yield Stretch(requests, mode_ms)


def _mode_spans(life: Life, mode: str, bucket_ms: int) -> Iterator[Span]:
    """The spans of one mode's time, with the zeros that reports leave out until a mode is first used."""
    known = {bucket_of(span.first_ms, bucket_ms): span for span in life.modes[mode]}
    before: tuple[int, ...] = (0,)
    for whole in life.spans:
        span = known.get(bucket_of(whole.first_ms, bucket_ms))
        if span is None:
            yield Span(whole.first_ms, whole.last_ms, before, before)
            continue
        if span.first_ms > whole.first_ms:  # the mode was first used inside this bucket
            span = Span(whole.first_ms, span.last_ms, before, span.greatest)
        yield span
        before = span.greatest
