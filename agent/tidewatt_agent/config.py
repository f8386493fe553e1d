"""The agent's one TOML file: few keys, each with unit, default and reason."""

import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from tidewatt_governor.boards import is_file, shipped_profiles
from tidewatt_link.logs import Log
from tidewatt_wire.brokers import Credentials, parse_broker_url, wrong_credentials
from tidewatt_wire.clock import Timebase
from tidewatt_wire.documents import DocumentError, parse_toml
from tidewatt_wire.keys import trusted_key
from tidewatt_wire.topics import check_name

#: A day without a broker comes back in little over an hour, and 10,000 devices that come back together
#: send 20,000 reports a second, about half of what one Mosquitto takes.
REPLAY_PER_S = 2.0
DEFAULT_HTTPS_PORT = 443

#: The board's profile, or its reader, is chosen by looking at the board.
AUTO = "auto"

#: The last good policy set, in the state folder.
POLICY_FILE = "policy.json"

#: The actuator puts the board back after 30 s without a word.
LONGEST_TICK_S = 10.0
#: Names that are everybody's.
TELL_NOTHING = ("default", "localhost", "127.0.0.1", "[::1]", "0.0.0.0")  # noqa: S104 - nothing is bound

Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]


class Agent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who this agent is and how often it works."""

    fleet: str = "default"
    """The fleet that it belongs to, as the coordinator names it."""
    device: str = ""
    """Empty means the host name."""
    control: Literal["observe", "enforce"] = "observe"
    """Observe says what it would do and changes nothing: the default until enabled."""
    tick_s: Seconds = 1.0
    """Seconds between decisions."""
    report_s: Seconds = 10.0
    """Seconds between reports to the coordinator."""
    gap_s: Seconds = 10.0
    """A silence of the power reading longer than this is counted as unmeasured, never filled."""


class Board(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which board this is and how its mode is set."""

    profile: str = "auto"
    """Operating points: a shipped board profile, "auto" for the one that the device tree names, or the path
    of a profile (.toml) that `tidewatt-agent calibrate` wrote.
    A board without one is measured, not governed."""
    actuator_socket: str = ""
    """Unix socket that takes mode changes; empty means this board can only be observed."""
    power_gain: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0
    """Calibration to a wall meter: watts = power_gain x read + power_offset_w."""
    power_offset_w: Annotated[float, msgspec.Meta(ge=-1000, le=1000)] = 0.0
    """Watts that are added after that."""


class Reader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the board's sensors are read."""

    kind: Literal["auto", "sysfs", "tegrastats", "jtop"] = "auto"
    """Auto takes sysfs where it can see everything needed, else tegrastats; jtop only if chosen."""
    interval_s: Annotated[float, msgspec.Meta(ge=0.01, le=3600)] = 1.0
    """Seconds between readings."""
    root: str = "/"
    """Where /sys, /proc and /etc are; in a container, where the host's are mounted."""


