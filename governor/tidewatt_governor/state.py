"""What the governor remembers from one decision to the next. Every part of it is bounded.

Times are seconds of the monotonic clock. The state is never written to disk: after a restart a
board is hot, or draws too much, just as it was, and the rules find out again.
"""

from collections.abc import Sequence

import msgspec

from tidewatt_governor.sample import Load
from tidewatt_governor.steps import Beat
from tidewatt_wire.messages import Policy

MINUTE_S = 60.0
HOUR_S = 3600.0
#: A minute counts towards the demand when it holds this many seconds: single seconds are
#: mostly chance (150 rps come as 126 to 174), and a burst still shows within these.
TELLING_S = 10.0
#: Minutes kept beyond the demand's window: the tail guard looks back on what came after it.
GUARDED_MIN = 3
#: Switches remembered: as many as Policy.max_switches_per_hour may name.
MOST_SWITCHES = 60


class Minute(msgspec.Struct, frozen=True):
    """The requests of one minute (`minute` counts from the clock's origin) and the seconds they took."""

    minute: int
    requests: int
    seconds: float

    @property
    def rps(self) -> float:
        """Mean rate in requests/s."""
        return self.requests / self.seconds


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """An operating point left out together with all that draw more, since when, and why in words."""

    point: str
    at_s: float
    why: str


class Heat(msgspec.Struct, frozen=True, kw_only=True):
    """The junction's temperature since the last switch, and what was left out for it."""

    readings: tuple[tuple[float, float], ...] = ()
    """(at_s, degrees C), at most two minutes of them."""
    seen_s: float | None = None
    cut: Cut | None = None
    cool_since_s: float | None = None
    wait_s: float = 0.0
    """How long it must be cool before a point is let in again."""
    released_s: float | None = None


class Surges(msgspec.Struct, frozen=True, kw_only=True):
    """What was left out for its over-current events, until when, and for how long that was."""

    cut: Cut | None = None
    until_s: float = 0.0
    hold_s: float = 0.0


class Ratio(msgspec.Struct, frozen=True):
    """Measured watts over the model's at one point, and when that was last known."""

    value: float
    at_s: float


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """Running means of the measured watts and of the rate they were drawn at, at `point`."""

    point: str | None = None
    at_s: float = 0.0
    watts: float = 0.0
    rps: float = 0.0
    ratios: dict[str, Ratio] = {}
    left_out: dict[str, float] = {}
    """Points beyond the budget, and when they last were too close to it."""


class Stepped(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of traffic that comes in steps; see `steps.py`."""

    changes: tuple[int, ...] = ()
    """Minutes in which the rate was another than in the one before."""
    beat: Beat | None = None
    rows: tuple[float, ...] = ()
    """Requests/s of the last rates that held, the newest last."""
    rises: tuple[float, ...] = ()
    """By what share each rate lay above the two before it."""
    upper: float = 0.0
    """Their upper quantile."""


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """How far the traffic has lately risen above the busiest minutes before; see `guard.py`."""

    minute: int | None = None
    """The minute in which it was last brought up to date."""
    rises: tuple[float, ...] = ()
    """Shares, oldest first, at most a day of minutes."""
    upper: float = 0.0
    """Their upper quantile."""
    floor_rps: float = 0.0
    """Demands below this are taken as this when shares are reckoned, in requests/s."""
    stepped: Stepped = Stepped()


class Hour(msgspec.Struct, frozen=True):
    """Seconds in which the promise was broken in one hour (counted from the clock's origin)."""

    hour: int
    violating_s: float


class Trimming(msgspec.Struct, frozen=True, kw_only=True):
    """The trim decided last, and since when a weaker one would have done; see `trim.py`."""

    point: str | None = None
    trim: str | None = None
    """None: the mode uncapped."""
    since_s: float | None = None
    """Since when less would have done; None where it wouldn't."""
    most_rps: float = 0.0
    """The highest demand since then."""
    not_before_s: float | None = None
    """No trim before: the promise was broken under one."""


class GovernorState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the board stands, since when, and the recent past as far as a rule asks for it."""

    point: str
    since_s: float
    came_from: str | None = None
    """Where it stood before."""
    switches: tuple[float, ...] = ()
    """When the board was seen to move, over the last hour."""
    minutes: tuple[Minute, ...] = ()
    last: tuple[float, Load] | None = None
    """The load remembered last, and when: the same again at the same moment is no news."""
    blind_since_s: float | None = None
    """Since when the load has not been known; None while it is."""
    guard: Guard = Guard()
    hours: tuple[Hour, ...] = ()
    heat: Heat = Heat()
    surges: Surges = Surges()
    draw: Draw = Draw()
    on_reserve: bool = False
    """Whether the battery fell below its floor and hasn't recovered."""
    trimming: Trimming = Trimming()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The operating point to be at, the rule that bound, and why, in one English sentence."""

    point: str
    rule: str
    reason: str
    trim: str | None = None
    """The point's trim to be under; None: the mode uncapped."""


def moved(state: GovernorState, point: str, now_s: float) -> GovernorState:
    """The state after the board was seen to stand at `point`."""
    if point == state.point:
        return state
    switches = (*(at_s for at_s in state.switches if at_s > now_s - HOUR_S), now_s)[-MOST_SWITCHES:]
    return msgspec.structs.replace(
        state, point=point, since_s=now_s, came_from=state.point, switches=switches
    )


def remember(state: GovernorState, load: Load, policy: Policy, now_s: float) -> GovernorState:
    """The state with this load in its minute; without minutes that neither the demand nor the guard needs."""
    if state.last == (now_s, load):
        return state
    minute = int(now_s // MINUTE_S)
    oldest = minute - int(policy.demand_window_s // MINUTE_S) - GUARDED_MIN
    kept = [one for one in state.minutes if oldest < one.minute < minute]
    requests, seconds = load.requests, load.interval_s
    if state.minutes and state.minutes[-1].minute == minute:
        requests += state.minutes[-1].requests
        seconds += state.minutes[-1].seconds
    now = Minute(minute, requests, seconds)
    return msgspec.structs.replace(state, minutes=(*kept, now), blind_since_s=None, last=(now_s, load))


def telling(minutes: Sequence[Minute]) -> list[Minute]:
    """The minutes long enough to tell a rate, else the last one; empty if there are none."""
    return [one for one in minutes if one.seconds >= TELLING_S] or list(minutes[-1:])
