"""Calibration that never ends: each upper quantile is held to its promised coverage by what came.

Adaptive conformal inference in the log of the spread: a miss widens, a hit narrows, in the proportion
that balances at the promised share of misses whatever the traffic does. Gains grow with what a miss
costs: the peaks that modes are chosen by follow within hours, single minutes within days.
"""

import numpy as np
from numpy.typing import NDArray

from tidewatt_governor.forecast.layout import AHEAD, OUTPUTS, PEAK_3, PEAK_15, QUANTILES, SOON

Floats = NDArray[np.float64]

#: Log of the spread's factor by miss, per output.
GAINS = np.full(OUTPUTS, 0.01)
GAINS[PEAK_3], GAINS[PEAK_15] = 0.03, 0.06
#: The factor stays within e^-5 and e^5.
MOST_LOG = 5.0
#: No spread below this share of the scale: a flat hour is no promise.
LEAST_SPREAD = 0.002
LEVELS = np.array(QUANTILES[1:])


class Conformal:
    """Spreads of the upper quantiles, corrected by what came."""

    def __init__(self) -> None:
        self._log = np.zeros((OUTPUTS, len(LEVELS)))
        self._bounds: list[Floats | None] = []
        self._came: list[float | None] = []

    def __call__(self, quantiles: Floats, middle: Floats, scale: float) -> Floats:
        """The forecast [17, 3] around the median `middle` [15] in place of the model's own."""
        shift = np.concatenate(
            [
                middle - quantiles[:AHEAD, 0],
                [np.max(middle[:SOON]) - np.max(quantiles[:SOON, 0])],
                [np.max(middle) - np.max(quantiles[:AHEAD, 0])],
            ]
        )
        centre = np.maximum(quantiles[:, 0] + shift, 0.0)
        spread = np.maximum(quantiles[:, 1:] - quantiles[:, :1], LEAST_SPREAD * scale)
        upper = centre[:, None] + np.exp(self._log) * spread
        out = np.maximum.accumulate(np.concatenate([centre[:, None], upper], axis=1), axis=1)
        self._bounds.append(out[:, 1:])
        del self._bounds[: -AHEAD - 1]
        return out

    def skipped(self) -> None:
        """There was no forecast from this minute."""
        self._bounds.append(None)
        del self._bounds[: -AHEAD - 1]

    def came(self, rps: float | None) -> None:
        """The next minute came, with this rate, None where it isn't known. Before the next call."""
        self._came.append(rps)
        del self._came[:-AHEAD]
        for output in range(OUTPUTS):
            ahead = {PEAK_3: SOON, PEAK_15: AHEAD}.get(output, output + 1)
            if len(self._bounds) < ahead or len(self._came) < ahead:
                continue
            bounds = self._bounds[-ahead]
            since = self._came[-ahead:] if output >= AHEAD else self._came[-1:]
            known = [one for one in since if one is not None]
            if bounds is None or len(known) < len(since):
                continue
            missed = max(known) > bounds[output]
            self._log[output] += GAINS[output] * (missed - (1.0 - LEVELS))
        np.clip(self._log, -MOST_LOG, MOST_LOG, out=self._log)
