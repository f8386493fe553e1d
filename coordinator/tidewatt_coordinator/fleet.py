"""The fleet as it stands: births, last reports, wills and acks, by device. A view, not a truth:
money and energy are the ledger's.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Literal

import msgspec

from tidewatt_coordinator.dispatch import Backend
from tidewatt_coordinator.ledger.baselines import DeviceModel
from tidewatt_governor.points import strongest, usable_rps
from tidewatt_governor.policy import allowed, resolve
from tidewatt_wire.messages import Ack, Birth, Policy, PolicySet, Report, Will

Status = Literal["online", "silent", "stopped", "lost"]


class Device(msgspec.Struct, kw_only=True):
    """What is known of one device; each message replaces the one of its kind."""

    birth: Birth | None = None
    report: Report | None = None
    will: Will | None = None
    ack: Ack | None = None
    heard_ms: int = 0
    """When it was last heard, by the coordinator's clock: devices' clocks may be far off."""

    def status(self, now_ms: int, stale_after_ms: int) -> Status:
        """Online, silent (no report for too long), stopped (its own word) or lost (the broker's)."""
        if self.will and (self.birth is None or self.will.session == self.birth.session):
            return _ended(self.will)
        return "online" if now_ms - self.heard_ms <= stale_after_ms else "silent"


def _ended(will: Will) -> Status:
    return "stopped" if will.cause == "stopped" else "lost"


class Fleet:
    """All devices. Messages may come in any order; the newest of a session wins."""

    def __init__(self, stale_after_ms: int) -> None:
        self.devices: dict[str, Device] = {}
        self.stale_after_ms = stale_after_ms

    def born(self, birth: Birth, now_ms: int) -> None:
        """A device's session began."""
        device = self._device(birth.device)
        device.heard_ms = max(device.heard_ms, now_ms)
        if device.birth is None or birth.at_ms >= device.birth.at_ms:
            device.birth = birth

    def reported(self, report: Report, now_ms: int) -> None:
        """A device reported."""
        device = self._device(report.device)
        device.heard_ms = max(device.heard_ms, now_ms)
        if device.report is None or report.at_ms >= device.report.at_ms:
            device.report = report

    def ended(self, will: Will) -> None:
        """A device's session ended."""
        self._device(will.device).will = will

    def acknowledged(self, ack: Ack) -> None:
        """A device answered a policy set."""
        self._device(ack.device).ack = ack

    def known(self) -> list[tuple[str, Device]]:
        """All devices by name; a copy, because the API reads from other threads."""
        return sorted(self.devices.items(), key=itemgetter(0))

    def status(self, name: str, now_ms: int) -> Status:
        """A device's status; KeyError if it is unknown."""
        return self.devices[name].status(now_ms, self.stale_after_ms)

    def models(self, policies: PolicySet) -> dict[str, DeviceModel]:
        """What each device said it can do, with the promise it is under."""
        return {
            name: DeviceModel(
                birth.points,
                birth.vendor_default or birth.points[0].name,
                resolve(policies, name, birth.labels).slo_p95_ms,
            )
            for name, birth in self._births().items()
            if birth.points
        }

    def backends(self, policies: PolicySet, price_per_kwh: float, now_ms: int) -> list[Backend]:
        """The devices that can be sent traffic now."""
        return [
            _backend(name, birth, resolve(policies, name, birth.labels), price_per_kwh)
            for name, birth in self._births().items()
            if birth.points and self.status(name, now_ms) == "online"
        ]

    def demand_rps(self, now_ms: int) -> float:
        """The requests/s that online devices last reported, summed."""
        return sum(
            device.report.gauges.requests_rps or 0.0
            for name, device in self.known()
            if device.report and self.status(name, now_ms) == "online"
        )

    def _births(self) -> Mapping[str, Birth]:
        return {name: device.birth for name, device in self.known() if device.birth}

    def _device(self, name: str) -> Device:
        return self.devices.setdefault(name, Device())


def _backend(name: str, birth: Birth, policy: Policy, price_per_kwh: float) -> Backend:
    point = strongest(allowed(birth.points, policy), policy.slo_p95_ms)
    return Backend(
        name,
        usable_rps(point, policy.slo_p95_ms),
        point.joules_per_request * price_per_kwh / 3_600_000.0,
    )
