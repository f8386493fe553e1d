"""The messages, as typed values. One JSON object each (ADR 0003).

Rules of evolution: within a major version fields are only added, each with a default;
unknown fields are ignored by the reader; another major version is refused (see codec).
Missing is not zero: a quantity that was not measured is null.

Fields carry their unit in the name: `_mj` millijoules, `_ms` milliseconds, `_at_ms`
milliseconds since 1970 UTC, `_rps` requests per second, `_c` degrees Celsius.
"""

from typing import Annotated, Literal

import msgspec

SCHEMA_MAJOR = 1
SCHEMA = f"{SCHEMA_MAJOR}.2"

#: Up to 2^53: exact in SQLite, PostgreSQL and JavaScript alike.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
UnixMs = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
#: Real quantities of boards and policies lie far below a billion; beyond it lies only mischief.
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
NonNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=63)]

Control = Literal["observe", "enforce"]
Cause = Literal["stopped", "lost"]
OutcomeKind = Literal[
    "unchanged", "applied", "observed", "needs_reboot", "refused", "rolled_back", "stuck", "drifted",
    "reboot_planned", "rebooting", "reboot_reached", "reboot_missed",
]  # fmt: skip
ForecastQuantile = Literal["p50", "p90", "p99"]
#: What a device can do beyond reporting: `caps` within a mode, `forecast`, take pushed `model`s, `spool`.
Capability = Literal["caps", "forecast", "model", "spool"]
OnDrift = Literal["stand_down", "reassert"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
#: How the SoC counts its throttling by current: under-voltage, average, instantaneous (soctherm_oc).
OverCurrentChannel = Literal["oc1", "oc2", "oc3"]
AckStatus = Literal["accepted", "applied", "pending_reboot", "refused", "superseded"]
#: Why a policy set was refused: what is counted, beside the sentence that is read.
RefusalCode = Literal[
    "malformed", "too_big", "bad_signature", "unknown_key", "wrong_fleet", "older_revision", "not_yet",
    "expired", "unusable",
]  # fmt: skip


#: A host name or an address and a port, and nothing else: who scrapes it adds the path.
METRICS_PATTERN = r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"

AlertKind = Literal["budget", "anomaly", "sleep", "unwell", "proposal"]
AlertSeverity = Literal["warning", "critical"]
AlertState = Literal["firing", "acknowledged", "recovered"]


class Trim(msgspec.Struct, frozen=True, kw_only=True):
    """A mode under clock caps below its own, and what the board can do and draws so; see OperatingPoint."""

    name: Identifier
    caps: dict[str, Count]
    """Hertz by clock: cpu, gpu, emc."""
    capacity_rps: Positive
    idle_watts: NonNegative
    joules_per_request: NonNegative
    light_p95_ms: Positive
    queueing: NonNegative
    measured: bool = False


class OperatingPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A power mode with its caps, and what the board can do and draws in it.

    Power is idle_watts + joules_per_request x requests/s. Latency rises with utilisation
    u = requests/s / capacity_rps as p95 = light_p95_ms x (1 + queueing x u^4 / (1 - u)).
    """

    name: Identifier
    mode_id: Count
    capacity_rps: Positive
    idle_watts: NonNegative
    joules_per_request: NonNegative
    light_p95_ms: Positive
    queueing: NonNegative
    measured: bool = False
    trims: list[Trim] = []
    """Caps that the mode may be put under, for less load than it carries."""

    def __hash__(self) -> int:
        # A list has no hash; what differs in nothing but trims is still told apart by equality.
        return hash((self.name, self.mode_id, self.capacity_rps, self.idle_watts, self.joules_per_request))


class Counters(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a device has counted since its counter epoch began; none ever decreases."""

    energy_mj: Count = 0
    requests: Count = 0
    violating_ms: Count = 0
    unmeasured_ms: Count = 0
    switches: Count = 0
    mode_ms: dict[str, Count] = {}
    """Time in each power mode; `unknown` while the mode could not be read."""
    unjudged_ms: Count = 0
    """Time in which neither the load nor its latency was known: no promise was kept or broken."""
    longest_violation_ms: Count = 0
    """The longest time without a break in which the promise was broken: bursts, which a sum hides."""
    modelled_mj: Count = 0
    """Energy by the operating points' model for the served load, as the board stood: an estimate."""
    governed_mj: Count = 0
    """The same, as the governor would have had it; the difference is what observing shows could be saved."""
    asleep_mj: Count = 0
    """Energy of the time asleep, which no board measures itself: its measured sleep watts x time, an estimate
    that is in no other counter. The time is in mode_ms under `asleep`."""


class Gauges(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The device at the moment of the report; null where nothing was measured."""

    point: str | None = None
    watts: float | None = None
    requests_rps: float | None = None
    p95_ms: float | None = None
    temperature_c: float | None = None
    leases: list[str] = []
    """Floors that applications hold: the mode and the reason, one sentence each."""
    forecast_skill: float | None = None
    """Share by which the forecaster's error lies below the last value's, lately; null without one."""
    forecast_model: str | None = None
    """The first twelve digits of the sha256 of the model in use."""
    waiting: Count | None = None
    """Reports that wait to be sent, here and in the spool."""
    thinned: Count | None = None
    """Reports given up so far for room; their totals are in the later ones."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The last decision: the operating point, the rule that bound, and the reason in one sentence."""

    point: str
    rule: str
    reason: str
    outcome: OutcomeKind


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every message begins with.

    A message is a tree, so the garbage collector, which looks for rings, need not look at it.
    """

    schema: str = SCHEMA


class Birth(Message, frozen=True, kw_only=True):
    """A session begins, which is one connection: who the device is and what it can do. Retained."""

    device: Identifier
    session: str
    epoch: str
    at_ms: UnixMs
    version: str
    board: str
    control: Control
    labels: dict[str, str] = {}
    points: list[OperatingPoint] = []
    vendor_default: str | None = None
    capabilities: list[Capability] = []
    metrics: Annotated[str, msgspec.Meta(max_length=300, pattern=METRICS_PATTERN)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    """host:port of its Prometheus page, as others reach it; absent: it has none for others."""


class Report(Message, frozen=True, kw_only=True):
    """Cumulative counters and present state; `seq` rises by one within `session`, one run of the agent."""

    device: Identifier
    session: str
    epoch: str
    seq: Count
    at_ms: UnixMs
    counters: Counters
    gauges: Gauges
    verdict: Verdict | None = None


class Will(Message, frozen=True, kw_only=True):
    """A session ended: by the agent's own word (stopped) or the broker's (lost). Retained.

    Matched to its birth by session, so a stale will never buries a device that came back.
    """

    device: Identifier
    session: str
    epoch: str
    cause: Cause


class MaintenanceWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A time of the day or week: for the reboot into a mode that can't be had otherwise, or quiet hours."""

    start: Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """HH:MM in `zone`."""
    minutes: Annotated[int, msgspec.Meta(ge=1, le=1440)]
    """How long it lasts."""
    days: list[Weekday] | None = None
    """The days on which it begins; null means every day."""
    zone: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "UTC"
    """A name of the time zone database: Europe/Berlin. A board that doesn't know it has no window."""


class SleepLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How boards may sleep. What runs on the board around it (hooks, health) is its own configuration's."""

    longest_nap_s: Annotated[float, msgspec.Meta(ge=30, le=86_400)] = 1800.0
    """The alarm is set no later, whatever was hinted; the actuator has a limit of its own, too."""
    awake_per_site: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    """Boards of a site that stay awake at the least: the coordinator's floor."""
    wake_neighbours: bool = False
    """Whether a board that is awake may wake one on its segment by a magic packet when it is ordered to."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The promise and the limits a device decides within."""

    slo_p95_ms: Positive = 60.0
    """Latency promise: the 95th percentile stays at or below this."""
    headroom: NonNegative = 0.15
    """Least share by which capacity must exceed the busiest minute of the window."""
    tail_quantile: Share | None = 0.9
    """The margin is at least this quantile of how far the traffic rose over the last day, two minutes ahead;
    null: the headroom alone."""
    step_quantile: Share = 0.95
    """The same for traffic that holds a rate for minutes and then steps to another: over its steps."""
    most_headroom: NonNegative = 1.0
    """What that margin is bounded by."""
    forecast_quantile: ForecastQuantile = "p90"
    """Which of a trusted forecast's quantiles, for the peak of the next three minutes, is planned for."""
    forecast_margin: NonNegative = 0.02
    """Share on top of it."""
    hysteresis: NonNegative = 0.03
    """Further share by which a point must exceed the demand before it is worth stepping down to."""
    demand_window_s: Positive = 600.0
    """Demand is the highest rate seen in this window: the best model-free rule on real traces."""
    min_dwell_s: NonNegative = 120.0
    """No step down sooner than this after the last switch."""
    switch_cost_j: NonNegative = 30.0
    """Energy a switch must earn back within the dwell before a step down is worth it."""
    allowed_points: list[str] | None = None
    """Operating points the governor may choose; null allows all."""
    mode: str | None = None
    """The one operating point to stand at; null leaves the choice."""
    max_watts: Positive | None = None
    """No power mode named for more watts (or, without a number in its name, drawing more at full load)."""
    safe_point: str | None = None
    """Where to stand when the load is unknown; null means the vendor default."""
    on_drift: OnDrift = "stand_down"
    """When somebody else changes the mode: leave the board alone for stand_down_s, or set it again."""
    stand_down_s: NonNegative = 3600.0
    """How long the board is left alone; each further change by others begins it anew."""
    reassert_after_s: NonNegative = 60.0
    """With on_drift = "reassert": no sooner than this after the last time."""
    max_lease_s: NonNegative = 86_400.0
    """The longest that an application may hold a floor; 0 allows none."""
    blind_grace_s: NonNegative = 15.0
    """The load may be unknown for this long (a missed look at the application) before that counts."""
    maintenance: MaintenanceWindow | None = None
    """When the board may be rebooted, if every mode allowed here needs that; null: never."""
    watts_budget: Positive | None = None
    """This device's share of its site's watts, held by measured power; null: none. Where power isn't
    measured it can't be held: max_watts can."""
    derate_at_c: Annotated[float, msgspec.Meta(ge=40, le=110)] | None = 95.0
    """Junction temperature to stay below, in degrees C; null: let the hardware throttle. The default is
    2 degrees below where our simulated board throttles (97 C, assumed; no board's own limit is established
    here). A board that throttles earlier, as AGX Xavier is said to, needs a lower one."""
    max_over_current_per_min: dict[OverCurrentChannel, NonNegative] = {}
    """Throttling events a minute that a point may cause, by channel; one that isn't named is not limited.
    456 a minute of oc3 cost an Orin Nano 0.9 % of its time; any oc1 or oc2 is too much."""
    slo_budget: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Share of a day's seconds that may break the promise; beyond it headroom rises. Null: not counted."""
    quiet_hours: Annotated[list[MaintenanceWindow], msgspec.Meta(max_length=32)] = []
    """When no switch is made only to save; one that the promise or a limit needs is."""
    max_switches_per_hour: Annotated[int, msgspec.Meta(ge=0, le=60)] | None = None
    """After so many switches within an hour none is made only to save; null: no limit."""
    battery_floor: Share | None = None
    """Charge below which the board runs as frugally as it can, whatever was promised; null: none."""
    energy_weight: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 1.0
    """What a joule is worth now, by tariff and carbon, against normal: scales the saving that must repay
    a switch, and nothing else."""
    control: Control | None = None
    """Observe or enforce; null leaves it to the device's own configuration. A device that is configured to
    observe is never made to enforce from afar."""
    report_s: Annotated[float, msgspec.Meta(ge=1, le=3600)] | None = None
    """Seconds between reports; null leaves it to the device's own configuration."""
    tariff_zone: Identifier | None = None
    """The site whose tariff and carbon, as the coordinator publishes them by the hour, weigh what the device
    saves by a switch; null: an hour is worth as much as any other."""
    model: Identifier | None = None
    """The forecast model to use, by its name among the set's models; null: the configured one."""
    sleep: SleepLimits | None = None
    """Whether the board may sleep when it is hinted to, and how; null: never."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A policy for the devices that fit every selector given: labels, sites (the label `site`), ids."""

    match: dict[str, str] = {}
    """Labels that a device must all have; empty: for all."""
    sites: list[str] = []
    """Only for devices of these sites; empty: for all."""
    devices: list[Identifier] = []
    """Only for these devices; empty: for all."""
    policy: Policy = Policy()


class Wave(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a fleet: of the devices whose labels match, this many percent, chosen by hash."""

    percent: Annotated[float, msgspec.Meta(ge=0, le=100)]
    match: dict[str, str] = {}


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """New rules on their way: they hold for a device that any of the waves reached so far includes."""

    id: Identifier
    rules: list[Rule]
    waves: list[Wave]
    """Those reached; advancing adds one."""


#: Of a model in chunks every one but the last has so many bytes: half of what any message may have.
MODEL_CHUNK_BYTES = 128 * 1024


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A forecast model that can be had from the fleet's model topics, in chunks."""

    name: Identifier
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, msgspec.Meta(ge=1, le=16 * 1024 * 1024)]
    """Bytes."""
    chunks: Annotated[int, msgspec.Meta(ge=1, le=128)]


class TrustedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public Ed25519 key that policy sets may be signed with."""

    id: Identifier
    public: Annotated[str, msgspec.Meta(min_length=44, max_length=44)]
    """32 bytes, base64."""


class PolicySet(Message, frozen=True, kw_only=True):
    """The fleet's policy: ordered rules, the first that fits a device holds. Retained, in an envelope."""

    fleet: Identifier
    revision: Count
    issued_at_ms: UnixMs
    rules: list[Rule]
    not_before_ms: UnixMs = 0
    not_after_ms: UnixMs | None = None
    """From then on a device decays to its local safe default; null: never."""
    rollout: Rollout | None = None
    models: list[Model] = []
    keys: list[TrustedKey] = []
    """If any: the only keys to trust from now on. The way to rotate them."""


class Ack(Message, frozen=True, kw_only=True):
    """A device's answer to a policy set. Retained."""

    device: Identifier
    revision: Count
    status: AckStatus
    at_ms: UnixMs
    reason: str = ""
    code: RefusalCode | None = None
    """With status refused."""
    rollout: str | None = None
    """The rollout in the set, if there was one,"""
    member: bool | None = None
    """and whether its rules hold for this device."""


class CoordinatorState(Message, frozen=True, kw_only=True):
    """Whether a coordinator is there. Retained; the broker says `lost` by its last will."""

    fleet: Identifier
    session: str
    at_ms: UnixMs
    state: Literal["online", "stopped", "lost"]


class AuditAnchor(Message, frozen=True, kw_only=True):
    """Where the coordinator's audit ended when it was looked at last. Retained.

    It is told here so that the end of the audit can't be cut off, nor all of it be written anew, without
    being seen.
    """

    fleet: Identifier
    sequence: Count
    """The last entry's number."""
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """Its digest."""
    at_ms: UnixMs
    """Real time, whatever the fleet's is."""


class EnergyStep(msgspec.Struct, frozen=True, kw_only=True):
    """What energy is worth from `start_ms` on, until the next step's start, against normal (1)."""

    start_ms: UnixMs
    price: Annotated[float, msgspec.Meta(ge=0, le=100)] = 1.0
    carbon: Annotated[float, msgspec.Meta(ge=0, le=100)] = 1.0


class EnergySignal(Message, frozen=True, kw_only=True):
    """What energy is worth in a tariff zone over the next hours. Retained; void from `expires_at_ms` on.

    Not signed: a forged one can make a board step down to save sooner or later, and do nothing else.
    """

    fleet: Identifier
    zone: Identifier
    issued_at_ms: UnixMs
    expires_at_ms: UnixMs
    steps: Annotated[list[EnergyStep], msgspec.Meta(max_length=500)] = []
    """In order of their starts."""


class ClassWeights(msgspec.Struct, frozen=True, kw_only=True):
    """How the requests of one class are shared out, as parts of their sum."""

    name: Identifier
    weights: dict[str, Count]
    """By backend; one that isn't named gets nothing new."""
    shed: Count = 0
    """Parts that no backend can take within its promise: the router refuses them, or sends them where its own
    configuration says."""
    most_in_flight: dict[str, Count] = {}
    """Requests of the class that a backend may have at once, at the most: proxies give what is beyond to the
    others. One that isn't named takes any number."""


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """How far from the cheapest a table can be at the most, and what stands in the way."""

    cost_per_hour: float
    bound_per_hour: float
    """No table that keeps the same limits costs less (a dual solution proves it)."""
    gap: Annotated[float, msgspec.Meta(ge=0)]
    """(cost - bound) / bound, at least 0."""
    currency: str
    binding: str = ""
    """The limit that costs the most, in one sentence."""
    shadow_per_day: dict[str, float] = {}
    """What one more device at a site would save a day."""


class DispatchTable(Message, frozen=True, kw_only=True):
    """Routing weights, as parts of their sum. Retained, signed as policies are; void from `expires_at_ms` on.

    `epoch` never decreases while a coordinator lives; a router keeps the newest, and past
    expiry falls back to the safe table of the last one, or to equal shares without one.
    """

    fleet: Identifier
    epoch: Count
    issued_at_ms: UnixMs
    expires_at_ms: UnixMs
    weights: dict[str, Count]
    """Of all requests together, for routers that don't tell classes apart."""
    most_in_flight: dict[str, Count] = {}
    """As a class's, of all requests together."""
    reason: str = ""
    classes: list[ClassWeights] = []
    safe: list[ClassWeights] = []
    """What to do past expiry: worked out for the worst that can have happened by then."""
    certificate: Certificate | None = None


class Alert(Message, frozen=True, kw_only=True):
    """What people should know of, as it stands. Retained, on a topic for each `name`.

    It comes at least once; what has the same `event` is the same, come again.
    """

    fleet: Identifier
    name: Identifier
    """What it is about."""
    event: Identifier
    episode: Count
    """How often it has been raised."""
    kind: AlertKind
    severity: AlertSeverity
    state: AlertState
    since_ms: UnixMs
    """When the episode began."""
    at_ms: UnixMs
    summary: str
    """A sentence."""
    details: dict[str, str] = {}
    """What it is about, and how much; amounts are decimal."""
    by: str = ""
    """Who acknowledged it,"""
    note: str = ""
    """and what was said then."""
