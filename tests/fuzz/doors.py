"""Every door through which strange things may come, by name; those of REST are in rest.py."""

from tests.fuzz import messages, onnx, sockets, texts

TARGETS = texts.TARGETS | messages.TARGETS | onnx.TARGETS | sockets.TARGETS
