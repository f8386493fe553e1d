"""The doctor's look at the link: the broker, the certificates and the files that are shown to it."""

import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from tidewatt_agent.config import Config, Link
from tidewatt_agent.finding import Finding, Level
from tidewatt_agent.sysfs.tree import Tree
from tidewatt_link.connection import CannotConnect, Connection, check_private, read_password, trusting
from tidewatt_wire.brokers import why_not
from tidewatt_wire.clock import Clock
from tidewatt_wire.units import MILLISECONDS_PER_SECOND

BROKER_TIMEOUT_S = 3.0
#: A certificate should be renewed when so much of its life is over.
RENEW_AFTER = 2 / 3
ALONE = "meanwhile the agent counts and decides alone"


def link_findings(config: Config, _tree: Tree, clock: Clock) -> Iterator[Finding]:
    """What there is to say of the link. Takes some seconds where the broker doesn't answer."""
    if not config.link.broker:
        yield Finding("link.broker", "ok", "none is named: the agent works alone")
        return
    connection = Connection(config.link.broker, config.link, setting="link.broker")
    if connection.url.tls:
        yield from _ca(config.link)
    if config.link.certificate:
        yield from _key(config.link)
        yield certificate_finding(config.link.certificate, clock.now_ms())
    if config.link.password_file:
        try:
            read_password(config.link.password_file, "link.password_file")
        except CannotConnect as error:
            yield Finding("link.password", "error", str(error), "put the password into its first line")
        else:
            yield Finding("link.password", "ok", "the password's file can be read, by nobody else")
    yield _broker(connection)


def certificate_finding(path: str, now_ms: int) -> Finding:
    """How long the certificate in a PEM file is still good."""
    what, renew = "link.certificate", "tidewatt-agent enroll --renew, or enroll anew"
    try:
        found = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except OSError as error:
        return Finding(what, "error", f"{path}: {error.strerror}", "enroll, or mend link.certificate")
    except ValueError:
        return Finding(what, "error", f"{path} holds no PEM certificate", "enroll, or mend link.certificate")
    now = dt.datetime.fromtimestamp(now_ms / MILLISECONDS_PER_SECOND, dt.timezone.utc)
    start, end = found.not_valid_before_utc, found.not_valid_after_utc
    if now >= end:
        return Finding(what, "error", f"{path} expired on {end:%Y-%m-%d %H:%M} UTC", renew)
    if now < start:
        return Finding(what, "error", f"{path} begins on {start:%Y-%m-%d %H:%M} UTC", "set the clock by NTP")
    level: Level = "warning" if now >= start + (end - start) * RENEW_AFTER else "ok"
    return Finding(
        what, level, f"{path} is good until {end:%Y-%m-%d}, {(end - now).days} days from now", renew
    )


def _ca(link: Link) -> Iterator[Finding]:
    try:
        trusting(link.ca, "link.ca")
    except CannotConnect as error:
        yield Finding("link.ca", "error", str(error), "name a PEM file that this user can read")
    else:
        yield Finding("link.ca", "ok", f"trusts {link.ca or 'the CAs of the system'}")


def _key(link: Link) -> Iterator[Finding]:
    path, setting = (link.key, "link.key") if link.key else (link.certificate, "link.certificate")
    try:
        check_private(path, setting)
    except CannotConnect as error:
        yield Finding("link.key", "error", str(error), f"chmod 600 {path}")
    else:
        yield Finding("link.key", "ok", f"{path} is closed to other users")


def _broker(connection: Connection) -> Finding:
    """Whether it answers, and proves who it is where it should. Nothing is sent to it."""
    where = (connection.url.host, connection.url.port)
    named = f"{where[0]}:{where[1]}"
    remedy = f"start the broker, or mend link.broker; {ALONE}"
    try:
        tls = connection.tls()
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(socket.create_connection(where, BROKER_TIMEOUT_S))
            if tls:
                stack.enter_context(tls.wrap_socket(plain, server_hostname=connection.url.host))
    except ssl.SSLError as error:
        return Finding("link.broker", "warning", why_not(str(error), connection.url, "link"), remedy)
    except CannotConnect as error:
        return Finding("link.broker", "warning", str(error), f"mend that file; {ALONE}")
    except OSError as error:
        return Finding("link.broker", "warning", f"{named}: {error.strerror or error}", remedy)
    return Finding("link.broker", "ok", f"{named} answers")
