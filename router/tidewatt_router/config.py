"""The router's one TOML file: which proxy, which of its routes, where each backend of the fleet is in it."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from tidewatt_link.logs import Log
from tidewatt_router.routes import Backend, Route, backends_of
from tidewatt_wire.brokers import Credentials, parse_broker_url, wrong_credentials
from tidewatt_wire.documents import DocumentError, parse_toml
from tidewatt_wire.keys import trusted_key
from tidewatt_wire.topics import NAME_PATTERN, check_name

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]
#: What may stand in a proxy's configuration or on its command line: no space, quote, brace, semicolon.
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_UNIX = re.compile(r"unix:/[A-Za-z0-9._/-]+")
_VARIABLES = re.compile(r"(\$[a-z0-9_]+)+")
HIGHEST_PORT = 65535


class Router(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who this router is."""

    fleet: str = "default"
    """The fleet whose tables it follows."""
    name: str = ""
    """Among the fleet's routers, for the broker; empty means the host name."""
    tick_s: Seconds = 0.5
    """Seconds between looks at the clock: a table that expires is left that much later at the most."""
    verify_s: Seconds = 5.0
    """Seconds between looks at whether the proxy still does as it was told: restarted, it may not."""
    command_s: Seconds = 20.0
    """How long a command, or an answer of the proxy, may take."""


class Link(Credentials, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The MQTT 5 broker, and what is shown to it."""

    broker: str = ""
    """mqtt://host:port, mqtts:// (TLS), ws:// or wss:// (websockets); empty: the kept table holds."""
    policy_keys: list[str] = msgspec.field(default_factory=list)
    """Public keys that tables may be signed with, in base64, as `tidewatt keys list` prints them. With none
    here and none in the file every table is refused."""
    policy_keys_file: str = ""
    """More of them in a file, one a line, read anew for each table; empty means none."""


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What outlives the process."""

    folder: str = "/var/lib/tidewatt-router"
    """The last good table is kept here, so that a restart never goes back; empty keeps nothing."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The router's own Prometheus endpoint."""

    listen: str = "127.0.0.1:9751"
    """host:port; empty means none."""


class Nginx(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An nginx that includes a file which the router writes."""

    include: str
    """The file. Its folder must be writable to the router; nginx.conf includes it in its http block."""
    test: list[str] = msgspec.field(default_factory=lambda: ["nginx", "-t"])
    """Run before the reload; when it fails the last good file comes back. Empty: whoever reloads tests."""
    reload: list[str] = msgspec.field(default_factory=lambda: ["nginx", "-s", "reload"])
    """Has nginx read the file. Empty: somebody else does, a systemd path unit for example."""
    directives: list[str] = msgspec.field(default_factory=list)
    """Lines put into each upstream: ["keepalive 32;"]."""
    split_key: str = "$request_id"
    """Of routes over pools: requests are split by a hash of these variables."""


class Haproxy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An HAProxy with a runtime socket of level admin."""

    socket: str
    """Its path: /run/haproxy/admin.sock."""


class Envoy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An Envoy whose clusters take their endpoints from files: ROUTE.json for each route."""

    folder: str
    """Where a file for each route is written, ROUTE.json."""


class Gateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """HTTPRoutes of the Kubernetes Gateway API."""

    server: str = "https://kubernetes.default.svc"
    """The API server: https://host[:port], or http:// for `kubectl proxy`."""
    namespace: str = "default"
    """Of the HTTPRoutes."""
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    """Read anew for each request; empty means none."""
    ca: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    """PEM file of the CA of the server's certificate; empty means the system's CAs."""
    field_manager: str = "tidewatt-router"
    """As whom the routes' fields are owned."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    router: Router = Router()
    link: Link = Link()
    state: State = State()
    metrics: Metrics = Metrics()
    log: Log = Log()
    nginx: Nginx | None = None
    haproxy: Haproxy | None = None
    envoy: Envoy | None = None
    gateway: Gateway | None = None
    backend: list[Backend] = []
    route: list[Route] = []

    @property
    def name(self) -> str:
        """The router's name: as configured, else the host name."""
        return self.router.name or socket.gethostname().partition(".")[0]


class Address(NamedTuple):
    """A host and a TCP port."""

    host: str
    port: int


def host_port(text: str, key: str) -> Address:
    """From host:port; ValueError naming the key otherwise."""
    found = _HOST_PORT.fullmatch(text)
    if not found or not 0 < int(found[2]) <= HIGHEST_PORT:
        raise ValueError(f"{key} {text!r} is not host:port")
    return Address(found[1].strip("[]"), int(found[2]))


def parse_config(text: str, *, name: str, overrides: dict[str, str] | None = None) -> Config:
    """The configuration in `text`; DocumentError names what is wrong in file `name`."""
    config = parse_toml(text, Config, name=name, overrides=overrides)
    try:
        check_name(config.router.fleet, "router.fleet")
        check_name(config.name, "router.name")
        if config.link.broker:
            url = parse_broker_url(config.link.broker, "link.broker")
            for sentence in wrong_credentials(url, config.link, "link"):
                raise ValueError(sentence)  # noqa: TRY301 - the first will do
        for key in config.link.policy_keys:
            trusted_key(key)
        if config.metrics.listen:
            host_port(config.metrics.listen, "metrics.listen")
    except ValueError as error:
        raise DocumentError(f"{name}: {error}") from error
    if wrong := next(_wrong(config), None):
        raise DocumentError(f"{name}: {wrong}")
    return config


def kept_in(config: Config, name: str) -> Path | None:
    """Where something of that name outlives the process; None if nothing is kept."""
    return Path(config.state.folder, name) if config.state.folder else None


def _wrong(config: Config) -> Iterator[str]:
    """What no single field shows to be wrong, a sentence each."""
    yield from _wrong_backends(config)
    known = {backend.name for backend in config.backend}
    names = [route.name for route in config.route]
    for route in config.route:
        if not re.fullmatch(NAME_PATTERN, route.name) or names.count(route.name) > 1:
            yield f"route.name {route.name!r} is no name, or stands there twice"
        if not (mine := backends_of(route, config.backend)):
            yield f"route {route.name!r} has no backend: add a [[backend]] for each that the table may name"
        for name in [*route.backends, *([route.shed] if route.shed else [])]:
            if name not in known:
                yield f"route {route.name!r} names the backend {name!r}; there are {', '.join(sorted(known))}"
        if route.shed and mine == [route.shed]:
            yield f"route {route.name!r} has no backend but the one that it sheds to"
        if route.shed and route.shed not in mine:
            yield f"route {route.name!r} sheds to {route.shed!r}, which is none of its backends"
    if config.nginx and not _VARIABLES.fullmatch(config.nginx.split_key):
        yield f'nginx.split_key {config.nginx.split_key!r} is no variable; the usual one is "$request_id"'


def _wrong_backends(config: Config) -> Iterator[str]:
    names = [backend.name for backend in config.backend]
    by_address = config.envoy or (config.nginx and any(not route.pools for route in config.route))
    for backend in config.backend:
        if names.count(backend.name) > 1:
            yield f"backend {backend.name!r} stands there twice"
        for word in (backend.name, backend.server_name, backend.service_name):
            if not _WORD.fullmatch(word):
                yield f"backend {backend.name!r}: {word!r} has letters that no proxy's name has"
        if by_address or backend.address:
            unix = _UNIX.fullmatch(backend.address) and not config.envoy
            if not unix and not _HOST_PORT.fullmatch(backend.address):
                yield f"backend {backend.name!r}: address {backend.address!r} is not host:port"
