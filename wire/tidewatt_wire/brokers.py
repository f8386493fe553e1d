"""Where a broker is, what is shown to it, and why it can't be had: the part that touches no file."""

import urllib.parse
from collections.abc import Iterator
from typing import Literal

import msgspec

Transport = Literal["tcp", "websockets"]

#: scheme: transport, whether TLS guards it, usual port.
SCHEMES: dict[str, tuple[Transport, bool, int]] = {
    "mqtt": ("tcp", False, 1883),
    "mqtts": ("tcp", True, 8883),
    "ws": ("websockets", False, 80),
    "wss": ("websockets", True, 443),
}
EXAMPLES = "mqtt://host:port, mqtts://, ws:// or wss://"


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is shown to the broker and asked of it: paths and names, never a secret itself."""

    ca: str = ""
    """PEM file of the CA that the broker's certificate must come from; empty means the system's CAs."""
    certificate: str = ""
    """PEM file of this side's certificate, its key perhaps in it; empty means that none is shown."""
    key: str = ""
    """PEM file of the certificate's key, which nobody else may read; empty means it is in `certificate`."""
    user: str = ""
    """User name for a broker that knows no certificates; empty means none."""
    password_file: str = ""
    """File whose first line is the user's password, which nobody else may read."""


class BrokerUrl(msgspec.Struct, frozen=True):
    """A broker's URL taken apart."""

    scheme: str
    host: str
    port: int
    path: str
    """Of the websocket; empty for plain MQTT."""

    @property
    def transport(self) -> Transport:
        """What carries the packets."""
        return SCHEMES[self.scheme][0]

    @property
    def tls(self) -> bool:
        """Whether TLS guards it."""
        return SCHEMES[self.scheme][1]

    def __str__(self) -> str:
        """Scheme, host and port: all that says where."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_broker_url(url: str, key: str) -> BrokerUrl:
    """The URL of the setting `key` taken apart; ValueError with one sentence, and no password, otherwise."""
    shown = "".join(url.rpartition("@")[1:]) if "@" in url else url
    try:
        parts = urllib.parse.urlsplit(url)
        (parts.hostname or "").encode("idna")
        port = parts.port
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{key} {shown!r} can't be used: {error}") from error
    if not url.isascii() or any(letter.isspace() or letter == "\0" for letter in url):
        raise ValueError(f"{key} {shown!r} has letters that no URL has; write them as %XX")
    if parts.scheme not in SCHEMES or not parts.hostname or port == 0:
        raise ValueError(f"{key} {shown!r} is not an {EXAMPLES} URL")
    if "@" in parts.netloc:
        section = key.rpartition(".")[0]
        raise ValueError(
            f"{key} {shown!r} names a user: set {section}.user, and {section}.password_file to a file"
        )
    transport, _, usual = SCHEMES[parts.scheme]
    if transport == "tcp" and parts.path not in ("", "/"):
        raise ValueError(f"{key} {shown!r} has a path, which only ws:// and wss:// can have")
    path = parts.path or "/mqtt" if transport == "websockets" else ""
    query = f"?{parts.query}" if parts.query and path else ""
    return BrokerUrl(parts.scheme, parts.hostname, port or usual, path + query)


def wrong_credentials(url: BrokerUrl, shown: Credentials, section: str) -> Iterator[str]:
    """What no single key shows to be wrong, a sentence each; `section` is the keys' table."""
    if (shown.ca or shown.certificate) and not url.tls:
        secured = {"mqtt": "mqtts", "ws": "wss"}[url.scheme]
        yield f"{section}.ca and {section}.certificate need TLS: write {secured}:// in place of {url.scheme}://"
    if shown.key and not shown.certificate:
        yield f"{section}.key is set without {section}.certificate"
    if bool(shown.user) != bool(shown.password_file):
        yield f"{section}.user and {section}.password_file belong together: one is empty"


#: What the TLS library says, and what it means here. The first that fits holds.
_MEANINGS: tuple[tuple[str, str], ...] = (
    ("Hostname mismatch", "its certificate is for another host name than {host}"),
    ("IP address mismatch", "its certificate is for another address than {host}"),
    (
        "certificate verify failed: certificate has expired",
        "its certificate has expired, or this machine's clock is wrong",
    ),
    ("certificate is not yet valid", "its certificate is not yet valid: this machine's clock is behind"),
    ("certificate verify failed", "its certificate is not from the CA in {section}.ca (empty: the system's)"),
    ("alert certificate required", "it asks for a certificate: set {section}.certificate"),
    ("alert certificate revoked", "it refused our certificate, which has been revoked"),
    ("alert certificate expired", "it refused our certificate, which has expired"),
    ("alert unknown ca", "it refused our certificate: it doesn't know the CA that made it"),
    ("alert unsupported certificate", "it refused our certificate, which is not one for clients"),
    ("alert bad certificate", "it refused our certificate"),
    ("alert protocol version", "it speaks no TLS version that we accept (1.2 or later)"),
    ("alert", "it refused the TLS connection ({why})"),
    ("WRONG_VERSION_NUMBER", "what answers there speaks no TLS"),
    ("RECORD_LAYER_FAILURE", "what answers there speaks no TLS"),
    ("Not authorized", "it refused us: not authorised"),
    ("Bad user name or password", "it refused {section}.user and its password"),
    ("timed out", "nothing there answers as an MQTT broker by {scheme}://"),
    ("Connection reset", "nothing there answers as an MQTT broker by {scheme}://"),
    ("WebSocket handshake error", "what answers there speaks no MQTT over websockets"),
)


def why_not(why: str, url: BrokerUrl, section: str) -> str:
    """One sentence for a connection that failed with a library's words; `section` is the keys' table."""
    for words, meaning in _MEANINGS:
        if words.lower() in why.lower():
            said = meaning.format(host=url.host, scheme=url.scheme, section=section, why=why)
            break
    else:
        said = why
    return f"broker {url}: {said}"
