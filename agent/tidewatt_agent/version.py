"""Which release this is. Apart, because the actuator does without: looking it up costs 3.6 MB resident."""

from importlib.metadata import version

VERSION = version("tidewatt-agent")
