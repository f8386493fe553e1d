"""The coordinator's configuration as the commands read it: the file, and the environment over it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidewatt_wire.documents import DocumentError, decode_text, environment_overrides

if TYPE_CHECKING:
    from tidewatt_coordinator.config import Config

DEFAULT_CONFIG = Path("/etc/tidewatt/coordinator.toml")
ConfigFile = Annotated[Path, typer.Option("--config", help="The coordinator's TOML file.")]
BrokerRequired = Annotated[
    bool, typer.Option("--broker-required", help="Refuse an empty broker.url: no embedded broker.")
]


def read_config(path: Path, *, broker_required: bool = False) -> "Config":
    """The configuration in force. Raises DocumentError, or OSError for a file that can't be read.

    `broker_required`: a service in production must not fall back on the embedded broker.
    """
    from tidewatt_coordinator.config import parse_config  # noqa: PLC0415 - its sections know the whole product

    overrides = environment_overrides(os.environ, "TIDEWATT")
    found = parse_config(decode_text(path.read_bytes(), str(path)), name=str(path), overrides=overrides)
    if broker_required and not found.broker.url:
        raise DocumentError(
            f"{path}: broker.url is empty: name the fleet's MQTT 5 broker, such as mqtts://broker.example:8883"
        )
    return found
