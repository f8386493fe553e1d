"""What the same requests would have cost under a fixed power mode. Pure.

For every bucket the ledger knows how many requests a device took and how long it lived in
it. A baseline keeps one mode all the time; its energy follows from that mode's operating
point, so it is an estimate from the model, and says so. `modelled_mj` is the same model on
the modes that were really used: its ratio to the measured energy says how far to trust it.

A fixed mode violates the promise in a bucket whose mean rate exceeds what the mode carries
within the latency promise; minute means hide bursts, so the count is a lower bound.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tidewatt_governor.points import find, strongest, usable_rps, watts_at
from tidewatt_wire.messages import OperatingPoint
from tidewatt_wire.sleeping import ASLEEP
from tidewatt_wire.units import MILLIJOULES_PER_JOULE, MILLISECONDS_PER_SECOND

#: Share of the time by which a fixed mode may break the promise more than the strongest
#: would, and still count as keeping it: what the governor itself is held to.
EXCESS_ALLOWED = 0.001


class Stretch(msgspec.Struct, frozen=True):
    """What a device did in one bucket: requests, and milliseconds lived in each mode."""

    requests: int
    mode_ms: dict[str, int]

    @property
    def lived_ms(self) -> int:
        """How long the device was there in this bucket."""
        return sum(self.mode_ms.values())

    @property
    def rps(self) -> float:
        """Mean request rate while it was there."""
        return self.requests * MILLISECONDS_PER_SECOND / self.lived_ms if self.lived_ms else 0.0


class Outcome(msgspec.Struct, frozen=True):
    """Energy in millijoules and time out of the promise in milliseconds."""

    energy_mj: int
    violating_ms: int


class DeviceModel(msgspec.Struct, frozen=True):
    """What a device said of itself at birth, and the promise it is under."""

    points: list[OperatingPoint]
    vendor_default: str
    slo_p95_ms: float


class Baselines(msgspec.Struct, frozen=True):
    """The fixed-mode outcomes of a fleet, and the model's account of what really happened."""

    max_freq: Outcome
    vendor_default: Outcome
    best_fixed: Outcome | None
    """None where the devices share no mode."""
    best_fixed_point: str
    modelled_mj: int


def fixed(stretches: Iterable[Stretch], point: OperatingPoint, slo_p95_ms: float) -> Outcome:
    """The outcome of staying at `point`."""
    energy_j, violating_ms = 0.0, 0
    limit = usable_rps(point, slo_p95_ms)
    for stretch in stretches:
        energy_j += watts_at(point, stretch.rps) * stretch.lived_ms / MILLISECONDS_PER_SECOND
        violating_ms += stretch.lived_ms if stretch.rps > limit else 0
    return Outcome(round(energy_j * MILLIJOULES_PER_JOULE), violating_ms)


def modelled(stretches: Iterable[Stretch], points: Sequence[OperatingPoint]) -> int:
    """The model's energy, in millijoules, of the modes really used."""
    energy_j = 0.0
    for stretch in stretches:
        for mode, ms in stretch.mode_ms.items():
            if point := find(points, mode):
                energy_j += watts_at(point, stretch.rps) * ms / MILLISECONDS_PER_SECOND
    return round(energy_j * MILLIJOULES_PER_JOULE)


class Part(msgspec.Struct, frozen=True):
    """A sum over lives: energy, time out of the promise, time lived, and how many lives it is of."""

    energy_mj: int
    violating_ms: int = 0
    lived_ms: int = 0
    lives: int = 1

    def plus(self, other: "Part", sign: int = 1) -> "Part":
        """Both together; with a sign of -1 what is left without the other."""
        return Part(
            self.energy_mj + sign * other.energy_mj,
            self.violating_ms + sign * other.violating_ms,
            self.lived_ms + sign * other.lived_ms,
            self.lives + sign * other.lives,
        )


#: Names of parts: what was measured, the model of the same, two baselines; and AT + a mode's name.
MEASURED, MODELLED, MAX_FREQ, VENDOR_DEFAULT, AT = "measured", "modelled", "max_freq", "vendor_default", "at "


