"""`tidewatt enroll`: the fleet's CA, its certificates, tokens and revocations.

The commands work on the folder and the database of the configuration, whether the coordinator runs or not.
"""

import base64
import contextlib
import re
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from tidewatt_coordinator.audit.store import Trail
from tidewatt_coordinator.command.printing import AsJson, as_json
from tidewatt_coordinator.config import Config, host_port
from tidewatt_coordinator.configfile import DEFAULT_CONFIG, ConfigFile, read_config
from tidewatt_coordinator.ledger.store import Ledger
from tidewatt_coordinator.pki.certificates import (
    Kind,
    key_pem,
    new_authority,
    new_certificate,
    new_key,
    pem,
)
from tidewatt_coordinator.pki.folder import CA_CERTIFICATE, REVOKED, Folder
from tidewatt_coordinator.pki.issuing import at, write_revocation_list
from tidewatt_coordinator.pki.register import Register
from tidewatt_wire.enrolment import (
    COORDINATOR,
    ROUTER,
    check_device_name,
    fingerprint,
    is_coordinator,
    is_router,
)
from tidewatt_wire.units import MILLISECONDS_PER_SECOND

app = typer.Typer(help="Certificates for devices: the fleet's CA, tokens, revocation.", no_args_is_help=True)

UNITS_S = {"m": 60, "h": 3600, "d": 86_400}
LONGEST_TOKEN_S = 30 * 86_400
TOKEN_BYTES = 20


class _Desk(NamedTuple):
    config: Config
    folder: Folder
    register: Register
    now_ms: int
    ledger: Ledger


