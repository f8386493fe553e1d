"""The model that a benchmark was asked to measure."""

from pathlib import Path

from tidewatt_governor.forecast.model import Model
from tidewatt_governor.forecast.shipped import SHIPPED, shipped_model


def read_model(path: str) -> Model:
    """The model of that file, "" for the shipped one; ModelError or OSError if it can't be run."""
    content = Path(path).read_bytes() if path and path != "none" else shipped_model()
    return Model(content, name=path or SHIPPED)
