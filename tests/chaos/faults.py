"""All the faults there are, by name."""

from tests.chaos import disks, kills, wires
from tests.chaos.kinds import Fault

ANYWHERE: dict[str, Fault] = {**kills.FAULTS, **wires.FAULTS, **disks.FAULTS}
#: As root only: a device's disk must be its own to be filled.
AS_ROOT: dict[str, Fault] = disks.DISKS
FAULTS: dict[str, Fault] = {**ANYWHERE, **AS_ROOT}