@app.command("ca")
def make_ca(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Make the fleet's CA, once, and an empty revocation list."""
    with _desk(config) as desk:
        desk.folder.begin(new_authority(desk.config.coordinator.fleet, at(desk.now_ms)))
        Trail(desk.ledger.engine).record(
            "certificate authority", desk.config.coordinator.fleet, after=_fingerprint(desk.folder)
        )
        write_revocation_list(desk.folder, desk.register, desk.now_ms)
        print(f"{desk.folder.path}: the CA of fleet {desk.config.coordinator.fleet}")
        print(f"its SHA-256 fingerprint: {_fingerprint(desk.folder)}")
        print("keep a copy of this folder in a safe place: without it no device can be enrolled or revoked")


@app.command()
def broker(
    names: Annotated[list[str], typer.Argument(help="Host names and addresses of the broker.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make the broker's server certificate and key."""
    for name in names:
        _check_host(name)
    with _desk(config) as desk:
        certificate, key = _issue(desk, "server", names)
        made = desk.folder.write("broker.crt", certificate, 0o644)
        kept = desk.folder.write("broker.key", key, 0o600)
        print(f"{made} and {kept}: copy both to the broker, with")
        print(f"{desk.folder.path / CA_CERTIFICATE} and {desk.folder.path / REVOKED}")


@app.command()
def coordinator(
    name: Annotated[str, typer.Option(help="One for each coordinator: coordinator-east.")] = COORDINATOR,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make the coordinator's client certificate, its key in the same file."""
    if not is_coordinator(name):
        raise ValueError(f"--name {name!r}: it is {COORDINATOR!r} or begins with '{COORDINATOR}-'")
    with _desk(config) as desk:
        certificate, key = _issue(desk, "coordinator", [name])
        made = desk.folder.write(f"{name}.pem", certificate + key, 0o600)
        print(f'[broker]\nca = "{desk.folder.path / CA_CERTIFICATE}"\ncertificate = "{made}"')


@app.command()
def router(
    name: Annotated[str, typer.Option(help="One for each router: router-east.")] = ROUTER,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make a router's client certificate, its key in the same file; the broker's ACL must name it."""
    if not is_router(name):
        raise ValueError(f"--name {name!r}: it is {ROUTER!r} or begins with '{ROUTER}-'")
    with _desk(config) as desk:
        certificate, key = _issue(desk, "router", [name])
        made = desk.folder.write(f"{name}.pem", certificate + key, 0o600)
        print(f'[link]\nca = "{desk.folder.path / CA_CERTIFICATE}"\ncertificate = "{made}"')


@app.command()
def token(
    device: Annotated[str | None, typer.Option(help="The one device that it is for.")] = None,
    valid: Annotated[str, typer.Option(help="For how long: 30m, 1h, 7d.")] = "1h",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make a token that enrols one device, once. It is shown now and never again."""
    seconds = _seconds(valid)
    if device is not None:
        check_device_name(device)
    with _desk(config) as desk:
        command = f"tidewatt-agent enroll {_door(desk.config)}"
        shown = f"--ca-fingerprint {_fingerprint(desk.folder)}"
        # Letters that are read aloud and copied without mistakes.
        made = base64.b32encode(secrets.token_bytes(TOKEN_BYTES)).decode()
        desk.register.promise(made, device, desk.now_ms, desk.now_ms + seconds * MILLISECONDS_PER_SECOND)
        print(f"{command} --token {made} {shown}")


@app.command("list")
def list_all(config: ConfigFile = DEFAULT_CONFIG, json: AsJson = False) -> None:
    """List certificates, and tokens that are still good."""
    with _desk(config) as desk:
        if json:
            held = {"certificates": desk.register.issued(), "tokens": desk.register.open_tokens(desk.now_ms)}
            print(as_json(held))
            return
        for one in desk.register.issued():
            if one.revoked_ms is not None:
                state = f"revoked {at(one.revoked_ms):%Y-%m-%d %H:%M}"
            else:
                state = "expired" if one.not_after_ms <= desk.now_ms else "good"
            print(f"{one.name:32} {one.kind:12} until {at(one.not_after_ms):%Y-%m-%d %H:%M}  {state}")
        for promise in desk.register.open_tokens(desk.now_ms):
            until = f"{at(promise.expires_ms):%Y-%m-%d %H:%M}"
            print(f"{promise.device or '(any)':32} {'token':12} until {until}")


@app.command()
def revoke(
    name: Annotated[str, typer.Argument(help="A device's id, or the name of another certificate.")],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Revoke what a device holds, and write the list for the broker."""
    with _desk(config) as desk:
        gone = desk.register.revoke(name, desk.now_ms)
        # Written even if there was nothing: a list that was lost comes back.
        write_revocation_list(desk.folder, desk.register, desk.now_ms)
        if not gone:
            raise ValueError(f"{name!r} holds nothing that could be revoked; see `tidewatt enroll list`")
        print(f"{name}: revoked certificates: {gone}; {desk.folder.path / REVOKED} is written")
        print("the broker reads it when told to (SIGHUP: systemctl reload mosquitto), and ends no open")
        print("connection: restart it if the device must go at once")


@contextlib.contextmanager
def _desk(path: Path) -> Iterator[_Desk]:
    config = read_config(path)
    ledger = Ledger(config.ledger.url, config.ledger.bucket_s * 1000)
    try:
        now_ms = round(time.time() * MILLISECONDS_PER_SECOND)
        yield _Desk(config, Folder(config.enroll.folder), Register(ledger.engine), now_ms, ledger)
    finally:
        ledger.close()


def _issue(desk: _Desk, kind: Kind, names: list[str]) -> tuple[bytes, bytes]:
    key = new_key()
    authority, days = desk.folder.authority(), desk.config.enroll.server_days
    certificate = new_certificate(authority, kind, names, key.public_key(), at(desk.now_ms), days)
    desk.register.add(certificate, kind, desk.now_ms)
    return pem(certificate), key_pem(key)


def _fingerprint(folder: Folder) -> str:
    return fingerprint(folder.authority().certificate.public_bytes(Encoding.DER))


def _door(config: Config) -> str:
    """Where devices find the door, as far as the configuration says."""
    if not config.enroll.listen:
        raise ValueError(
            "enroll.listen is empty: no coordinator would answer; set it to host:port, e.g. 0.0.0.0:8443"
        )
    name = (config.enroll.names or [socket.getfqdn()])[0]
    return f"https://{f'[{name}]' if ':' in name else name}:{host_port(config.enroll.listen)[1]}"


def _seconds(valid: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})([mhd])", valid)
    seconds = int(found[1]) * UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_TOKEN_S:
        raise ValueError(f"--valid {valid!r} is no time between 1m and 30d; write 30m, 1h or 7d")
    return seconds


def _check_host(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9:._*-]{1,64}", name):
        raise ValueError(f"{name!r} is neither a host name nor an address; write broker.example or 192.0.2.7")
