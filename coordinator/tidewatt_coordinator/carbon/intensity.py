"""Grams of CO2 equivalent per kilowatt-hour. Pure.

Two numbers that never meet: the **average** of all plants is what a report states; the **marginal**
of the plants that answer one more kWh is what shifting load changes. One is not an estimate of the
other, so adding them is an error and a gap in one is never filled with the other.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from tidewatt_coordinator.money import FINEST, total
from tidewatt_wire.units import MILLIJOULES_PER_KILOWATT_HOUR

Kind = Literal["average", "marginal"]
HOUR_MS = 3_600_000

#: Exact by definition: a pound is 453.59237 g, so a pound per MWh is a thousandth of that in g per kWh.
GRAMS_PER_KWH_OF_POUND_PER_MWH = Decimal("0.45359237")


class CarbonError(ValueError):
    """Carbon can't be reckoned or asked for; the sentence says why."""


class Intensity(msgspec.Struct, frozen=True, kw_only=True):
    """What a zone's kWh emits from `start_ms` until before `end_ms`."""

    zone: str
    kind: Kind
    start_ms: int
    end_ms: int
    grams_per_kwh: Decimal
    source: str
    estimated: bool = False
    """The source's own word: not yet measured."""


class Factor(msgspec.Struct, frozen=True, kw_only=True):
    """A zone's average over a whole year, for where nothing finer is known."""

    zone: str
    grams_per_kwh: Decimal
    year: int
    source: str


class Emission(msgspec.Struct, frozen=True, kw_only=True):
    """What energy emitted."""

    kind: Kind
    grams: Decimal
    static_mj: int = 0
    """Of the energy: reckoned with a year's average for want of an hour's."""
    unknown_mj: int = 0
    """Of the energy: for which there is no intensity of this kind. It is not in `grams`."""

    def __add__(self, other: "Emission") -> "Emission":
        """Both together; CarbonError if one is average and the other marginal."""
        if self.kind != other.kind:
            raise CarbonError("average and marginal carbon can't be added: they answer different questions")
        return Emission(
            kind=self.kind,
            grams=self.grams + other.grams,
            static_mj=self.static_mj + other.static_mj,
            unknown_mj=self.unknown_mj + other.unknown_mj,
        )


def emitted(
    energy_mj: Mapping[int, int], known: Iterable[Intensity], kind: Kind, factor: Factor | None = None
) -> Emission:
    """What energy by hour (start in ms UTC) emitted, each hour's used evenly.

    Of intensities of the same moment the later one in `known` holds. `factor` stands in for hours
    without one, for the average only: there is no static marginal.
    """
    hours = _by_hour(known, kind)
    parts: list[Decimal] = []
    static_mj = unknown_mj = 0
    for hour_ms, mj in sorted(energy_mj.items()):
        covered_ms, weighted = _mean(hours.get(hour_ms, {}), hour_ms)
        covered_mj = mj * covered_ms // HOUR_MS
        if covered_ms:
            parts.append(weighted / covered_ms * covered_mj)
        if kind == "average" and factor is not None:
            parts.append(factor.grams_per_kwh * (mj - covered_mj))
            static_mj += mj - covered_mj
        else:
            unknown_mj += mj - covered_mj
    grams = (total(parts) / MILLIJOULES_PER_KILOWATT_HOUR).quantize(FINEST)
    return Emission(kind=kind, grams=grams, static_mj=static_mj, unknown_mj=unknown_mj)


def _by_hour(known: Iterable[Intensity], kind: Kind) -> dict[int, dict[int, Intensity]]:
    """The intensities that touch each hour, by their start."""
    hours: dict[int, dict[int, Intensity]] = {}
    for one in known:
        if one.kind != kind:
            continue
        for hour_ms in range(one.start_ms - one.start_ms % HOUR_MS, one.end_ms, HOUR_MS):
            hours.setdefault(hour_ms, {})[one.start_ms] = one
    return hours


def _mean(starts: Mapping[int, Intensity], hour_ms: int) -> tuple[int, Decimal]:
    """Of an hour: the ms that are covered, and the sum of intensity times ms over them."""
    ordered = [starts[start] for start in sorted(starts)]
    covered, weighted, reached = 0, Decimal(0), hour_ms
    for index, one in enumerate(ordered):
        following = ordered[index + 1].start_ms if index + 1 < len(ordered) else one.end_ms
        end = min(one.end_ms, following, hour_ms + HOUR_MS)
        length = max(0, end - max(one.start_ms, reached))
        covered += length
        weighted += one.grams_per_kwh * length
        reached = max(reached, end)
    return covered, weighted
