"""The medians of the two peaks, which go on learning on the device like the head's of the minutes.

The highest of some medians is not the median of the highest: how far above it lies depends on how
jagged this traffic is. So each peak is corrected by what its peaks were, from the shape that the medians
have, and the learners' say is what they have earned.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidewatt_governor.forecast.head import MOST, WARM_UP, Learner
from tidewatt_governor.forecast.layout import AHEAD, PEAK_3, PEAK_15, SOON

Floats = NDArray[np.float64]

#: Minutes of each peak, and its row of the forecast.
SPANS, ROWS = (SOON, AHEAD), (PEAK_3, PEAK_15)
#: Loss is remembered over about 500 minutes; a tenth more loss costs a factor e^-2. Peaks overlap, so that
#: fewer of them are news than of minutes.
MEMORY, SHARPNESS = 0.998, 20.0
#: The median so far, the highest median, both spreads, every minute's median, their range, and a one.
INPUTS = 4 + AHEAD + 2


class Peaks:
    """The mixed medians of the peaks of the next 3 and the next 15 minutes."""

    def __init__(self) -> None:
        self._learners = [
            Learner(INPUTS - 1, forget=0.9995, prior=0.3, bound=1.0, outputs=len(SPANS)),
            Learner(INPUTS - 1, forget=0.9998, prior=1.0, bound=0.7, outputs=len(SPANS)),
        ]
        self._loss: Floats = np.zeros((1 + len(self._learners), len(SPANS)))
        self._lessons = 0
        self._past: list[_Told | None] = []
        self._came: list[float] = []

    def __call__(self, quantiles: Floats, middle: Floats, scale: float, last: float, sure: int) -> Floats:
        """The medians [2] in requests/s, from the model's `quantiles` [17, 3] and the minutes' medians [15].

        `sure`: minutes ahead that will be as the `last`, from which nothing is to be learned.
        """
        highest = np.array([np.max(middle[:span]) for span in SPANS])
        model = np.array([np.max(quantiles[:span, 0]) for span in SPANS])
        plain = quantiles[list(ROWS), 0] + highest - model
        plain = np.asarray(np.maximum(plain, last) if sure else plain)
        inputs = np.clip(_inputs(quantiles, middle, plain, highest, last, scale), -MOST, MOST)
        shares = np.stack([inputs[:, 0], *(one.predict(inputs) for one in self._learners)])
        self._hold(_Told(inputs, shares, last, scale, sure))
        if self._lessons <= WARM_UP:
            return np.asarray(plain)
        best = np.maximum(self._loss.min(axis=0), 1e-12)
        say = np.exp(-SHARPNESS * (self._loss / best - 1.0))
        mixed = last + scale * (say * shares).sum(axis=0) / say.sum(axis=0)
        return np.asarray(np.where(np.isfinite(mixed), np.maximum(mixed, 0.0), plain))

    def skipped(self) -> None:
        """There was no forecast from this minute."""
        self._hold(None)

    def _hold(self, told: "_Told | None") -> None:
        self._past.insert(0, told)
        del self._past[AHEAD:]

    def came(self, rps: float | None) -> None:
        """The next minute came, with this rate; None where it isn't known. Before the next call."""
        self._came.insert(0, np.nan if rps is None else rps)
        del self._came[AHEAD:]
        lessons = [self._lesson(place, span) for place, span in enumerate(SPANS)]
        open_ = np.array([lesson is not None for lesson in lessons])
        if not open_.any():
            return
        nothing = (np.zeros(INPUTS), np.zeros(len(self._loss)), 0.0)
        inputs, shares, came = (
            np.stack(column) for column in zip(*(lesson or nothing for lesson in lessons), strict=True)
        )
        loss = MEMORY * self._loss + np.minimum(np.abs(shares.T - came), MOST)
        self._loss = np.where(open_, loss, self._loss)
        self._lessons += 1
        for learner in self._learners:
            learner.learn(inputs, came, open_)

    def _lesson(self, place: int, span: int) -> tuple[Floats, Floats, float] | None:
        """The inputs and shares of a peak that is over, and the share that came; None if there is none."""
        told = self._past[span - 1] if len(self._past) >= span else None
        if told is None or told.sure >= span or len(self._came) < span:
            return None
        came = float(np.max(self._came[:span]))  # NaN if one of them is
        if np.isnan(came):
            return None
        share = float(np.clip((came - told.last) / told.scale, -MOST, MOST))
        return told.inputs[place], told.shares[:, place], share


def _inputs(
    quantiles: Floats, middle: Floats, plain: Floats, highest: Floats, last: float, scale: float
) -> Floats:
    rows = []
    for place, row in enumerate(ROWS):
        spreads = quantiles[row, 1:] - quantiles[row, 0]
        own = [plain[place] - last, highest[place] - last, *spreads, *(middle - last)]
        rows.append([*(one / scale for one in own), (np.max(middle) - middle.mean()) / scale, 0.1])
    return np.array(rows)


class _Told(msgspec.Struct, frozen=True):
    """What was known and said at one minute, until its peaks are over."""

    inputs: Floats
    """[2, INPUTS]."""
    shares: Floats
    """[experts, 2]."""
    last: float
    scale: float
    sure: int
