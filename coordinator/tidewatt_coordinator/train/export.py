"""A network as an ONNX file that says what it is."""

import io
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from tidewatt_governor.forecast.layout import AHEAD, LAGS, OPSET, PAST

OUTPUT_NAMES = ("quantiles", "features", "scale")
#: Largest difference between the network and its export, as a share: float32 in another order.
TOLERANCE = 1e-3


def export(model: nn.Module, facts: dict[str, str]) -> bytes:
    """The ONNX file; `facts` go into its metadata. ValueError if it doesn't compute what the network does."""
    torch.manual_seed(1)
    minutes = torch.rand(3, 1 + len(LAGS), PAST + AHEAD) * 100.0
    minutes[:, 0, PAST:] = torch.nan
    minutes[2, 1:] = torch.nan
    calendar = torch.tensor([[0.0, 0.0, 0.0], [700.0, 5.0, 1.0], [1439.0, 6.0, 1.0]])
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter by tracing needs nothing beyond torch and onnx; its successor needs onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (minutes, calendar),
            buffer,
            opset_version=OPSET,
            dynamo=False,
            input_names=["minutes", "calendar"],
            output_names=list(OUTPUT_NAMES),
            dynamic_axes={name: {0: "n"} for name in ("minutes", "calendar", *OUTPUT_NAMES)},
        )
        expected = [value.numpy() for value in model(minutes, calendar)]
    graph = onnx.load_model_from_string(buffer.getvalue())
    onnx.checker.check_model(graph)
    for key, value in sorted({"lags": ",".join(map(str, LAGS)), **facts}.items()):
        graph.metadata_props.add(key=f"tidewatt.{key}", value=value)
    content = bytes(graph.SerializeToString())
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    got = session.run(None, {"minutes": minutes.numpy(), "calendar": calendar.numpy()})
    for name, ours, theirs in zip(OUTPUT_NAMES, expected, got, strict=True):
        if not np.allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE):
            raise ValueError(f"the exported model's {name} differ from the network's")
    return content
