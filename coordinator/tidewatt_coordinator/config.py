"""The coordinator's one TOML file: few keys, each with unit, default and reason."""

import socket
from typing import Annotated, Literal

import msgspec

from tidewatt_coordinator.access.settings import Access, Web, wrong_access
from tidewatt_coordinator.alerts.settings import Alerts, wrong_alerts
from tidewatt_coordinator.anomalies.settings import Anomalies, wrong_anomalies
from tidewatt_coordinator.budgets.settings import Budget, wrong_budgets
from tidewatt_coordinator.costs.checks import wrong_costs
from tidewatt_coordinator.costs.settings import Costs
from tidewatt_coordinator.hinting.settings import Planning
from tidewatt_coordinator.levers.settings import Levers, wrong_levers
from tidewatt_coordinator.observing.settings import Log, Tracing, wrong_tracing
from tidewatt_coordinator.reports.settings import Reports, wrong_reports
from tidewatt_coordinator.sla.objectives import Service, wrong_sla
from tidewatt_coordinator.steering.settings import Dispatch, wrong_dispatch
from tidewatt_coordinator.web.settings import Rest
from tidewatt_wire.brokers import Credentials, parse_broker_url, wrong_credentials
from tidewatt_wire.clock import Timebase
from tidewatt_wire.documents import DocumentError, parse_toml
from tidewatt_wire.messages import Rule
from tidewatt_wire.topics import check_name

Seconds = Annotated[float, msgspec.Meta(gt=0, le=31_536_000)]


class Coordinator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which fleet, and where people look at it."""

    fleet: str = "default"
    """The fleet that it keeps, as its agents name it."""
    listen: str = "127.0.0.1:8080"
    """host:port of the REST API and the page."""
    name: str = ""
    """This coordinator's among those of one fleet, by which the broker knows it; empty: the host name."""
    lease_s: Annotated[float, msgspec.Meta(ge=2, le=3600)] = 10.0
    """Of several coordinators one publishes; another takes over this many seconds after it died."""
    replicas: Literal["all", "share"] = "all"
    """What each of several hears of the reports: all of them, or its share, which the broker deals out; for
    that the ledger must be PostgreSQL, and each have a name of its own."""

    @property
    def called(self) -> str:
        """The name, or the host's."""
        return self.name or socket.gethostname().partition(".")[0]


