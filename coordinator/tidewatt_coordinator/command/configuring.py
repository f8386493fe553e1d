"""`tidewatt config`: the coordinator's one file."""

import typer

from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, BrokerRequired, ConfigFile, read_config
from tidewatt_wire.documents import to_toml

app = typer.Typer(help="Show or validate the configuration, or print the default.", no_args_is_help=True)


@app.command()
def show(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """Print the configuration in force, defaults and environment included."""
    settings = read_config(config)
    print(as_json(settings) if json else to_toml(settings), end="\n" if json else "")


@app.command("print", hidden=True)
def show_as_before(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Print the configuration in force: the older name of show."""
    show(config, json=False)


@app.command()
def validate(config: ConfigFile = DEFAULT_CONFIG, broker_required: BrokerRequired = False) -> None:
    """Say what is wrong with a configuration file."""
    read_config(config, broker_required=broker_required)
    print(f"{config}: good")


@app.command()
def default(json: AsJson = False) -> None:
    """Print every key with its default: a file to begin with."""
    from tidewatt_coordinator.config import Config  # noqa: PLC0415 - its sections know the whole product

    print(as_json(Config()) if json else to_toml(Config()), end="\n" if json else "")
