"""The `tidewatt fleet` commands. They ask the running coordinator; `ls` falls back to the database."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tidewatt_coordinator.command.printing import AsJson, as_json, console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.watching import view
from tidewatt_coordinator.watching.door import KEY_FILE, Absent, Device, Door, FleetNow

app = typer.Typer(help="The devices as they stand: list them, look at one, watch them.", no_args_is_help=True)

Url = Annotated[str, typer.Option(help="The coordinator's REST API; default: coordinator.listen here.")]
KeyFile = Annotated[str, typer.Option(help=f"A file with an API key; default: what {KEY_FILE} names.")]
CaFile = Annotated[
    str, typer.Option("--ca", help="A file with the CA of its certificate; default: the system's.")
]
Sort = Annotated[str, typer.Option(help=f"By {', '.join(name for name, _ in view.SORTS.values())}.")]


@app.command("ls")
def list_devices(
    config: ConfigFile = DEFAULT_CONFIG,
    url: Url = "",
    key_file: KeyFile = "",
    ca: CaFile = "",
    sort: Sort = "problem",
    site: Annotated[str, typer.Option(help="Only this site's.")] = "",
    status: Annotated[str, typer.Option(help="Only those: online, asleep, silent...")] = "",
    json: AsJson = False,
) -> None:
    """List the devices, those with a problem first. Without a coordinator: as they were last heard of."""
    key = _key(sort)
    try:
        with _door(config, url, key_file, ca) as door:
            now = door.fleet()
    except Absent as error:
        if url:
            raise
        print(f"tidewatt: {error}; this is what it knew last", file=sys.stderr)
        now = _last_known(config)
    found = [one for one in now.devices if site in ("", one.site) and status in ("", one.status)]
    found = view.ordered(found, key)
    if json:
        print(as_json(found))
        return
    console().print(view.table(found, narrow=console().width < 100))  # noqa: PLR2004 - as wide as it is
    print(
        view.title(now) if len(found) == len(now.devices) else f"{len(found)} of {len(now.devices)} devices"
    )


@app.command()
def show(
    device: Annotated[str, typer.Argument(help="Its id.")],
    config: ConfigFile = DEFAULT_CONFIG,
    url: Url = "",
    key_file: KeyFile = "",
    ca: CaFile = "",
    json: AsJson = False,
) -> None:
    """Show everything about one device, its last decision's sentence included."""
    with _door(config, url, key_file, ca) as door:
        now = door.fleet()
    found = {one.device: one for one in now.devices}.get(device)
    if found is None:
        raise ValueError(f"there is no device {device!r}; `tidewatt fleet ls` lists them")
    print(as_json(found) if json else "\n".join(view.sentences(found)))


@app.command()
def top(
    config: ConfigFile = DEFAULT_CONFIG,
    url: Url = "",
    key_file: KeyFile = "",
    ca: CaFile = "",
    sort: Sort = "problem",
    every_s: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Watch the devices live; keys choose what they are sorted by, q ends it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ValueError("this needs a terminal; `tidewatt fleet ls` prints the same once")
    from tidewatt_coordinator.watching.top import watch  # noqa: PLC0415 - Windows has no terminals of this kind

    key = _key(sort)
    with _door(config, url, key_file, ca) as door:
        watch(door, every_s, key)


def _key(sort: str) -> str:
    for key, (name, _) in view.SORTS.items():
        if sort == name:
            return key
    raise ValueError(f"--sort {sort!r} is none of {', '.join(name for name, _ in view.SORTS.values())}")


@contextlib.contextmanager
def _door(config: Path, url: str, key_file: str, ca: str) -> Iterator[Door]:
    """The coordinator that is named, or that of the configuration."""
    door = Door(url or f"http://{_reachable(read_config(config).coordinator.listen)}", key_file, ca)
    try:
        yield door
    finally:
        door.close()


def _reachable(listen: str) -> str:
    """Where one asks somebody who listens everywhere."""
    host, _, port = listen.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]", "::") else listen  # noqa: S104 - read, not bound


def _last_known(config: Path) -> FleetNow:
    from tidewatt_coordinator.alerts.desk import desk  # noqa: PLC0415 - most often a coordinator answers
    from tidewatt_coordinator.rollout.roster import Roster  # noqa: PLC0415

    with desk(config) as at:
        fleet = at.config.coordinator.fleet
        known = Roster(at.ledger.engine, fleet).read()
    devices = [
        Device(
            device=one.device,
            status=one.status,
            labels=one.labels,
            policy_status=one.ack or None,
            policy_revision=one.revision or None,
        )
        for one in known
    ]
    online = sum(one.status == "online" for one in devices)
    return FleetNow(fleet=fleet, now_ms=at.now_ms, devices=devices, online=online)
