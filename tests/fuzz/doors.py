"""Every door through which strange things may come, by name."""

from tests.fuzz import messages, texts

TARGETS = texts.TARGETS | messages.TARGETS
