"""`tidewatt keys`: make, list and rotate the keys that policy sets are signed with."""

from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from tidewatt_coordinator.audit.noting import note
from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.keys.folder import KeyFolder

app = typer.Typer(help="The keys that policy sets are signed with.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="As `tidewatt keys list` prints it.")]


@app.command()
def new(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Make the fleet's first key. Its public half goes into every agent's configuration."""
    made = _folder(config).new()
    note(config, "policy key made", made.id, after={"public": made.trusted.public})
    print(f"key {made.id} is made; every agent needs its public half:\n")
    print(f'[link]\npolicy_keys = ["{made.trusted.public}"]')


@app.command("list")
def list_keys(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """List the keys, retired ones too: id, public half, day it was made or retired, what it does."""
    listed = _folder(config).listed()
    if json:
        print(as_json(listed))
        return
    if not listed:
        print("there is no key; `tidewatt keys new` makes the first")
    for key in listed:
        day = datetime.fromtimestamp(key.made_s, timezone.utc).date()
        print(f"{key.id}  {key.public}  {day}  {'signs' if key.signs else 'retired'}")


@app.command()
def rotate(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Begin a rotation: make the next key. Until one is retired both sign, and devices trust both."""
    folder = _folder(config)
    before = folder.signers()
    made = folder.rotate()
    note(config, "policy key made", made.id, before=[one.id for one in before], after=made.trusted.public)
    print(f"key {made.id} is made, {made.trusted.public}; policy sets are signed with both from now on.")
    print(f"When every device has acknowledged one of them: tidewatt keys retire {before[0].id}")


@app.command()
def retire(name: KeyId, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """End a rotation: remove this key. Devices that have seen a set since the rotation began lose nothing."""
    left = _folder(config).retire(name)
    note(config, "policy key retired", name, after={"left": left.id})
    print(f"key {name} is removed; {left.id} signs alone. Agents that are set up anew need:\n")
    print(f'[link]\npolicy_keys = ["{left.trusted.public}"]')


def _folder(config: Path) -> KeyFolder:
    return KeyFolder(Path(read_config(config).policy_keys.folder))
