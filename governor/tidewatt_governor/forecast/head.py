"""The part of the forecaster that goes on learning on the device: a linear head by minute ahead.

The model's features are general, a device's habits are its own (a job at five to every hour, a shift
that begins at six). So the median of each minute ahead is corrected by recursive least squares over
the model's own features, robust (an outlier counts as its bound) and forgetting over about a day; and
the experts (the model, the learners, last value, means of some minutes) are mixed by how well each has
done lately, so that a learner that is worse than the last value loses its say.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidewatt_governor.forecast.layout import AHEAD

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
EACH = np.arange(AHEAD)

#: Corrections beyond so many scales are a defect, not a forecast.
MOST = 3.0
#: Loss of the experts is remembered over about 250 minutes; a tenth more loss costs a factor e^-4.
MEMORY, SHARPNESS = 0.996, 40.0
#: Spans of the plain means among the experts, minutes.
MEANS = (3, 8, 15)
#: Minutes of learning before an expert has a say beyond an equal one.
WARM_UP = 60


class Learner:
    """Recursive least squares for several outputs at once; starts as the first of its inputs."""

    def __init__(
        self, features: int, forget: float, prior: float, bound: float, outputs: int = AHEAD
    ) -> None:
        """`forget` per minute; `prior`: strength of the start; errors beyond `bound` x typical are cut."""
        self._forget, self._prior, self._bound = forget, prior, bound
        self._outputs = outputs
        self._size = features + 1
        self._reset()

    def _reset(self) -> None:
        self._spread = np.repeat(np.eye(self._size)[None] / self._prior, self._outputs, axis=0)
        self._weights = np.zeros((self._outputs, self._size))
        self._weights[:, 0] = 1.0
        self._typical: Floats = np.full(self._outputs, 0.05)
        self._lessons = 0

    def predict(self, inputs: Floats) -> Floats:
        """Shares of the scale beyond the last minute, [outputs], of inputs [outputs, 1 + features]."""
        return np.asarray(np.clip((inputs * self._weights).sum(axis=1), -MOST, MOST))

    def learn(self, inputs: Floats, came: Floats, open_: Bools) -> None:
        """One lesson for each output that was `open_`: the inputs then, and the share that came."""
        error = came - (inputs * self._weights).sum(axis=1)
        size = np.abs(error)
        trust = 1.0 / np.maximum(1.0, size / (self._bound * self._typical))
        typical = self._typical + 0.01 * (np.minimum(size, 5.0 * self._typical) - self._typical)
        self._typical = np.where(open_, np.maximum(typical, 1e-6), self._typical)
        turned = np.matmul(self._spread, inputs[:, :, None])[:, :, 0]
        gain = turned / (self._forget / trust + (inputs * turned).sum(axis=1))[:, None]
        gain *= open_[:, None]
        self._weights += gain * error[:, None]
        self._spread -= gain[:, :, None] * turned[:, None, :]
        self._spread /= np.where(open_, self._forget, 1.0)[:, None, None]
        self._lessons += 1
        if self._lessons % 60 == 0 or not np.isfinite(error).all():
            self._bound_spread()

    def _bound_spread(self) -> None:
        # Forgetting must not make a direction in which nothing happens ever more impressionable.
        if not (np.isfinite(self._weights).all() and np.isfinite(self._spread).all()):
            self._reset()
            return
        diagonal = np.einsum("hii->hi", self._spread)
        shrink = np.minimum(1.0, np.sqrt(1.0 / (self._prior * np.maximum(diagonal, 1e-12))))
        self._spread *= shrink[:, :, None] * shrink[:, None, :]


class Head:
    """The mixed median of the next 15 minutes; learns each minute from what came."""

    def __init__(self, features: int) -> None:
        self._learners = [
            Learner(features, forget=0.9995, prior=0.3, bound=1.0),
            Learner(features, forget=0.9998, prior=1.0, bound=0.7),
            Learner(features, forget=0.999, prior=3.0, bound=0.7),
        ]
        self._alone = [
            Learner(features, forget=0.9995, prior=0.3, bound=1.0),
            Learner(features, forget=0.9998, prior=1.0, bound=0.7),
        ]
        """Learners that don't see the model's median: where it is of no use, they are not held back by it."""
        self._past: list[_Told | None] = []
        self._loss: Floats = np.zeros((2 + len(MEANS) + len(self._learners) + len(self._alone), AHEAD))
        self._lessons = 0

    def __call__(self, base: Floats, features: Floats, recent: Floats, scale: float, sure: int = 0) -> Floats:
        """The median [15] in requests/s, from the model's own median `base` [15].

        `recent`: the last 15 minutes in requests/s, NaN where not known; the last one is.
        `sure`: minutes ahead that will be as the last, from which nothing is to be learned.
        """
        last = float(recent[-1])
        inputs = np.concatenate([np.clip((base - last) / scale, -MOST, MOST)[:, None], features], axis=1)
        alone = inputs.copy()
        alone[:, 0] = 0.0
        shares = [
            *(one.predict(inputs) for one in self._learners),
            *(one.predict(alone) for one in self._alone),
        ]
        plain = [last, *(float(np.nanmean(recent[-span:])) for span in MEANS)]
        experts = np.stack(
            [
                base,
                *(np.maximum(last + scale * share, 0.0) for share in shares),
                *(np.full(AHEAD, one) for one in plain),
            ]
        )
        self._hold(_Told(inputs, alone, experts, last, scale, sure))
        if self._lessons <= WARM_UP:
            mixed: Floats = experts.mean(axis=0)
            return mixed
        best = np.maximum(self._loss.min(axis=0), 1e-12)
        say = np.exp(-SHARPNESS * (self._loss / best - 1.0))
        mixed = np.asarray((say * experts).sum(axis=0) / say.sum(axis=0))
        if np.isfinite(mixed).all():
            return mixed
        self._loss[:], self._lessons, self._past = 0.0, 0, []  # begin anew: what isn't a number spreads
        return base

    def skipped(self) -> None:
        """There was no forecast from this minute."""
        self._hold(None)

    def _hold(self, told: "_Told | None") -> None:
        self._past.append(told)
        del self._past[:-AHEAD]

    def came(self, rps: float | None) -> None:
        """The next minute came, with this rate; None where it isn't known. Before the next call."""
        then = [one for one in reversed(self._past) if one is not None]
        if rps is None or len(then) < AHEAD:
            return
        last, scale = np.array([one.last for one in then]), np.array([one.scale for one in then])
        open_ = np.array([one.sure for one in then]) <= EACH
        experts = np.stack([then[ahead].experts[:, ahead] for ahead in EACH], axis=1)
        loss = MEMORY * self._loss + np.minimum(np.abs(experts - rps) / scale, MOST)
        self._loss = np.where(open_, loss, self._loss)
        self._lessons += 1
        share = np.clip((rps - last) / scale, -MOST, MOST)
        inputs, alone = (
            np.stack([row[ahead] for ahead, row in enumerate(rows)])
            for rows in ([one.inputs for one in then], [one.alone for one in then])
        )
        for learner in self._learners:
            learner.learn(inputs, share, open_)
        for learner in self._alone:
            learner.learn(alone, share, open_)


class _Told(msgspec.Struct, frozen=True):
    """What was known and said at one minute, until its fifteen minutes have come."""

    inputs: Floats
    """[15, 1 + d]."""
    alone: Floats
    experts: Floats
    """[experts, 15] requests/s."""
    last: float
    scale: float
    sure: int
