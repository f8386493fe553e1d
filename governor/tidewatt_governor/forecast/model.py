"""An ONNX model, read and run. Whatever is wrong with it is one sentence."""

import math
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tidewatt_governor.forecast.layout import AHEAD, LAGS, OUTPUTS, PAST, QUANTILES

Floats = NDArray[np.float64]

LARGEST_BYTES = 16 * 1024 * 1024
#: Features are shares; beyond this they tell no more than the bound.
MOST_FEATURE = 10.0
#: A model that says otherwise is for another layout.
INPUTS = {"minutes": ("?", 1 + len(LAGS), PAST + AHEAD), "calendar": ("?", 3)}


class ModelError(ValueError):
    """Why a file is no model that can be run here, or why its answer is no forecast."""


class Answer(msgspec.Struct, frozen=True):
    """One forecast as the model gives it, in requests/s."""

    quantiles: Floats
    """[17, 3]: minutes 1..15, peak of 3, peak of 15; p50, p90, p99."""
    features: Floats
    """[15, d]; d may be 0."""
    scale: float


class Model:
    """A model in memory. One thread and no arena: on a board the application needs both more."""

    def __init__(self, content: bytes, *, name: str) -> None:
        """Read it; ModelError names `name` and says what is wrong."""
        if len(content) > LARGEST_BYTES:
            raise ModelError(f"{name}: {len(content)} bytes is more than a model may have, {LARGEST_BYTES}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"{name}: not an ONNX model that can be run: {_first_line(error)}") from error
        self._name = name
        self._width: int | None = None
        self._check_inputs()
        self._outputs = [output.name for output in self._session.get_outputs()]
        if self._outputs[:1] != ["quantiles"]:
            raise ModelError(f"{name}: the first output must be 'quantiles', not {self._outputs[:1]}")

    def _check_inputs(self) -> None:
        found = {one.name: tuple(one.shape) for one in self._session.get_inputs()}
        for wanted, shape in INPUTS.items():
            has = found.get(wanted)
            if has is None:
                raise ModelError(f"{self._name}: no input {wanted!r}; it has {', '.join(sorted(found))}")
            if has[1:] != shape[1:]:
                raise ModelError(f"{self._name}: input {wanted!r} is {list(has)}, expected {list(shape)}")

    def __call__(self, minutes: Sequence[Sequence[float]], calendar: Sequence[float]) -> Answer:
        """The model's answer; ModelError if it isn't finite, ordered, or of the right shape."""
        feed = {
            "minutes": np.asarray(minutes, dtype=np.float32)[None],
            "calendar": np.asarray(calendar, dtype=np.float32)[None],
        }
        try:
            answer = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        except Exception as error:
            raise ModelError(f"{self._name}: it failed: {_first_line(error)}") from error
        try:
            return self._read(answer, minutes[0])
        except (ValueError, TypeError, IndexError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"{self._name}: its answer can't be read: {_first_line(error)}") from error

    def _read(self, answer: Mapping[str, object], own: Sequence[float]) -> Answer:
        quantiles = np.asarray(answer["quantiles"], dtype=np.float64)
        if quantiles.shape != (1, OUTPUTS, len(QUANTILES)):
            raise ModelError(
                f"{self._name}: its answer has shape {list(quantiles.shape)}, not [1, {OUTPUTS}, 3]"
            )
        features = np.asarray(answer.get("features", np.zeros((1, AHEAD, 0))), dtype=np.float64)
        if features.ndim != 3 or features.shape[:2] != (1, AHEAD):  # noqa: PLR2004
            raise ModelError(f"{self._name}: its features are not {AHEAD} rows of numbers")
        known = [rps for rps in own if not math.isnan(rps)]
        scale = float(
            np.asarray(answer.get("scale", sum(known) / max(len(known), 1)), dtype=np.float64).flat[0]
        )
        if not (np.isfinite(quantiles).all() and np.isfinite(features).all() and math.isfinite(scale)):
            raise ModelError(f"{self._name}: its answer holds a value that is not a number")
        self._width = features.shape[2] if self._width is None else self._width
        if features.shape[2] != self._width:
            raise ModelError(f"{self._name}: it gave {self._width} features, now {features.shape[2]}")
        ordered = np.maximum.accumulate(np.maximum(quantiles[0], 0.0), axis=1)
        return Answer(ordered, np.clip(features[0], -MOST_FEATURE, MOST_FEATURE), scale)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
