"""What was saved against the vendor's default mode, by modes and by sleep: two parts of one whole. Pure.

Awake instead of asleep a board would have drawn at least its leanest mode's idle watts; down to those is the
modes' doing, from there to what it draws asleep is sleep's. Both parts add up to what was saved.
"""

from collections.abc import Mapping

import msgspec

from tidewatt_coordinator.ledger.baselines import ASSUMED, AWAKE, MEASURED, SLEPT, VENDOR_DEFAULT, Part

_NONE = Part(0, lives=0)


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Energy in mJ, estimated from the operating points and the measured sleep watts; negative: a loss."""

    by_modes_mj: int
    by_sleep_mj: int
    against_mj: int
    """What the vendor's default mode would have used all the time."""
    asleep_mj: int
    asleep_ms: int
    assumed_mj: int = 0
    """The part of `asleep_mj` that is assumed, as nobody has measured those boards asleep,"""
    assumed_ms: int = 0
    """and its time."""


def saved(sums: Mapping[str, Part]) -> Saved | None:
    """From the sums of what fixed modes would have used (compared.py); None where nothing is compared."""
    measured, default = sums.get(MEASURED), sums.get(VENDOR_DEFAULT)
    if measured is None or default is None or not default.energy_mj:
        return None
    slept, awake, assumed = (sums.get(name, _NONE) for name in (SLEPT, AWAKE, ASSUMED))
    return Saved(
        by_modes_mj=default.energy_mj - measured.energy_mj - awake.energy_mj,
        by_sleep_mj=awake.energy_mj - slept.energy_mj,
        against_mj=default.energy_mj,
        asleep_mj=slept.energy_mj,
        asleep_ms=slept.lived_ms,
        assumed_mj=assumed.energy_mj,
        assumed_ms=assumed.lived_ms,
    )