class Broker(Credentials, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The MQTT 5 broker, and what is shown to it."""

    url: str = ""
    """mqtt://host:port, mqtts:// (TLS), ws:// or wss:// (websockets) of an external broker; empty starts the
    embedded one, for laptops and demos only."""
    embedded_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    """The embedded broker listens here, on 127.0.0.1 only."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where energy, requests and money are kept."""

    url: str = "sqlite:///tidewatt.db"
    """SQLAlchemy URL: sqlite:///FILE, or postgresql+psycopg://USER@HOST/DATABASE for several coordinators."""
    bucket_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 300
    """Length of a time bucket in seconds. Fixed for the life of a ledger."""
    tariff: str = ""
    """Electricity price file; empty means the shipped flat one."""
    keep_days: Annotated[int, msgspec.Meta(ge=3, le=400)] = 35
    """Days for which buckets are kept; their hours and days are kept for ever."""
    hours_folder: str = ""
    """Where a copy of the hours is kept as Parquet, for questions of any kind; empty means none."""


class Enroll(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fleet's own CA, and the door where devices get certificates from it."""

    listen: str = ""
    """host:port of the HTTPS door; empty means none, for fleets with a PKI of their own."""
    folder: str = "pki"
    """Where the CA's key, certificates and the revocation list are; keep a copy in a safe place."""
    names: list[str] = []
    """Host names and addresses by which devices reach the door; empty means this machine's host name."""
    broker: str = ""
    """The broker's URL as devices are told it; empty means broker.url."""
    device_days: Annotated[int, msgspec.Meta(ge=1, le=825)] = 90
    """Days a device's certificate is good for; it is renewed after two thirds of them."""
    server_days: Annotated[int, msgspec.Meta(ge=1, le=825)] = 365
    """Days for the certificates of the broker, the coordinator and the door."""


class Sleep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which words of boards on their sleep are believed. Whether they may sleep is their policy's to say."""

    words: Literal["auto", "signed", "any"] = "auto"
    """auto: only signed ones where the CA of the boards is known, else any; signed: only signed ones; any:
    unsigned ones, too, for as long as there are agents that don't sign yet. A signature that is there must be
    good in any case, where the CA is known."""
    ca: str = ""
    """PEM file of the CAs that issue boards' certificates; empty: that of enroll.folder where enroll.listen
    is set, else broker.ca where broker.certificate is set, else none is known."""
    revoked: str = ""
    """PEM file of those CAs' revocation list, read anew every half minute; empty: enroll.folder's, if it is
    there. What `tidewatt enroll revoke` revoked is known from the ledger without it."""


class PolicyKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What policy sets are signed with."""

    folder: str = "policy-keys"
    """Where `tidewatt keys` keeps the private keys; without one no policy is published. Several coordinators
    need the same ones."""


class Models(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Forecast models that devices can have."""

    folder: str = "models"
    """Where `tidewatt model` keeps them."""


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price book of cloud services."""

    folder: str = ""
    """Your own tables, which come before the shipped ones; empty means none."""
    warn_days: Annotated[int, msgspec.Meta(ge=1)] = 180
    """Days after which `tidewatt prices check` calls a table old: list prices move a few times a year."""


class Edge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the edge costs: sites with their electricity, fees and hardware."""

    sites: str = ""
    """TOML file of sites; empty means every device pays ledger.tariff and nothing else."""


class Carbon(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How dirty the electricity is. Without keys the shipped yearly averages are used."""

    electricity_maps_key_file: str = ""
    """File with the API key of Electricity Maps (average intensity); empty means not asked."""
    electricity_maps_url: str = "https://api.electricitymaps.com/v3"
    """Where it is asked, if through a gateway of your own."""
    watttime_user: str = ""
    """User name at WattTime (marginal intensity); empty means not asked."""
    watttime_password_file: str = ""
    """File with that user's password."""
    watttime_url: str = "https://api.watttime.org"
    """Where it is asked, if through a gateway of your own."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    coordinator: Coordinator = Coordinator()
    web: Web = msgspec.field(default_factory=Web)
    access: Access = msgspec.field(default_factory=Access)
    rest: Rest = Rest()
    broker: Broker = Broker()
    ledger: Ledger = Ledger()
    dispatch: Dispatch = msgspec.field(default_factory=Dispatch)
    planning: Planning = Planning()
    enroll: Enroll = msgspec.field(default_factory=Enroll)
    sleep: Sleep = Sleep()
    policy_keys: PolicyKeys = PolicyKeys()
    models: Models = Models()
    costs: Costs = msgspec.field(default_factory=Costs)
    prices: Prices = Prices()
    edge: Edge = Edge()
    carbon: Carbon = Carbon()
    budgets: list[Budget] = []
    """What may be spent in a month."""
    anomalies: Anomalies = Anomalies()
    alerts: Alerts = msgspec.field(default_factory=Alerts)
    reports: Reports = msgspec.field(default_factory=Reports)
    log: Log = Log()
    tracing: Tracing = Tracing()
    levers: Levers = msgspec.field(default_factory=Levers)
    sla: list[Service] = []
    """What services promise: no change is begun that would break it, and none kept that did."""
    policy: list[Rule] = msgspec.field(default_factory=lambda: [Rule()])
    """Ordered rules; the first whose labels match a device holds for it."""
    clock: Timebase | None = None
    """A virtual timebase, for simulated fleets only."""


def parse_config(text: str, *, name: str, overrides: dict[str, str] | None = None) -> Config:
    """The configuration in `text`; DocumentError names what is wrong in file `name`."""
    config = parse_toml(text, Config, name=name, overrides=overrides)
    try:
        check_name(config.coordinator.fleet, "coordinator.fleet")
        check_name(config.coordinator.called, "coordinator.name")
        host, _port = host_port(config.coordinator.listen)
        if config.broker.url:
            url = parse_broker_url(config.broker.url, "broker.url")
            for sentence in wrong_credentials(url, config.broker, "broker"):
                raise ValueError(sentence)  # noqa: TRY301 - the first is enough
        check_enroll(config.enroll)
        check_sleep(config)
        check_replicas(config)
        for sentence in (
            *wrong_access(config.access, config.web, host),
            *wrong_costs(config.costs),
            *wrong_budgets(config.budgets),
            *wrong_anomalies(config.anomalies),
            *wrong_alerts(config.alerts),
            *wrong_reports(config.reports, config.alerts.email),
            *wrong_dispatch(config.dispatch),
            *wrong_levers(config.levers),
            *wrong_sla(config.sla),
            *wrong_tracing(config.tracing),
        ):
            raise ValueError(sentence)  # noqa: TRY301 - the first is enough
    except ValueError as error:
        raise DocumentError(f"{name}: {error}") from error
    return config


def check_replicas(config: Config) -> None:
    """ValueError where reports can't be shared."""
    if config.coordinator.replicas != "share":
        return
    if not config.broker.url:
        raise ValueError('coordinator.replicas = "share" needs a broker for all of them: set broker.url')
    if not config.ledger.url.startswith("postgresql"):
        raise ValueError('coordinator.replicas = "share" needs one ledger on PostgreSQL: set ledger.url')


def check_enroll(enroll: Enroll) -> None:
    """ValueError for what no single key of [enroll] shows to be wrong."""
    if enroll.listen:
        host_port(enroll.listen)
    if enroll.broker:
        parse_broker_url(enroll.broker, "enroll.broker")
    if not enroll.folder:
        raise ValueError('enroll.folder is empty; the usual one is "pki"')


def device_ca(config: Config) -> str:
    """The file of the CAs that issue boards' certificates; empty where none is known."""
    if config.sleep.ca:
        return config.sleep.ca
    if config.enroll.listen:
        return f"{config.enroll.folder}/ca.crt"
    # Who shows a certificate of its own is on a broker that knows its clients by theirs.
    return config.broker.ca if config.broker.certificate else ""


def check_sleep(config: Config) -> None:
    """ValueError where words must be signed and nothing says by whom."""
    if config.sleep.words == "signed" and not device_ca(config):
        raise ValueError('sleep.words = "signed" needs the CA of the boards\' certificates: set sleep.ca')


def host_port(listen: str) -> tuple[str, int]:
    """host:port taken apart; ValueError if it is none."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # an IPv6 address
    digits = port.isascii() and port.isdigit()
    if not host.isascii() or not host or not digits or not 0 < int(port) < 65536:  # noqa: PLR2004 - TCP ports
        raise ValueError(f"listen {listen!r} is not host:port")
    return host, int(port)
