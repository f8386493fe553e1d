"""The shapes of the REST API. Money is a decimal string; missing is null, never zero."""

from decimal import Decimal

from pydantic import BaseModel


class DeviceNow(BaseModel):
    """A device as it stands. Units stand in the names; `reason` is the last decision's sentence."""

    device: str
    status: str
    board: str | None
    control: str | None
    labels: dict[str, str]
    point: str | None
    watts: float | None
    requests_rps: float | None
    p95_ms: float | None
    temperature_c: float | None
    reason: str | None
    rule: str | None
    outcome: str | None
    weight: float | None
    policy_revision: int | None
    policy_status: str | None
    energy_joules: float | None
    switches: int | None
    violating_minutes: float | None
    reported_at_ms: int | None
    skew_seconds: float | None
    """The device's clock minus ours, from the least delayed report of the last minutes. In simulated time
    the delay itself counts `speed` times."""
    refused: str | None
    """Why its last report was not taken; null if it was."""
    asleep_until_ms: int | None
    """When its alarm goes off, or went off; null unless it is asleep or overdue."""
    sleeps: str | None
    """Why it may not sleep; empty if it may, null where it never said."""
    asleep_seconds: float | None
    asleep_joules: float | None
    """By its measured sleep watts; in no other figure."""
    asleep_watts: float | None
    """What it was measured to draw asleep; null: nobody measured it, and 0.5 W is assumed of it."""


class PolicyOutcome(BaseModel):
    """What one way of running the fleet used. `estimated` is true where a model says so, not a meter."""

    energy_wh: float
    cost: Decimal
    violating_minutes: float
    switches: int
    saving_share: float | None
    """The share of this policy's energy that Tidewatt saved against it, by modes and by sleep; null for
    Tidewatt itself."""
    sleep_saving_share: float | None
    """The part of it that sleep saved, against staying awake in the leanest mode; the rest is the modes'."""
    estimated: bool
    point: str | None


class FleetNow(BaseModel):
    """The fleet as it stands, its totals from the ledger, and the comparison."""

    fleet: str
    now_ms: int
    version: str
    progress: float | None
    """Share of a replayed day that has passed; null on a real fleet."""
    speed: float
    devices: list[DeviceNow]
    known: int
    """How many devices there are, of which `devices` may be some."""
    online: int
    watts: float | None
    requests_rps: float | None
    energy_joules: float
    requests: int
    cost: Decimal
    """What the energy cost in `currency`, by the tariffs of its hours and sites."""
    costs: dict[str, Decimal]
    """The same in every currency that sites pay in."""
    currency: str
    price_per_kwh: Decimal
    switches: int
    violating_minutes: float
    unmeasured_seconds: float
    policies: dict[str, PolicyOutcome]
    model_error_share: float | None
    """(modelled - measured) / measured energy of what really ran: how far to trust the estimates."""
    dispatch_reason: str | None
    asleep_seconds: float
    asleep_joules: float
    """Energy asleep, by the measured sleep watts: an estimate, in no other figure;"""
    asleep_cost: Decimal
    """at the mean price of what was used."""
    asleep_assumed_seconds: float
    """Time asleep of boards that nobody has measured asleep: it has no part in `asleep_joules`,"""
    asleep_assumed_joules: float
    """and what it is assumed to have drawn, at 0.5 W, where savings are reckoned."""
    sleep_saved_joules: float
    """What sleep saved, against staying awake in the leanest mode: an estimate."""
    sleep_saved_cost: Decimal


class DispatchOrder(BaseModel):
    """What somebody, or the cloud, asked of the weights."""

    id: str
    kind: str
    by: str
    why: str
    made_ms: int
    until_ms: int
    in_force_ms: int | None
    sentence: str


class Dispatch(BaseModel):
    """The dispatch table in force. Costs are floats of the optimiser, not of the ledger."""

    epoch: int
    issued_at_ms: int
    expires_at_ms: int
    weights: dict[str, int]
    reason: str
    classes: dict[str, dict[str, int]]
    shed: dict[str, int]
    safe: dict[str, dict[str, int]]
    cost_per_hour: float | None
    bound_per_hour: float | None
    gap: float | None
    currency: str
    shadow_per_day: dict[str, float]
    orders: list[DispatchOrder]
    obstacle: str | None
    """Why there is no newer table; null while there is."""


class Explained(BaseModel):
    """Why the weights are as they are."""

    epoch: int
    reason: str
    sentences: list[str]
