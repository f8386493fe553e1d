"""`tidewatt train`: from a history of traffic to an ONNX model with a card. Needs the extra [train]."""
