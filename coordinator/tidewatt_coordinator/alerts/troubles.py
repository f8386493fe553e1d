"""What can be wrong with a board's sleep that people should know of, each in its words. Pure."""

from collections.abc import Callable

import msgspec

from tidewatt_coordinator.costs.days import iso
from tidewatt_wire.messages import AlertKind, AlertSeverity
from tidewatt_wire.sleeping import NapOutcome, SleepState

#: Naps that ended well, or never began.
WELL: frozenset[NapOutcome] = frozenset({"woke", "woke_early", "stayed_awake"})
#: What a board says of itself that did not pass, or no more (SleepState.why_not).
DISQUALIFIED = "disqualified"


class Sleeper(msgspec.Struct, frozen=True, kw_only=True):
    """A board that has told of its sleep."""

    device: str
    site: str
    overdue: bool
    state: SleepState

    @property
    def due_ms(self) -> int:
        """When it was to be heard again."""
        return self.state.expires_at_ms or self.state.at_ms


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a nap goes wrong."""

    kind: AlertKind
    name: str
    """Of its alerts, before the device's."""
    severity: AlertSeverity
    has: Callable[[Sleeper], bool | None]
    """Whether a board has it; None: it says nothing of that now."""
    what: Callable[[Sleeper], str]
    """What is wrong, after the board's name;"""
    over: Callable[[Sleeper], str]
    """how it ended;"""
    many: str
    """and what is wrong with more boards than have an alert of their own."""
    details: Callable[[Sleeper], dict[str, str]] = lambda _one: {}


def _overdue(one: Sleeper) -> bool:
    return one.overdue


def _unwell(one: Sleeper) -> bool | None:
    state = one.state
    if state.state == "asleep" or one.overdue:
        return None
    if state.able or (state.last and state.last.outcome in WELL):
        return False
    if state.last:
        return True
    # Its agent began anew: it is as it was until a trial or a person says something else.
    return None if state.why_not.startswith(DISQUALIFIED) else False


def _until(one: Sleeper) -> str:
    return iso(one.state.until_ms or one.due_ms)


def _back(one: Sleeper) -> str:
    last = one.state.last
    how = f": {last.detail}" if last and last.detail else ""
    able = "" if one.state.able else "; it sleeps no more for now"
    return f"is back{how}{able}"


def _woke(one: Sleeper) -> str:
    last = one.state.last
    why = last.detail if last and last.detail else "it did not come back as it went"
    return f"did not wake as it should: {why}; it sleeps no more until it is qualified again"


def _outcome(one: Sleeper) -> dict[str, str]:
    return {"outcome": one.state.last.outcome} if one.state.last else {}


TROUBLES = (
    Trouble(
        kind="sleep",
        name="sleep",
        severity="warning",
        has=_overdue,
        what=lambda one: (
            f"was to wake at {_until(one)} and has not been heard since: its alarm failed, or its network"
        ),
        over=_back,
        many="boards have missed their wake time",
        details=lambda one: {"wake_time": _until(one)},
    ),
    Trouble(
        kind="unwell",
        name="unwell",
        severity="warning",
        has=_unwell,
        what=_woke,
        over=lambda one: "may sleep again" if one.state.able else "says nothing of a failed nap any more",
        many="boards did not wake as they should and sleep no more",
        details=_outcome,
    ),
)
