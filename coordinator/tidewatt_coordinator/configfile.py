"""The coordinator's configuration as the commands read it: the file, and the environment over it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidewatt_wire.documents import decode_text, environment_overrides

if TYPE_CHECKING:
    from tidewatt_coordinator.config import Config

DEFAULT_CONFIG = Path("/etc/tidewatt/coordinator.toml")
ConfigFile = Annotated[Path, typer.Option("--config", help="The coordinator's TOML file.")]


def read_config(path: Path) -> "Config":
    """The configuration in force. Raises DocumentError, or OSError for a file that can't be read."""
    from tidewatt_coordinator.config import parse_config  # noqa: PLC0415 - its sections know the whole product

    overrides = environment_overrides(os.environ, "TIDEWATT")
    return parse_config(decode_text(path.read_bytes(), str(path)), name=str(path), overrides=overrides)
