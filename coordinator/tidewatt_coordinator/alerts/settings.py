"""The [alerts] section of the coordinator's file: who is told, and how."""

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from tidewatt_wire.topics import check_name

LAST_PORT = 65_535
MQTT = "mqtt"
"""The name of the target that is the fleet's own broker."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An HTTP address that takes CloudEvents."""

    name: str
    """As alerts and the log call it."""
    url: str
    """Where alerts are posted to."""
    secret_file: str = ""
    """A file with the secret that events are signed with; empty: unsigned."""
    ca: str = ""
    """PEM file of the CAs to trust; empty: the usual ones."""


class Email(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """People, by way of an SMTP server."""

    name: str
    """As alerts and reports call it."""
    server: str
    """host:port, such as smtp.example:587."""
    sender: str
    """The address that it comes from."""
    to: list[str]
    """Whom it goes to."""
    tls: Literal["starttls", "tls", "none"] = "starttls"
    """STARTTLS (587), TLS from the first byte (465), or nothing at all, for a server on this machine."""
    user: str = ""
    """User at the mail server; empty: none is asked for."""
    password_file: str = ""
    """File whose first line is that user's password."""
    ca: str = ""
    """PEM file of the CAs to trust; empty: the usual ones."""


class Alerts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Budgets, anomalies, boards that oversleep, changes that went wrong: judged, and what is new is said."""

    every_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] = 900.0
    """Seconds between two looks at the costs."""
    mqtt: bool = True
    """Say it on the fleet's broker, retained, one topic for each alert."""
    webhook: list[Webhook] = []
    email: list[Email] = []

    @property
    def targets(self) -> list[str]:
        """The names of all that are told."""
        return [*([MQTT] if self.mqtt else []), *self.names]

    @property
    def names(self) -> list[str]:
        """The names of those that are configured."""
        return [*(one.name for one in self.webhook), *(one.name for one in self.email)]


def wrong_alerts(alerts: Alerts) -> Iterator[str]:
    """What no single key shows to be wrong, one sentence each."""
    names = [MQTT, *alerts.names]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"alerts: the name {name!r} stands there twice, or is the broker's"
    for hook in alerts.webhook:
        yield from _wrong_name(hook.name, "alerts.webhook.name")
        place = urlsplit(hook.url)
        if place.scheme not in ("http", "https") or not place.hostname:
            yield f"alerts.webhook.url {hook.url!r} is not an http:// or https:// address"
    for mail in alerts.email:
        yield from _wrong_name(mail.name, "alerts.email.name")
        host, _, port = mail.server.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and 0 < int(port) <= LAST_PORT):
            yield f"alerts.email.server {mail.server!r} is not host:port such as smtp.example:587"
        if not mail.to:
            yield f"alerts.email {mail.name}: `to` is empty"
        for address in (mail.sender, *mail.to):
            yield from wrong_address(address, f"alerts.email {mail.name}")
        if bool(mail.user) != bool(mail.password_file):
            given, missing = ("user", "password_file") if mail.user else ("password_file", "user")
            yield f"alerts.email {mail.name}: it has {given} and no {missing}"
        if mail.user and mail.tls == "none":
            yield f"alerts.email {mail.name}: a password is sent only over TLS"


def wrong_address(address: str, where: str) -> Iterator[str]:
    """A sentence naming `where` if it is no e-mail address."""
    if address.count("@") != 1 or any(sign.isspace() or sign in "<>," for sign in address):
        yield f"{where}: {address!r} is not an address such as ops@example.com"


def _wrong_name(name: str, where: str) -> Iterator[str]:
    try:
        check_name(name, where)
    except ValueError as error:
        yield str(error)
