"""Calibration that never ends: each upper quantile is held to its promised coverage by what came.

Adaptive conformal inference in the log of the spread: a miss widens, a hit narrows, in the proportion
that balances at the promised share of misses whatever the traffic does. Gains grow with what a miss
costs: the peaks that modes are chosen by follow within hours, single minutes within days. A peak is missed
as soon as one minute lies above it, and that is learned at once; that it was kept shows at its end.
"""

import numpy as np
from numpy.typing import NDArray

from tidewatt_governor.forecast.layout import AHEAD, FLOOR_RPS, OUTPUTS, PEAK_3, PEAK_15, QUANTILES, SOON

Floats = NDArray[np.float64]

#: By miss and output: how far the median of a peak moves, in spreads; the logs of both spreads' factors.
GAINS = np.full((OUTPUTS, len(QUANTILES)), 0.005)
GAINS[:AHEAD, 0] = 0.0  # the head has seen to the minutes' medians
GAINS[PEAK_3], GAINS[PEAK_15] = (0.002, 0.01, 0.005), (0.002, 0.01, 0.003)
#: The factor stays within e^-5 and e^5.
MOST_LOG = 5.0
#: The p90 of the longer peak has a second, quick part: a bad hour must not be followed by a bad one. It is
#: bounded, because one burst is missed by up to fifteen forecasts at once.
QUICK = np.zeros_like(GAINS)
QUICK[PEAK_15, 1] = 0.06
LEAST_QUICK, MOST_QUICK = -1.0, 1.3
#: No spread below this share of the scale: a flat hour is no promise.
LEAST_SPREAD = 0.002
LEVELS = np.tile(np.array(QUANTILES), (OUTPUTS, 1))
LEVELS[PEAK_15, 1] = 0.902  # a hair above the promise, for the hours in which it is kept worst
#: Minutes after which each output's time is over.
ENDS = np.array([*range(1, AHEAD + 1), SOON, AHEAD])
PEAKS = np.arange(OUTPUTS) >= AHEAD
#: By age of a forecast in minutes, 1 to 15, [15, 17, 1]: whose time is over, and what a minute may miss.
OVER = (np.arange(1, AHEAD + 1)[:, None] == ENDS)[..., None]
LOOKED_AT = OVER | (PEAKS & (np.arange(1, AHEAD + 1)[:, None] <= ENDS))[..., None]


class Conformal:
    """The peaks' medians and every spread, corrected by what came."""

    def __init__(self) -> None:
        self._learned, self._lately = np.zeros((2, *GAINS.shape)), np.zeros_like(GAINS)
        """First of outputs before a second step of the traffic, and of all where there are no steps; then of
        those beyond it."""
        shape = (AHEAD, OUTPUTS, len(QUANTILES))
        self._bounds = np.full(shape, np.nan)
        """The last minutes' forecasts, newest first; NaN where nothing was at stake."""
        self._beyond = np.zeros(shape[:2], dtype=bool)
        self._missed = np.zeros(shape, dtype=bool)
        self._whole: NDArray[np.bool_] = np.ones(AHEAD, dtype=bool)
        """Whether every minute since is known."""

    def __call__(
        self, quantiles: Floats, middle: Floats, scale: float, last: float, sure: int = 0, beat: int = 0
    ) -> Floats:
        """The forecast [17, 3] around the medians `middle` [17] in place of the model's own.

        `sure`: how many minutes ahead will be as the `last`, whatever the model says; then the first step
        comes, and one every `beat` minutes; 0 where traffic doesn't come in steps.
        """
        beyond = (ENDS - sure > beat) & (beat > 0)
        learned = np.where(beyond[:, None], self._learned[1], self._learned[0])
        spread = np.maximum(quantiles[:, 1:] - quantiles[:, :1], LEAST_SPREAD * scale)
        centre = np.maximum(middle + learned[:, 0] * spread[:, 0], 0.0)
        upper = centre[:, None] + np.exp(learned[:, 1:] + self._lately[:, 1:]) * spread
        out = np.maximum.accumulate(np.concatenate([centre[:, None], upper], axis=1), axis=1)
        known = sure >= ENDS
        out[known] = last
        if sure:
            out[AHEAD:] = np.maximum(out[AHEAD:], last)
        # An idle night is no promise kept: after it everything would be far too narrow.
        idle = scale < 2.0 * FLOOR_RPS
        self._hold(np.where(known[:, None] | idle, np.nan, out), beyond)
        return out

    def skipped(self) -> None:
        """There was no forecast from this minute."""
        self._hold(np.full((OUTPUTS, len(QUANTILES)), np.nan), np.zeros(OUTPUTS, dtype=bool))

    def _hold(self, bounds: Floats, beyond: NDArray[np.bool_]) -> None:
        self._beyond = np.concatenate([beyond[None], self._beyond[:-1]])
        self._bounds = np.concatenate([bounds[None], self._bounds[:-1]])
        self._missed = np.concatenate([np.zeros_like(self._missed[:1]), self._missed[:-1]])
        self._whole = np.concatenate([[True], self._whole[:-1]])

    def came(self, rps: float | None) -> None:
        """The next minute came, with this rate, None where it isn't known. Before the next call."""
        if rps is None:
            self._whole[:] = False
            missed = np.zeros_like(self._missed)
        else:
            missed = LOOKED_AT & (self._bounds < rps) & ~self._missed
        self._missed |= missed
        # A minute is judged if it is known; a peak if all its minutes are, or if one was above it.
        judged = np.where(PEAKS, self._whole[:, None], rps is not None)[..., None] | self._missed
        over = OVER & ~np.isnan(self._bounds) & judged
        each = missed - over * (1.0 - LEVELS)
        beyond = (each * self._beyond[..., None]).sum(axis=0)
        news = each.sum(axis=0)
        learned = self._learned + GAINS * np.stack([news - beyond, beyond])
        self._learned = np.clip(learned, -MOST_LOG, MOST_LOG)
        self._lately = np.clip(self._lately + QUICK * news, LEAST_QUICK, MOST_QUICK)
