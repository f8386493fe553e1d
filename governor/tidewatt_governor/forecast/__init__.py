"""The forecaster: an ONNX model, a head that goes on learning on the device, calibration, and trust.

`layout`, `history` and `trust` are plain Python. `model`, `head`, `conformal` and `forecaster` need
the extra `tidewatt-governor[forecast]` (numpy, onnxruntime) and are imported only where a model is
configured.
"""