class Tegrastats(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """NVIDIA's program."""

    command: list[str] = msgspec.field(default_factory=lambda: ["tegrastats"])
    """Started once, with --interval; never with --stop, which would end other people's."""


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an application counts its requests. Several are summed; none means the load is not known."""

    url: str
    """For example http://127.0.0.1:8000/metrics."""
    kind: Literal["prometheus", "triton", "vllm", "nginx"] = "prometheus"
    """What answers: any Prometheus page by the names below, or a server whose names are known."""
    counter: str = "akidb_requests_total"
    """Counter of requests, as the page names it."""
    histogram: str = "akidb_request_seconds"
    """Latency histogram in seconds, without the _bucket suffix; empty means none."""
    labels: dict[str, str] = {}
    """Only series that carry all of these labels are summed."""
    timeout_s: Seconds = 2.0
    """How long the page may take to answer."""


class Link(Credentials, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The MQTT 5 broker, and what is shown to it."""

    broker: str = ""
    """mqtt://host:port, mqtts:// (TLS), ws:// or wss:// (websockets); empty means the agent works alone."""
    renew: str = ""
    """https://host:port of the coordinator that renews the certificate; empty means somebody else does."""
    policy_keys: list[str] = msgspec.field(default_factory=list)
    """Public keys that policy sets may be signed with, in base64, as `tidewatt keys list` prints them. With
    none here and none in the file every policy set is refused; a set may bring newer ones."""
    policy_keys_file: str = ""
    """More of them in a file, one a line; empty means none."""
    spread_s: Annotated[float, msgspec.Meta(ge=0.1, le=600)] = 10.0
    """A lost connection is sought again at a moment of so many seconds, of twice as many after each failure,
    up to 30, so that a fleet doesn't meet its broker all at once. Reports wait meanwhile."""


class Spool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reports that could not be sent, in a file of the state folder; without that, in memory only."""

    max_mb: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 16
    """Megabytes of the file. 16 hold nearly two days at a report every 10 s; beyond that every second of the
    oldest half is given up, again and again: weeks, ever coarser, with exact totals."""
    replay_per_s: Annotated[float, msgspec.Meta(ge=0.01, le=1000)] = REPLAY_PER_S
    """Kept reports sent per second, behind the fresh ones. A day's take little over an hour."""


class Lease(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Floors that applications of this board may hold."""

    socket: str = ""
    """Unix socket for `tidewatt-agent hold` and programs; empty means none."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The agent's own Prometheus endpoint."""

    listen: str = "127.0.0.1:9750"
    """host:port; empty means none."""
    address: str = ""
    """host:port by which Prometheus reaches it, told to the fleet; empty means `listen`, with the host name
    where that is every address, and nothing where only this machine reaches it."""


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What outlives the process."""

    folder: str = "/var/lib/tidewatt/agent"
    """Counters are kept here, so that no joule is lost or counted twice; empty keeps nothing."""
    every_s: Seconds = 10.0
    """They are written at least this often: a power cut loses that much, a card wears by it."""


class Journal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every tick as one JSON line, for `tidewatt-agent replay`."""

    path: str = ""
    """Empty means none."""


class Sleep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs on this board around its sleep. Whether it sleeps is the policy's word, and its actuator's
    (--allow-sleep), and its qualification's.
    """

    health: list[str] = []
    """Command that is good when GPU and application work, for example one inference; needed to qualify."""
    application: list[str] = []
    """Command that prints which application this is: ["dpkg-query", "-W", "my-service"]. When its output
    changes the board has to be qualified again; empty means it is not told apart."""
    before: list[str] = []
    """Command before falling asleep, which drains the application; if it fails the board stays awake."""
    after: list[str] = []
    """Command after waking: restart or warm the application."""
    hook_s: Seconds = 60.0
    """How long each of the two may take."""
    health_s: Seconds = 30.0
    """How long the health command may take."""
    ready_s: Seconds = 120.0
    """How long the network, the application and the health command may need after waking."""
    late_s: Seconds = 30.0
    """A board that wakes so long after its alarm has failed."""
    quiet_s: Seconds = 10.0
    """No request for this long comes before a nap."""
    wake_to: list[str] = msgspec.field(default_factory=lambda: ["255.255.255.255:9"])
    """Where packets that wake neighbours are sent, if the policy allows it: the broadcast addresses of the
    board's segments, as host:port."""
    in_flight: str = ""
    """Gauge on the applications' pages of the requests being served, 0 before a nap; empty means none."""


class Forecast(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The forecaster, which may only raise capacity early; needs the package tidewatt-agent-forecast."""

    model: str = ""
    """"shipped" for the model that comes with the governor, a path to an .onnx file; empty means none."""
    zone: str = "UTC"
    """Time zone of the people whose traffic it is: Europe/Berlin. Habits follow their clock."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    agent: Agent = Agent()
    labels: dict[str, str] = {}
    """What policies and sites tell devices apart by: site, board, role, whatever you like."""
    board: Board = Board()
    reader: Reader = Reader()
    tegrastats: Tegrastats = msgspec.field(default_factory=Tegrastats)
    load: list[Load] = []
    link: Link = Link()
    spool: Spool = Spool()
    lease: Lease = Lease()
    metrics: Metrics = Metrics()
    log: Log = Log()
    state: State = State()
    journal: Journal = Journal()
    forecast: Forecast = Forecast()
    sleep: Sleep = msgspec.field(default_factory=Sleep)
    clock: Timebase | None = None
    """A virtual timebase, for simulated boards only."""

    @property
    def device(self) -> str:
        """The device's id: as configured, else the host name."""
        return self.agent.device or socket.gethostname().partition(".")[0]

    def without_secrets(self) -> "Config":
        """The same without user names, passwords and tokens in URLs, and without labels."""
        loads = [msgspec.structs.replace(load, url=without_user(load.url), labels={}) for load in self.load]
        link = msgspec.structs.replace(
            self.link, broker=without_user(self.link.broker), renew=without_user(self.link.renew), user=""
        )
        tegrastats = msgspec.structs.replace(self.tegrastats, command=self.tegrastats.command[:1])
        commands = {
            name: getattr(self.sleep, name)[:1] for name in ("health", "application", "before", "after")
        }
        sleep = msgspec.structs.replace(self.sleep, **commands)
        return msgspec.structs.replace(
            self, labels={}, load=loads, link=link, tegrastats=tegrastats, sleep=sleep
        )

    def private_words(self) -> list[str]:
        """What names the site: device, fleet, labels, and hosts other than this one."""
        urls = [self.link.broker, self.link.renew, *(load.url for load in self.load)]
        hosts = [urllib.parse.urlsplit(url).hostname or "" for url in urls]
        hosts += [place.rpartition(":")[0] for place in (self.metrics.listen, self.metrics.address)]
        words = [self.agent.device, self.agent.fleet, *self.labels.values(), *hosts]
        return [word for word in words if word and word not in TELL_NOTHING]


def parse_config(text: str, *, name: str, overrides: dict[str, str] | None = None) -> Config:
    """The configuration in `text`; DocumentError names what is wrong in file `name`."""
    config = parse_toml(text, Config, name=name, overrides=overrides)
    try:
        check_name(config.agent.fleet, "agent.fleet")
        check_name(config.device, "agent.device")
    except ValueError as error:
        raise DocumentError(f"{name}: {error}") from error
    if wrong := next(_wrong(config), None):
        raise DocumentError(f"{name}: {wrong}")
    return config


def _wrong(config: Config) -> Iterator[str]:
    """What no single field shows to be wrong, a sentence each."""
    profile = config.board.profile
    if profile not in (AUTO, *shipped_profiles()) and not is_file(profile):
        known = ", ".join((AUTO, *shipped_profiles()))
        yield f"board.profile {profile!r} is unknown; there are {known}, or name a file that ends in .toml"
    reader, longest_s = config.reader, config.agent.gap_s / 2
    if reader.interval_s > longest_s and config.clock is None:
        yield (
            f"reader.interval_s = {reader.interval_s:g} leaves every reading in a gap; "
            f"with agent.gap_s = {config.agent.gap_s:g} it is at most {longest_s:g}"
        )
    if not reader.root.startswith("/") or "\0" in reader.root:
        yield f'reader.root {reader.root!r} is no absolute path; the usual one is "/"'
    if config.agent.control == "enforce" and not config.board.actuator_socket:
        yield 'agent.control = "enforce" needs board.actuator_socket'
    if config.board.actuator_socket and config.agent.tick_s > LONGEST_TICK_S and config.clock is None:
        yield (
            f"agent.tick_s = {config.agent.tick_s:g} is too long with an actuator, which takes silence for "
            f"death; at most {LONGEST_TICK_S:g}"
        )
    if not config.tegrastats.command or not config.tegrastats.command[0]:
        yield "tegrastats.command is empty; the usual one is ['tegrastats']"
    if config.forecast.model not in ("", "shipped") and not config.forecast.model.endswith(".onnx"):
        yield f'forecast.model {config.forecast.model!r} is neither "shipped" nor a path to an .onnx file'
    try:
        ZoneInfo(config.forecast.zone)
    except (KeyError, ValueError, OSError):  # not found; not a name at all; a folder
        yield f"forecast.zone {config.forecast.zone!r} is no time zone known here; one is Europe/Berlin"
    yield from _wrong_addresses(config)


def _wrong_addresses(config: Config) -> Iterator[str]:
    try:
        if config.link.broker:
            yield from wrong_credentials(
                parse_broker_url(config.link.broker, "link.broker"), config.link, "link"
            )
        if config.link.renew:
            https_url(config.link.renew, "link.renew")
            if config.link.key or not config.link.certificate:
                yield "link.renew needs link.certificate with the key in the same file: leave link.key empty"
        for key in config.link.policy_keys:
            trusted_key(key)
        if config.metrics.listen:
            host_port(config.metrics.listen)
        if config.metrics.address:
            host_port(config.metrics.address, "metrics.address")
        for load in config.load:
            http_url(load.url)
        for place in config.sleep.wake_to:
            host_port(place)
    except ValueError as error:
        yield str(error)


def without_user(url: str) -> str:
    """The URL's scheme, host and port: all that says where, and nothing that may be a secret."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if url else ""


def kept_in(config: Config, name: str) -> Path | None:
    """Where something of that name outlives the process; None if nothing is kept."""
    return Path(config.state.folder, name) if config.state.folder else None


class Address(NamedTuple):
    """A host and a TCP port."""

    host: str
    port: int


def _split(url: str, key: str) -> urllib.parse.SplitResult:
    """The parts of a URL that can be asked for; ValueError naming the key otherwise."""
    try:
        parts = urllib.parse.urlsplit(url)
        (parts.hostname or "").encode("idna")
        _ = parts.port
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{key} {url!r} can't be used: {error}") from error
    if not url.isascii() or any(letter.isspace() or letter == "\0" for letter in url):
        raise ValueError(f"{key} {url!r} has letters that no URL has; write them as %XX")
    return parts


def host_port(listen: str, key: str = "metrics.listen") -> Address:
    """From host:port; ValueError naming the key otherwise."""
    host, _, port = listen.rpartition(":")
    digits = port.isascii() and port.isdigit()
    if not host or not digits or not 0 < int(port) < 65536:  # noqa: PLR2004 - TCP ports
        raise ValueError(f"{key} {listen!r} is not host:port")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def http_url(url: str, key: str = "load.url", scheme: str = "http") -> urllib.parse.SplitResult:
    """The parts of an http:// URL; ValueError naming the key otherwise."""
    parts = _split(url, key)
    if parts.scheme != scheme or not parts.hostname or parts.port == 0:
        raise ValueError(f"{key} {url!r} is not an {scheme}:// URL")
    return parts


def https_url(url: str, key: str) -> Address:
    """From https://host[:port]; ValueError naming the key otherwise."""
    parts = http_url(url, key, "https")
    if parts.path not in ("", "/") or parts.query or "@" in parts.netloc:
        raise ValueError(f"{key} {without_user(url)!r} is more than https://host:port")
    return Address(parts.hostname or "", parts.port or DEFAULT_HTTPS_PORT)
