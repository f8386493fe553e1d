"""Models that would bring the agent down are refused by a process that they may bring down."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tidewatt_agent import modeltrial
from tidewatt_governor.forecast.layout import AHEAD, LAGS, OUTPUTS, PAST
from tidewatt_governor.forecast.shipped import shipped_model


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]]) -> bytes:
    """A model with the inputs and the output that ours have."""
    kinds = TensorProto.FLOAT
    inputs = [
        helper.make_tensor_value_info("minutes", kinds, ["b", 1 + len(LAGS), PAST + AHEAD]),
        helper.make_tensor_value_info("calendar", kinds, ["b", 3]),
    ]
    outputs = [helper.make_tensor_value_info("quantiles", kinds, [1, OUTPUTS, 3])]
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "bomb", inputs, outputs, held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    found: bytes = made.SerializeToString()
    return found


def huge() -> bytes:
    """Some hundred bytes that ask for 64 GiB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["all"]),
        helper.make_node("ReduceSum", ["all"], ["sum"], keepdims=0),
        helper.make_node("Expand", ["sum", "answer"], ["quantiles"]),
    ]
    shape, answer = np.array([2**34], np.int64), np.array([1, OUTPUTS, 3], np.int64)
    return model_of(nodes, {"shape": shape, "answer": answer})


def endless() -> bytes:
    """Some hundred bytes that count to 2^62."""
    body = helper.make_graph(
        [helper.make_node("Add", ["before", "one"], ["after"]), helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, []),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["times", "true", "one"], ["count"], body=body),
        helper.make_node("Expand", ["count", "answer"], ["quantiles"]),
    ]
    constants = {
        "times": np.array(2**62, np.int64), "true": np.array(True), "one": np.array(1.0, np.float32),
        "answer": np.array([1, OUTPUTS, 3], np.int64),
    }  # fmt: skip
    return model_of(nodes, constants)


def test_a_model_that_takes_all_memory() -> None:
    content = huge()
    assert len(content) < 1000
    assert modeltrial.why_not(content, "bomb").startswith("bomb: ")


def test_a_model_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modeltrial, "PATIENCE_S", 2.0)
    content = endless()
    assert len(content) < 1000
    assert modeltrial.why_not(content, "loop") == "loop: its trial had no end within 2 s"


def test_a_model_that_reads_what_lies_beside_it(tmp_path: Path) -> None:
    """ONNX may name files for its weights; ours come as bytes, and none is opened."""
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\0" * 12)
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value=str(secret))
    nodes = [helper.make_node("Expand", ["w", "answer"], ["quantiles"])]
    made = onnx.load_from_string(model_of(nodes, {"answer": np.array([1, OUTPUTS, 3], np.int64)}))
    made.graph.initializer.append(outside)
    assert modeltrial.why_not(made.SerializeToString(), "spy").startswith("spy: not an ONNX model")


def test_a_good_model_and_nonsense() -> None:
    assert modeltrial.why_not(shipped_model(), "good") == ""
    assert modeltrial.why_not(b"nonsense", "bad").startswith("bad: not an ONNX model that can be run")
