"""A forecast model that was spoiled: it is refused in a sentence, or gives forecasts that are numbers."""

import numpy as np
from tests.fuzz.target import Target

from tidewatt_governor.forecast.layout import AHEAD, LAGS, OUTPUTS, PAST
from tidewatt_governor.forecast.model import Model, ModelError
from tidewatt_governor.forecast.shipped import shipped_model

MINUTES = [[10.0] * (PAST + AHEAD)] * (1 + len(LAGS))
CALENDAR = [0.5, 0.5, 0.0]


def onnx(data: bytes) -> None:
    """Read it and ask it once."""
    try:
        answer = Model(data, name="m")(MINUTES, CALENDAR)
    except ModelError:
        return
    assert answer.quantiles.shape == (OUTPUTS, 3)
    assert np.isfinite(answer.quantiles).all()
    assert np.isfinite(answer.features).all()


TARGETS = {"onnx": Target(onnx, lambda: [shipped_model()], 20, 2_000_000)}
