"""The model that comes with the product."""

from importlib import resources

SHIPPED = "default.onnx"
CARD = "default.md"


def shipped_model() -> bytes:
    """The ONNX file; its card lies beside it."""
    return resources.files("tidewatt_governor.data.models").joinpath(SHIPPED).read_bytes()


def shipped_card() -> str:
    """What it was trained on, and how it scores."""
    return resources.files("tidewatt_governor.data.models").joinpath(CARD).read_text("utf-8")
