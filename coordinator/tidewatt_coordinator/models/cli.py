"""`tidewatt model`: offer forecast models to the fleet. A policy's `model` names the one to use."""

from pathlib import Path
from typing import Annotated

import typer

from tidewatt_coordinator.audit.noting import note
from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.models.folder import ModelFolder

app = typer.Typer(help="The forecast models that devices can have.", no_args_is_help=True)


@app.command()
def add(
    file: Annotated[
        Path, typer.Argument(help="An .onnx file, as `tidewatt train` writes it.", dir_okay=False)
    ],
    name: Annotated[str, typer.Option(help="What policies call it.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Offer a model; one of the same name is replaced on every device whose policy names it."""
    model = _folder(config).add(file, name)
    note(config, "model offered", name, after={"sha256": model.sha256})
    print(f'model {name}: {model.size} bytes, sha256 {model.sha256}; a policy with model = "{name}" uses it')


@app.command("list")
def list_models(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """List the models that are offered: name, bytes, sha256."""
    offered = _folder(config).offered()
    if json:
        print(as_json([one.model for one in offered]))
        return
    for one in offered:
        print(f"{one.model.name}  {one.model.size}  {one.model.sha256}")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="As `tidewatt model list` prints it.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Offer a model no longer. Devices that use it go on; a policy that names it says so in their logs."""
    _folder(config).remove(name)
    note(config, "model taken back", name)
    print(f"model {name} is offered no longer")


def _folder(config: Path) -> ModelFolder:
    return ModelFolder(Path(read_config(config).models.folder))
