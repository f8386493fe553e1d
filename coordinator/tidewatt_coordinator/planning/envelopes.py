"""Who stands at which point: the least watts at full use whose capacity meets the need. Pure.

Every device has a chain of envelopes, each dearer per request/s gained than the one before it (the lower
convex hull of capacity and watts). All chains are merged into one, and a need is met by its shortest
prefix, or by the prefix before that and one device at a point beside its chain where that is cheaper. The
chain does not depend on the need, so a higher need never gives less capacity (docs/decisions/0028).
"""

from collections.abc import Sequence

import msgspec

from tidewatt_governor.points import usable_rps
from tidewatt_wire.messages import OperatingPoint

#: Gains below this are none, requests/s.
NOTHING = 1e-9


class Envelope(msgspec.Struct, frozen=True):
    """A point a device may be asked to stand at: what it can be relied on for, and what it draws."""

    point: str
    usable_rps: float
    """Within the promise; 0 asleep."""
    idle_watts: float
    joules_per_request: float = 0.0
    wake_s: float = 0.0
    """Seconds from here until it serves again; above 0 only asleep."""

    @property
    def full_watts(self) -> float:
        """Power in watts when all of its usable rate is asked for."""
        return self.idle_watts + self.joules_per_request * self.usable_rps


class Option(msgspec.Struct, frozen=True):
    """An envelope as it is in the coming minute: getting there may cost some of what it can serve."""

    envelope: Envelope
    rps: float
    dread_w: float = 0.0
    """Watts added to what is compared: others are taken before it."""

    @property
    def watts(self) -> float:
        """What is compared: at full use, whatever this minute is like."""
        return self.envelope.full_watts + self.dread_w


class Choosing(msgspec.Struct, frozen=True):
    """A device as the choice sees it: what it may stand at, and where it was asked to stand before."""

    options: tuple[Option, ...]
    at: str
    held_min: float
    """Minutes since that was asked."""


class Step(msgspec.Struct, frozen=True):
    """One device up to its next point."""

    device: int
    to: Option
    slope: float
    gain_rps: float


def envelopes_of(points: Sequence[OperatingPoint], slo_p95_ms: float) -> tuple[Envelope, ...]:
    """The envelopes of a board's points, without those that can't keep the promise at any rate."""
    made = (
        Envelope(one.name, usable_rps(one, slo_p95_ms), one.idle_watts, one.joules_per_request)
        for one in points
    )
    return tuple(one for one in made if one.usable_rps > 0.0)


class Choices:
    """What a fleet of devices (each has at least one option) can be asked for, prepared for any need.

    Of devices that are as good as each other the one that stands there already is taken, then the one
    that hasn't moved for longest, then the first.
    """

    def __init__(self, devices: Sequence[Choosing]) -> None:
        self._devices = devices
        self._base = [base_of(device) for device in devices]
        self._ranks = [_rank(device, index) for index, device in enumerate(devices)]
        self._steps = sorted(
            (step for index, device in enumerate(devices) for step in chain_of(index, device)),
            key=lambda step: (step.slope, *self._ranks[step.device]),
        )

    def meet(self, need_rps: float) -> list[Option]:
        """An option for each device, in their order; all strongest if that is too few."""
        chosen = list(self._base)
        capacity = sum(one.rps for one in chosen)
        for step in self._steps:
            if capacity >= need_rps:
                break
            if capacity + step.gain_rps >= need_rps:
                return self._last(chosen, step, need_rps - capacity)
            chosen[step.device] = step.to
            capacity += step.gain_rps
        return chosen

    def _last(self, chosen: list[Option], step: Step, missing_rps: float) -> list[Option]:
        """`chosen` with the chain's step, or with the one other change of a device that does it for less."""
        dearest = step.to.watts - chosen[step.device].watts
        # The chain's own step is the first of its equals already.
        best: tuple[float, ...] = (dearest, -step.gain_rps, -1.0)
        change = (step.device, step.to)
        for index, (device, here) in enumerate(zip(self._devices, chosen, strict=True)):
            for there in device.options:
                gain, watts = there.rps - here.rps, there.watts - here.watts
                if gain < missing_rps or watts > dearest:
                    continue
                rank = (watts, -gain, float(there.envelope.point != device.at), *self._ranks[index])
                if rank < best:
                    best, change = rank, (index, there)
        chosen[change[0]] = change[1]
        return chosen


def choose(devices: Sequence[Choosing], need_rps: float) -> list[Option]:
    """The choice for one need."""
    return Choices(devices).meet(need_rps)


def base_of(device: Choosing) -> Option:
    """Where a device stands that isn't needed: what draws least; among equals what serves more."""
    return min(device.options, key=lambda one: (one.watts, -one.rps))


def chain_of(index: int, device: Choosing) -> list[Step]:
    """The steps up from the base, each with a higher price per request/s than the one before."""
    here, steps = base_of(device), []
    while more := [one for one in device.options if one.rps > here.rps + NOTHING]:
        start = here
        here = min(more, key=lambda one: (_slope(start, one), -one.rps))
        steps.append(Step(index, here, _slope(start, here), here.rps - start.rps))
    return steps


def _slope(here: Option, there: Option) -> float:
    return (there.watts - here.watts) / (there.rps - here.rps)


def _rank(device: Choosing, index: int) -> tuple[float, float, int]:
    standing = max((one.rps for one in device.options if one.envelope.point == device.at), default=0.0)
    return -standing, -device.held_min, index
