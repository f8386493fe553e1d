"""The battery's charge, where the board runs on one: class/power_supply.

A battery of scope Device is a mouse's or a headset's, and one that says `present` 0 is an empty slot.
Of several packs the lowest counts: it is the first to end the run. A charge that can't be read is
not known; it is never 0.
"""

import asyncio

from tidewatt_agent.sysfs.tree import Tree
from tidewatt_agent.threads import in_thread

SUPPLIES = "sys/class/power_supply/*"
FULL_PERCENT = 100
#: A charge moves slowly, and a gas gauge on I2C can hold a read.
LOOK_S = 30.0
LONGEST_LOOK_S = 5.0
#: The last known charge stands for this long while the gauge doesn't answer.
KEPT_S = 300.0


def read_charge(tree: Tree) -> float | None:
    """The charge as a share, 0 to 1; None without a battery, or where none tells."""
    percents = [
        percent
        for path in tree.find(SUPPLIES)
        if tree.read(f"{path}/type") == "Battery"
        and tree.read(f"{path}/scope") != "Device"
        and tree.read(f"{path}/present") != "0"
        and (percent := tree.number(f"{path}/capacity")) is not None
        and 0 <= percent <= FULL_PERCENT
    ]
    return min(percents) / FULL_PERCENT if percents else None


class Battery:
    """The charge over a Tree, looked at every LOOK_S in a thread of its own."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._looked_s: float | None = None
        self._known: tuple[float, float] | None = None

    async def charge(self, now_s: float) -> float | None:
        """The charge as a share at `now_s` (monotonic), None where it isn't known."""
        if self._looked_s is None or now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            try:
                charge = await in_thread(LONGEST_LOOK_S, read_charge, self._tree)
            except asyncio.TimeoutError:
                charge = None
            if charge is not None:
                self._known = (now_s, charge)
        if self._known is None or now_s - self._known[0] > KEPT_S:
            return None
        return self._known[1]
