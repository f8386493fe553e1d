"""Which rails make up the board's power: the per-board rule, and its calibration to a wall meter.

Rails overlap (VDD_IN contains VDD_CPU_GPU_CV and VDD_SOC), so they are never simply summed
where the board measures its input.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from tidewatt_governor.sample import Rail

#: Rails that measure the board's input: Nano; TX1, TX2, Xavier NX, Orin NX, Orin Nano; Thor.
INPUT_RAILS = ("POM_5V_IN", "VDD_IN", "VIN")
LEAST_WATTS, MOST_WATTS = -0.5, 1000.0
#: Readings without a rail after which it is taken for gone: a minute at 1 Hz.
PATIENCE = 60
#: A channel that is wired to nothing.
UNCONNECTED = "NC"

log = logging.getLogger(__name__)

Provenance = Literal["measured", "sum", "none"]


def plausible(watts: float) -> bool:
    """Whether a board could draw that: sensors are off by some milliwatts, and no Jetson takes a kilowatt."""
    return LEAST_WATTS <= watts <= MOST_WATTS


class TotalPower(msgspec.Struct, frozen=True):
    """Board power in watts and where it comes from; None and `none` where nothing tells."""

    watts: float | None
    provenance: Provenance


def total_watts(rails: Sequence[Rail]) -> TotalPower:
    """The board's power: its input rail, else the sum of its rails.

    The sum stands for AGX Xavier and AGX Orin, which have no input rail (VIN_SYS_5V0 is a
    rail like the others), and for Thor captures without VIN. On AGX Orin under JetPack 5
    whether VDDQ_VDD2_1V8AO is fed from VIN_SYS_5V0 is not established, so that sum may be
    too high by it (0.3 W in the capture at hand).
    """
    for name in INPUT_RAILS:
        for rail in rails:
            if rail.name == name:
                return TotalPower(rail.now, "measured")
    connected = [rail.now for rail in rails if rail.name != UNCONNECTED]
    return TotalPower(sum(connected), "sum") if connected else TotalPower(None, "none")


class Calibration(msgspec.Struct, frozen=True):
    """From the board's own sensor to a wall meter: watts = gain x read + offset_w."""

    gain: float = 1.0
    offset_w: float = 0.0


class PowerRule:
    """The board's power from one reading after another, calibrated.

    A reading that lacks a rail which the same reader gave before tells nothing: without VDD_IN
    what is left would pass for a sum, and a sum without one of its parts is too small. A rail
    counts from its second reading in a row on, so that one garbled line leaves no trace; one that
    stays away is forgotten, unless it is the board's input.
    """

    def __init__(self, calibration: Calibration = Calibration()) -> None:  # noqa: B008 - frozen
        self._calibration = calibration
        self._known: dict[str, Counter[str]] = {}
        self._last: dict[str, Counter[str]] = {}
        self._lacking: Counter[str] = Counter()

    def __call__(self, reader: str, rails: Sequence[Rail]) -> TotalPower:
        """The board's power by `rails` of `reader`, in watts at the wall meter's place; never below 0."""
        total = total_watts(rails)
        lacks = self._lacks(reader, Counter(rail.name for rail in rails))
        if total.watts is None or not plausible(total.watts) or (lacks and total.provenance == "sum"):
            return TotalPower(None, "none")
        calibrated = self._calibration.gain * total.watts + self._calibration.offset_w
        return TotalPower(max(0.0, calibrated), total.provenance)

    def _lacks(self, reader: str, names: "Counter[str]") -> bool:
        known = self._known.setdefault(reader, Counter())
        known |= names & self._last.get(reader, Counter())
        self._last[reader] = names
        lacking = known - names
        if not lacking:
            self._lacking[reader] = 0
            return False
        self._lacking[reader] += 1
        if self._lacking[reader] == 1:
            missing = ", ".join(sorted(lacking))
            log.warning("%s: no reading of %s; without it a sum would be too small", reader, missing)
        if self._lacking[reader] > PATIENCE and not any(name in INPUT_RAILS for name in lacking):
            log.warning("%s: doing without %s", reader, ", ".join(sorted(lacking)))
            known -= lacking
            return bool(known - names)
        return True