#: Asleep, by the measured sleep watts, and what the same time awake would have drawn in the leanest mode,
#: without a request; where there was any sleep.
SLEPT, AWAKE = "asleep", "awake instead"
#: The part of the former that nobody has measured, taken to draw so much: assumed, and shown so.
ASSUMED, ASSUMED_WATTS = "asleep, assumed", 0.5


def parts(
    stretches: Sequence[Stretch], model: DeviceModel, measured_mj: int, asleep_mj: int = 0
) -> dict[str, Part]:
    """One device's stretches, as measured and as each baseline would have had them."""
    lived_ms = sum(one.lived_ms for one in stretches)
    found = {
        MEASURED: Part(measured_mj, 0, lived_ms),
        MODELLED: Part(modelled(stretches, model.points), 0, lived_ms),
    }
    for point in model.points:
        outcome = fixed(stretches, point, model.slo_p95_ms)
        found[AT + point.name] = Part(outcome.energy_mj, outcome.violating_ms, lived_ms)
    nothing = Part(0)  # a default that is none of its modes
    found[MAX_FREQ] = found[AT + strongest(model.points, model.slo_p95_ms).name]
    found[VENDOR_DEFAULT] = found.get(AT + model.vendor_default, nothing)
    if asleep_ms := sum(one.mode_ms.get(ASLEEP, 0) for one in stretches):
        idle_watts = min(point.idle_watts for point in model.points)
        awake_mj = round(idle_watts * asleep_ms / MILLISECONDS_PER_SECOND * MILLIJOULES_PER_JOULE)
        if asleep_mj == 0:  # no board draws nothing: its sleep watts were never measured
            asleep_mj = round(ASSUMED_WATTS * asleep_ms / MILLISECONDS_PER_SECOND * MILLIJOULES_PER_JOULE)
            found[ASSUMED] = Part(asleep_mj, 0, asleep_ms)
        found[SLEPT] = Part(asleep_mj, 0, asleep_ms)
        found[AWAKE] = Part(awake_mj, 0, asleep_ms)
    return found


def baselines_of(sums: Mapping[str, Part]) -> Baselines:
    """The baselines of a fleet from its devices' parts, summed by name. ValueError if there are none.

    The best fixed mode is chosen with hindsight, one for the whole fleet, among the modes
    that every device has: the least energy of those that keep the promise about as well as
    any of them can (within EXCESS_ALLOWED of the time lived).
    """
    whole = sums.get(MEASURED)
    if whole is None or not whole.lives:
        raise ValueError("no device has a model yet")
    by_point = {
        name[len(AT) :]: _outcome(one)
        for name, one in sorted(sums.items())
        if name.startswith(AT) and one.lives == whole.lives
    }
    best = _best(by_point, whole.lived_ms)
    return Baselines(
        max_freq=_outcome(sums[MAX_FREQ]),
        vendor_default=_outcome(sums[VENDOR_DEFAULT]),
        best_fixed=by_point.get(best),
        best_fixed_point=best,
        modelled_mj=sums[MODELLED].energy_mj,
    )


def compare(fleet: Mapping[str, tuple[DeviceModel, Sequence[Stretch]]]) -> Baselines:
    """The baselines of a fleet, by device. Raises ValueError if it is empty."""
    sums: dict[str, Part] = {}
    for model, stretches in fleet.values():
        for name, one in parts(stretches, model, 0).items():
            sums[name] = sums[name].plus(one) if name in sums else one
    return baselines_of(sums)


def _outcome(one: Part) -> Outcome:
    return Outcome(one.energy_mj, one.violating_ms)


def _best(by_point: Mapping[str, Outcome], lived_ms: int) -> str:
    if not by_point:
        return ""
    fewest_ms = min(outcome.violating_ms for outcome in by_point.values())
    limit_ms = fewest_ms + EXCESS_ALLOWED * lived_ms
    keeping = [name for name, outcome in by_point.items() if outcome.violating_ms <= limit_ms]
    return min(keeping, key=lambda name: by_point[name].energy_mj)
