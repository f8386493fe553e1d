"""`tidewatt access`: keys for callers of REST and the page.

The commands work on the database of the configuration, whether the coordinator runs or not.
"""

import contextlib
import getpass
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tidewatt_coordinator.access.gate import now_ms
from tidewatt_coordinator.access.keys import Key, KeyBook
from tidewatt_coordinator.access.roles import ROLES, Role
from tidewatt_coordinator.command.printing import console
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_wire.topics import check_name

app = typer.Typer(help="Who may do what over REST and on the page.", no_args_is_help=True)
key_app = typer.Typer(help="Keys of callers: only their hash is kept.", no_args_is_help=True)
app.add_typer(key_app, name="key")

UNITS_MS = {"h": 3_600_000, "d": 86_400_000}
NEVER, LONGEST_DAYS = "never", 3650
LONGEST_NAME = 100

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@key_app.command()
def new(
    role: Annotated[str, typer.Option(help=f"What its bearer may: {', '.join(ROLES)}.")] = "viewer",
    name: Annotated[str, typer.Option(help="Whose, or what for; shown in lists and in the audit.")] = "",
    site: Annotated[
        list[str] | None, typer.Option(help="Bind it to this site; several may be given.")
    ] = None,
    valid: Annotated[str, typer.Option(help="For how long: 12h, 90d, never.")] = "90d",
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make a key. It is printed now and never again."""
    found = _role(role)
    for one in site or []:
        check_name(one, "--site")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(f"--name: at most {LONGEST_NAME} printable characters")
    lasts_ms = _lasts_ms(valid)
    with _keys(config) as keys:
        at_ms = now_ms()
        expires_ms = None if lasts_ms is None else at_ms + lasts_ms
        made, text = keys.make(
            found, at_ms, name=name, sites=tuple(site or ()), expires_ms=expires_ms, made_by=_me()
        )
        if as_json:
            print(json.dumps(_plain(made, at_ms) | {"key": text}))
        else:
            print(text)


@key_app.command("ls")
def list_keys(as_json: AsJson = False, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """List the keys, expired and revoked ones too."""
    with _keys(config) as keys:
        listed, at_ms = keys.listed(), now_ms()
    if as_json:
        print(json.dumps([_plain(one, at_ms) for one in listed]))
        return
    if not listed:
        print("there is no key; `tidewatt access key new` makes one")
        return
    shown = Table(box=None, pad_edge=False)
    for heading in ("id", "role", "sites", "name", "made", "expires", "last use", "state"):
        shown.add_column(heading, no_wrap=True)
    for one in listed:
        shown.add_row(
            one.id, one.role, ", ".join(one.sites) or "all", one.name or "-", _day(one.made_ms),
            _day(one.expires_ms) if one.expires_ms else NEVER, _day(one.used_ms), one.state(at_ms),
        )  # fmt: skip
    console().print(shown)


@key_app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="As `tidewatt access key ls` prints it.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Take a key out of use, at once, and end the sessions that were begun with it."""
    with _keys(config) as keys:
        gone = keys.revoke(key, now_ms())
        print(f"key {gone.id}{f' ({gone.name})' if gone.name else ''} is revoked")


@contextlib.contextmanager
def _keys(path: Path) -> Iterator[KeyBook]:
    config = read_config(path)
    ledger = Ledger(config.ledger.url, config.ledger.bucket_s * 1000)
    try:
        yield KeyBook(ledger.engine, config.coordinator.fleet)
    finally:
        ledger.close()


def _role(written: str) -> Role:
    for role in ROLES:
        if role == written:
            return role
    raise ValueError(f"--role {written!r} is none of {', '.join(ROLES)}")


def _lasts_ms(written: str) -> int | None:
    if written == NEVER:
        return None
    digits, unit = written[:-1], written[-1:]
    if not digits.isascii() or not digits.isdigit() or unit not in UNITS_MS or not int(digits):
        raise ValueError(f"--valid {written!r} is not like 12h, 90d or {NEVER}")
    lasts_ms = int(digits) * UNITS_MS[unit]
    if lasts_ms > LONGEST_DAYS * UNITS_MS["d"]:
        raise ValueError(f"--valid {written!r}: at most {LONGEST_DAYS}d, or {NEVER}")
    return lasts_ms


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _plain(key: Key, at_ms: int) -> dict[str, object]:
    return key._asdict() | {"state": key.state(at_ms)}


def _day(at_ms: int | None) -> str:
    if at_ms is None:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M")
