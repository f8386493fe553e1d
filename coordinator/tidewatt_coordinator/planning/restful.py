"""Whether a board may stay asleep when a need is met for the least watts: asked of many boards in turn. Pure.

The answer is that of `choose` with the board as the last of all: of like boards the others are raised before
it (a property test). What `choose` sorts anew for each, this sorts once; for each board asked about it walks
two arrays, so that a group of thousands is answered in a fraction of a second.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tidewatt_coordinator.planning.envelopes import Choosing, Step, base_of, chain_of

Floats = NDArray[np.float64]
#: Watts and, negative, requests/s gained: what is less is taken first.
Cost = tuple[float, float]


class Restful:
    """Boards that could carry a need; those that are let sleep are taken out one by one."""

    def __init__(self, devices: Sequence[Choosing]) -> None:
        self._devices = devices
        self._base = [base_of(device) for device in devices]
        self._chains = [chain_of(index, device) for index, device in enumerate(devices)]
        steps = sorted((step for chain in self._chains for step in chain), key=_order)
        self._slopes = np.array([step.slope for step in steps])
        self._gains = np.array([step.gain_rps for step in steps])
        self._owner = np.array([step.device for step in steps], dtype=np.int64)
        self._to = _table([step.to.rps for step in steps], [step.to.watts for step in steps])
        self._start = _table([one.rps for one in self._base], [one.watts for one in self._base])
        most = max((len(device.options) for device in devices), default=0)
        self._options = np.full((2, len(devices), most), np.inf)
        for index, device in enumerate(devices):
            for place, option in enumerate(device.options):
                self._options[:, index, place] = option.rps, option.watts
        self._carries = np.ones(len(devices), dtype=bool)

    def without(self, index: int) -> None:
        """That one carries nothing any more."""
        self._carries[index] = False

    def rests(self, index: int, need_rps: float) -> bool:
        """Whether the cheapest way in which the others and this one meet the need leaves it at its least."""
        if not self._chains[index]:
            return True
        others = self._carries.copy()
        others[index] = False
        gains = np.where(others[self._owner], self._gains, 0.0)
        base = sum(self._start[0, others].tolist()) + self._base[index].rps
        reached = np.cumsum(np.concatenate(([base], gains)))
        at = int(np.searchsorted(reached, need_rps))
        if at == 0:
            return True
        own = self._chains[index][0]
        turn = int(np.searchsorted(self._slopes, own.slope, side="right"))
        if at <= turn:
            return self._stays(index, others, at - 1, need_rps - reached[at - 1])
        missing = need_rps - reached[turn]
        return own.gain_rps >= missing and self._yields(index, others, turn, missing, own)

    def _stays(self, index: int, others: NDArray[np.bool_], step: int, missing_rps: float) -> bool:
        """Whether nothing that this one could do is cheaper than another's step, or what replaces that."""
        owner = int(self._owner[step])
        before = self._standing(step)
        chain: Cost = (float(self._to[1, step] - before[1, owner]), -float(self._gains[step]))
        mine = self._change(index, missing_rps)
        if mine is None or mine >= chain:
            return True
        theirs = self._best(others, before, missing_rps)
        return theirs is not None and theirs <= mine

    def _yields(
        self, index: int, others: NDArray[np.bool_], step: int, missing_rps: float, own: Step
    ) -> bool:
        """Whether another's change is cheaper than this one's own step and all else that it could do."""
        chain: Cost = (own.to.watts - self._base[index].watts, -own.gain_rps)
        theirs = self._best(others, self._standing(step), missing_rps)
        mine = self._change(index, missing_rps)
        return theirs is not None and theirs < chain and (mine is None or theirs <= mine)

    def _standing(self, step: int) -> Floats:
        """Requests/s and watts of everybody once the steps before that are taken: each one's last holds."""
        here: Floats = self._start.copy()
        here[:, self._owner[:step]] = self._to[:, :step]
        return here

    def _change(self, index: int, missing_rps: float) -> Cost | None:
        """The cheapest change of this one from its least that gains what is missing."""
        base = self._base[index]
        changes = ((one.watts - base.watts, base.rps - one.rps) for one in self._devices[index].options)
        return min((cost for cost in changes if -cost[1] >= missing_rps), default=None)

    def _best(self, others: NDArray[np.bool_], here: Floats, missing_rps: float) -> Cost | None:
        """The cheapest change of one of the others that gains what is missing."""
        gain, watts = self._options - here[:, :, None]
        able = (gain >= missing_rps) & np.isfinite(watts) & others[:, None]
        if not np.any(able):
            return None
        least = float(np.min(watts[able]))
        return least, -float(np.max(gain[able & (watts == least)]))


def _table(rps: Sequence[float], watts: Sequence[float]) -> Floats:
    return np.array([rps, watts], dtype=np.float64)


def _order(step: Step) -> tuple[float, int]:
    return step.slope, step.device
